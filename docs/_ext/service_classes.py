"""Directives that list what is served, read from :mod:`dicom_proto.sop_class` and the table of service programs.

``{service-classes}`` has a row for each service class: how many SOP classes it has, their DIMSE services, and the
modules that perform them; ``{sop-classes}`` has a row for each SOP class. Retired ones are left out.
"""

from typing import TYPE_CHECKING, Final

from _ext.state_machine import table
from docutils import nodes
from docutils.parsers.rst import Directive

from dicom_proto.application.dispatch import SCP_PROGRAMS
from dicom_proto.service_class import ServiceClass
from dicom_proto.services.management import commitment, mpps
from dicom_proto.services.ups import steps as ups
from dicom_proto.sop_class import dimse_services, meta_members, sop_classes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup"]

_MODULES: Final = {request.name.removesuffix("-RQ"): program.__module__ for request, program in SCP_PROGRAMS.items()}
_FLOWS: Final = {
    ServiceClass.STORAGE_COMMITMENT: commitment,
    ServiceClass.PROCEDURE_STEP: mpps,
    ServiceClass.UNIFIED_PROCEDURE_STEP: ups,
}


class ServiceClasses(Directive):
    """A row for each service class that has SOP classes for DIMSE."""

    def run(self) -> list[nodes.Node]:
        rows = []
        for service_class in ServiceClass:
            uids = sop_classes(service_class)
            services = [name for name in _MODULES if any(name in dimse_services(uid) for uid in uids)]
            if services:
                modules = [_MODULES[name] for name in services]
                modules += [_FLOWS[service_class].__name__] if service_class in _FLOWS else []
                short = dict.fromkeys(module.rpartition(".")[2] for module in modules)
                rows.append([service_class.value, str(len(uids)), ", ".join(services), ", ".join(short)])
        return [table(["service class", "SOP classes", "DIMSE services", "modules"], rows)]


class SOPClasses(Directive):
    """A row for each SOP class: its keyword, UID and DIMSE services, those of its members for a meta SOP class."""

    def run(self) -> list[nodes.Node]:
        rows = []
        for service_class in ServiceClass:
            for uid in sop_classes(service_class):
                members = ", ".join(member.keyword for member in meta_members(uid))
                rows.append([uid.keyword, str(uid), service_class.value, members or ", ".join(dimse_services(uid))])
        return [table(["keyword", "UID", "service class", "DIMSE services"], rows)]


def setup(app: "Sphinx") -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("service-classes", ServiceClasses)
    app.add_directive("sop-classes", SOPClasses)
    return {"parallel_read_safe": True}
