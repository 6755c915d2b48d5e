"""``{commands}`` shows the help of each command, as its parser prints it, under a heading of its own."""

from typing import TYPE_CHECKING
from unittest.mock import patch

from docutils import nodes
from docutils.parsers.rst import Directive

from dicom_transports.apps.main import COMMANDS, load, parser_for

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup"]

_WIDTH = "100"


class Commands(Directive):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        sections: list[nodes.Node] = []
        for name in COMMANDS:
            section = nodes.section(ids=[f"dicom-proto-{name}"])
            section += nodes.title(text=f"dicom-proto {name}")
            section += nodes.literal_block(text=help_of(name), language="text")
            sections.append(section)
        return sections


def help_of(name: str) -> str:
    """Return the help of a command, of the same width wherever this runs."""
    with patch.dict("os.environ", COLUMNS=_WIDTH, NO_COLOR="1"):  # what argparse looks at
        return parser_for(name, load(name)).format_help()


def setup(app: "Sphinx") -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
