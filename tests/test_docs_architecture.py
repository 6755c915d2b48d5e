"""The picture of the house shows every folder on its floor, and every import between them."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "docs"))

from _ext import house


def test_each_folder_stands_above_what_it_imports_from() -> None:
    imports = house.imports_between()
    floor = {folder: number for number, row in enumerate(house.rows(imports)) for folder in row}
    assert all(floor[here] > floor[there] for here, there in imports)
    core = ["upper_layer", "dimse", "handlers", "programs", "services", "application", "testing"]
    assert sorted(core, key=floor.__getitem__) == core


def test_the_picture_has_all_of_it() -> None:
    svg = house.draw()
    for (here, there), count in house.imports_between().items():
        assert f"<title>{here} imports from {there}: {count}</title>" in svg


def test_a_circle_is_found() -> None:
    with pytest.raises(ValueError, match="in a circle"):
        house.rows(Counter({("one", "two"): 1, ("two", "one"): 1}))
