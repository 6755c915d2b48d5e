"""Directive that draws the house: floors as rows, folders as boxes, imports as lines, all read from the sources.

``{house}`` draws the folders of ``dicom_proto`` and ``dicom_transports``, each on the lowest row above all that it
imports from. A line is as thick as there are many imports from one folder to another, and says how many.
"""

import ast
from collections import Counter
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docutils import nodes
from docutils.parsers.rst import Directive

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["draw", "imports_between", "rows", "setup"]

_ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = (_ROOT / "dicom_proto", _ROOT / "transports" / "dicom_transports")
_TABLES: Final = frozenset({"service_class", "sop_class", "status", "_sop_class_names", "_status_table"})
_SHARED: Final = frozenset({"_entity", "loops", "storage", "tls"})
_WIDTH, _HEIGHT, _COLUMN, _ROW = 150, 38, 190, 84
_STYLE: Final = (
    ".house{font:12px sans-serif;max-width:100%}"
    " .house rect{fill:var(--color-background-secondary,#f4f4f4);stroke:#888}"
    " .house text{fill:currentColor;text-anchor:middle} .house path{stroke:#888;fill:none;opacity:.55}"
)


def _folder_of(module: str) -> str:
    """Return the box that a module is in."""
    package, _, rest = module.partition(".")
    head = rest.partition(".")[0]
    if package == "dicom_transports":
        head = "apps" if head == "__main__" else head  # which only starts what is there
        is_folder = (_PACKAGES[1] / head).is_dir() and head
        return f"transports/{head}" if is_folder or head in _SHARED else "transports: adapters"
    if (_PACKAGES[0] / head).is_dir() and head:
        return head
    if not rest:
        return "dicom_proto"
    return "tables: sop_class, status" if head in _TABLES else "words: errors, limits, names"


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for package in _PACKAGES
        for path in sorted(package.rglob("*.py"))
    }


def imports_between() -> Counter[tuple[str, str]]:
    """Count the import statements from one folder to another, those for type checkers aside."""
    modules = _modules()
    counted: Counter[tuple[str, str]] = Counter()
    for name, path in modules.items():
        here = _folder_of(name)
        if here == "dicom_proto":
            continue  # which hands on names of all
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("dicom_"):
                continue
            source = node.module or ""
            targets = {f"{source}.{alias.name}" for alias in node.names} & modules.keys() or {source}
            counted.update({(here, there) for target in targets if (there := _folder_of(target)) != here})
    return counted


def rows(imports: Counter[tuple[str, str]]) -> list[list[str]]:
    """Return the folders by rows, the lowest first: each stands above all that it imports from."""
    left = {folder for pair in imports for folder in pair}
    found: list[list[str]] = []
    while left:
        row = sorted(one for one in left if not any(a == one and b in left for a, b in imports))
        if not row:
            raise ValueError(f"these folders import each other in a circle: {sorted(left)}")
        found.append(row)
        left -= set(row)
    return found


def draw() -> str:
    """Draw the house."""
    imports = imports_between()
    floors = rows(imports)
    widest = max(map(len, floors))
    places = {
        folder: ((column + (widest - len(row)) / 2 + 0.5) * _COLUMN, (len(floors) - number - 0.5) * _ROW)
        for number, row in enumerate(floors)
        for column, folder in enumerate(row)
    }
    shapes = []
    for (here, there), count in sorted(imports.items()):
        (x1, y1), (x2, y2) = places[here], places[there]
        lane = (x2 - x1) / 2 + (40 if y2 - y1 > _ROW else 0)  # past the boxes between them
        shapes.append(
            f"<g><title>{escape(here)} imports from {escape(there)}: {count}</title>"
            f'<path stroke-width="{min(6.0, 0.6 + count / 12):.1f}" d="M{x1:g},{y1 + _HEIGHT / 2:g}'
            f' Q{x1 + lane:g},{(y1 + y2) / 2:g} {x2:g},{y2 - _HEIGHT / 2:g}"/></g>'
        )
    for folder, (x, y) in places.items():
        shapes.append(
            f'<rect x="{x - _WIDTH / 2:g}" y="{y - _HEIGHT / 2:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="5"/>'
            f'<text x="{x:g}" y="{y + 4:g}">{escape(folder)}</text>'
        )
    return (
        f'<svg class="house" viewBox="0 0 {widest * _COLUMN} {len(floors) * _ROW}" role="img" aria-label="Folders and'
        f' imports" xmlns="http://www.w3.org/2000/svg"><style>{_STYLE}</style>\n' + "\n".join(shapes) + "\n</svg>"
    )


class House(Directive):
    """The picture, as inline SVG."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", draw(), format="html")]


def setup(app: "Sphinx") -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("house", House)
    return {"parallel_read_safe": True}
