"""Configuration of the documentation. ``make docs`` builds it; every warning is an error."""

import pkgutil
import re
import sys
from enum import Enum
from importlib import import_module
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import get_origin

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

DOCS = Path(__file__).parent
sys.path.append(str(DOCS))  # for extensions that live here

project = "dicom-proto"
author = copyright = "dicom-proto contributors"
release = version = distribution_version("dicom-proto")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "_ext.commands",
    "_ext.house",
    "_ext.service_classes",
    "_ext.state_machine",
]
exclude_patterns = ["_build"]
suppress_warnings = ["ref.python"]  # a name that a second module hands on is found twice, and either will do
html_theme = "furo"
html_title = f"dicom-proto {release}"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_ivar = True  # an attribute that is a property as well is described once
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_preserve_defaults = True
autodoc_typehints = "signature"


def skip_member(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leave out the attributes of classes, enumerations aside: the docstring of the class describes them."""
    is_attribute = not callable(obj) and not isinstance(obj, Enum | property | classmethod | staticmethod)
    return True if what == "class" and is_attribute else None


def check_reference_is_complete(app: Sphinx) -> None:
    """Warn of modules that the reference forgets, and of those that it names and that are gone."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    named = set(re.findall(r"automodule:: (\S+)", pages))
    packages = [import_module(name) for name in ("dicom_proto", "dicom_transports")]
    found = {
        module.name
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.ispkg and not re.search(r"\._|\.(apps|compat|testing\.commands)\.", module.name)
    }
    for name in sorted(found ^ (named - {"dicom_proto"})):
        logging.getLogger(__name__).warning("the reference and the packages differ in module %s", name)


def describe_servers(app: Sphinx) -> None:
    """Give the servers of the loops, one generic class with an argument, to autodoc as classes of their modules."""
    for adapter in ("asyncio", "trio"):
        module = import_module(f"dicom_transports.{adapter}")
        server = get_origin(module.AssociationServer)
        vars(module)["AssociationServer"] = type(
            "AssociationServer", (server,), {"__module__": module.__name__, "__doc__": server.__doc__}
        )


def check_members_are_complete(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of what can be called on an AE, its servers and associations, and has no entry: much of it is inherited."""
    described = env.domains.python_domain.objects
    for adapter in ("blocking", "asyncio", "trio"):
        module = import_module(f"dicom_transports.{adapter}")
        for owner in ("AE", "Association", "AssociationServer"):
            cls = getattr(module, owner)
            for member in dir(cls):
                name = f"{module.__name__}.{owner}.{member}"
                if not member.startswith("_") and callable(getattr(cls, member)) and name not in described:
                    logging.getLogger(__name__).warning("the reference has no entry for %s", name)


def setup(app: Sphinx) -> None:
    """Connect the functions above to the build."""
    app.connect("autodoc-skip-member", skip_member)
    app.connect("builder-inited", check_reference_is_complete)
    app.connect("builder-inited", describe_servers)
    app.connect("env-check-consistency", check_members_are_complete)
