"""What a peer accepts.

Proposes SOP classes and transfer syntaxes, roles, extended negotiation, an asynchronous operations window and, if one
is given, a user identity; and shows as a table what the peer takes. No operation is performed: each association is
released as soon as it is established. They are requested one after the other, and no more than --most of them.

Exit status: 1 if not all could be asked, 3 if the peer accepts none of it, 4 if there is no association.
"""

import argparse
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.options import network, parsing, saying
from dicom_transports.apps.stopping import stoppable

if TYPE_CHECKING:
    from dicom_proto.upper_layer.negotiation import Agreement
    from dicom_proto.upper_layer.pdu import AAssociateRQ
    from dicom_transports.apps.probing import Probe, SOPClassAnswer

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "find out what a peer accepts"
EXAMPLES: Final = [
    ("-aec ARCHIVE archive.example.org 104", "everything"),
    ("archive.example.org 104 --sop-class CTImageStorage --sop-class MRImageStorage", "two SOP classes"),
    (
        "archive.example.org 104 --title ARCHIVE --title PACS --sop-class Verification",
        "which AE titles it is called by",
    ),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    network.add_arguments(parser)
    group = parser.add_argument_group("what is proposed")
    group.add_argument(
        "--sop-class",
        dest="sop_classes",
        action="append",
        metavar="NAME",
        help="ask for this SOP class only (a UID, or a keyword such as CTImageStorage), may be repeated",
    )
    group.add_argument(
        "--transfer-syntax",
        dest="syntaxes",
        action="append",
        metavar="NAME",
        help="ask for this transfer syntax only (a UID, or a keyword such as JPEGBaseline8Bit), may be repeated",
    )
    group.add_argument(
        "--title",
        dest="titles",
        action="append",
        metavar="TITLE",
        type=parsing.ae_title,
        help="ask whether it takes this called AE title as well, may be repeated; no others are tried",
    )
    group.add_argument(
        "--most",
        metavar="N",
        type=parsing.count,
        default=100,
        help="request so many associations at most (default: %(default)s)",
    )
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Ask."""
    from dicom_transports.apps.options.contexts import to_sop_class, to_syntax  # noqa: PLC0415 - not for --help
    from dicom_transports.apps.probing import Probe, every_sop_class  # noqa: PLC0415

    saying.set_up_logging(arguments)
    given = network.associating(arguments)
    probe = Probe(
        _Dialler(arguments, given),
        arguments.called_aet,
        arguments.calling_aet,
        [to_sop_class(name) for name in arguments.sop_classes or ()] or every_sop_class(),
        syntaxes=[to_syntax(name) for name in arguments.syntaxes] if arguments.syntaxes else None,
        identity=next(iter(given["ext_neg"]), None),
        most=arguments.most,
    )
    with stoppable():
        probe.run()
        titles = {title: probe.knows(title) for title in arguments.titles or ()}
    record = _record(probe, arguments, titles)
    saying.say_json(arguments, record)
    if not arguments.json:
        _print(record, probe)
    if not record["SOP classes"]:
        return Exit.NONE
    return Exit.ALL if probe.is_complete else Exit.SOME


class _Dialler:
    """Requests associations on blocking sockets."""

    def __init__(self, arguments: argparse.Namespace, given: dict[str, Any]) -> None:
        from dicom_transports.blocking import AE  # noqa: PLC0415 - not for --help

        self._ae = AE(arguments.calling_aet)
        network.apply(self._ae, arguments)
        self._address = (given["addr"], given["port"])
        self._options = {"bind_address": given["bind_address"], "tls_args": given["tls_args"]}

    def __call__(self, offer: "AAssociateRQ") -> "Agreement":
        association = self._ae.dial(self._address, offer, **self._options)
        agreement = association.peer.connection.agreement
        if association.is_established:
            association.release()
        if agreement is not None:
            return agreement
        raise association.failure or ConnectionError("the association has ended")


def _record(probe: "Probe", arguments: argparse.Namespace, titles: dict[str, Exception | None]) -> dict[str, Any]:
    """Return all that was found out, for JSON."""
    peer = probe.peer  # there is one, or running it has raised
    found: dict[str, Any] = {
        "called AE title": arguments.called_aet,
        "maximum length": peer.maximum_length if peer else None,
        "implementation class UID": peer.implementation.class_uid if peer else None,
        "implementation version name": peer.implementation.version_name if peer else None,
        "operations window": {"performed": peer.window[0], "invoked": peer.window[1]} if peer else None,
        "user identity": _identity(probe, arguments),
        "associations": probe.associations,
        "complete": probe.is_complete,
        "SOP classes": [_sop_class(uid, one) for uid, one in probe.answers.items() if one.transfer_syntaxes],
        "refused": {uid: int(one.result) for uid, one in probe.answers.items() if not one.transfer_syntaxes},
    }
    if titles:
        found["AE titles"] = {title: "accepted" if error is None else str(error) for title, error in titles.items()}
    return found


def _identity(probe: "Probe", arguments: argparse.Namespace) -> str:
    if not (arguments.user or arguments.kerberos or arguments.saml or arguments.jwt):
        return "none was given"
    if probe.peer is not None and probe.peer.is_identity_confirmed:
        return "accepted and confirmed"
    return "accepted, and not confirmed" if arguments.pos_response else "accepted; -rsp asks for a confirmation"


def _sop_class(uid: str, answer: "SOPClassAnswer") -> dict[str, Any]:
    from dicom_proto.sop_class import uid_to_sop_class  # noqa: PLC0415

    return {
        "UID": uid,
        "name": uid_to_sop_class(uid).name,
        "transfer syntaxes": answer.transfer_syntaxes,
        "SCP": answer.is_scp,
        "SCU": answer.is_scu,
        "extended negotiation": answer.extended,
    }


def _print(record: dict[str, Any], probe: "Probe") -> None:
    """Print it for people."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415 - what a peer says is no markup

    console = Console(highlight=False)
    about = Table(show_header=False, box=None, pad_edge=False)
    window = {role: count or "any number" for role, count in record["operations window"].items()}
    for name, value in {
        "implementation": f"{record['implementation version name']} ({record['implementation class UID']})",
        "maximum length": f"{record['maximum length']} bytes" if record["maximum length"] else "no limit",
        "operations window": f"performs {window['performed']}, invokes {window['invoked']}",
        "user identity": record["user identity"],
        **{f"AE title {title}": said for title, said in record.get("AE titles", {}).items()},
    }.items():
        about.add_row(name, Text(saying.printable(value)))
    console.print(about)
    table = Table("SOP class", "transfer syntaxes, the preferred first", "it is", "extended negotiation")
    for one in record["SOP classes"]:
        table.add_row(
            Text(one["name"]),
            Text("\n".join(map(_syntax, one["transfer syntaxes"]))),
            _roles(one),
            Text(_extended(one["extended negotiation"])),
        )
    console.print(table)
    rest = "" if probe.is_complete else "; not all could be asked (--most allows more associations)"
    console.print(
        f"{len(record['SOP classes'])} SOP classes accepted, {len(record['refused'])} refused, "
        f"{record['associations']} associations{rest}"
    )


def _syntax(uid: str) -> str:
    from dicom_proto.sop_class import uid_to_sop_class  # noqa: PLC0415

    return uid_to_sop_class(uid).name


def _roles(one: dict[str, Any]) -> str:
    roles = [role for role in ("SCP", "SCU") if one[role]]
    return ", ".join(roles) or ("?" if one["SCP"] is None else "neither")


def _extended(options: dict[str, Any] | None) -> str:
    if options is None:
        return ""
    shown = [
        name.replace("_", " ") if value is True else f"{name.replace('_', ' ')} {value}"
        for name, value in options.items()
        if value is not False
    ]
    return "\n".join(shown) or "nothing of what was offered"
