"""What went wrong, in one line that says what to do."""

import argparse
import errno
import socket
import sys
from pathlib import Path
from typing import Any, Final

from dicom_proto.errors import DicomProtoError, NoContextError
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import (
    AssociationAborted,
    AssociationClosed,
    AssociationFailure,
    AssociationRejected,
    AssociationTimedOut,
)
from dicom_proto.upper_layer.reasons import RejectReasonUser, RejectSource, describe_reason
from dicom_proto.upper_layer.timers import Timer
from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.stopping import Terminated

__all__ = ["explain", "interruption"]

_EXTRAS: Final = {"trio": "trio", "rich": "cli", "sqlalchemy": "archive", "alembic": "archive"}
_OPTION_OF: Final = {Timer.ARTIM: "-ta", Timer.REQUEST: "-ta", Timer.RELEASE: "-ta", Timer.RESPONSE: "-td"}


def explain(error: BaseException, arguments: argparse.Namespace) -> CommandError:
    """Say why a command has failed, and what can be done about it.

    Parameters
    ----------
    error : BaseException
        What was raised.
    arguments : argparse.Namespace
        What the user has given: it stands in the text.
    """
    match error:
        case CommandError():
            return error
        case KeyboardInterrupt():
            is_term = isinstance(error, Terminated)
            return CommandError("terminated" if is_term else "interrupted", interruption(error))
        case OSError():
            return _of_system(error, arguments)
        case DicomProtoError():
            return _of_protocol(error, arguments)
        case ModuleNotFoundError() if error.name in _EXTRAS:
            extra = _EXTRAS[error.name]
            return CommandError(f"{error.name} is not installed: pip install 'dicom-proto[{extra}]'", Exit.LOCAL)
    hint = "" if arguments.debug else " (-d shows where)"
    return CommandError(f"this is a defect of dicom-proto: {type(error).__name__}: {error}{hint}", Exit.LOCAL)


def interruption(error: KeyboardInterrupt) -> Exit:
    """Return the exit status of a client that was ended before it was done."""
    return Exit.TERMINATED if isinstance(error, Terminated) else Exit.INTERRUPTED


def _of_protocol(error: DicomProtoError, arguments: argparse.Namespace) -> CommandError:
    match error:
        case AssociationFailure():
            return CommandError(_of_association(error, arguments), Exit.NO_ASSOCIATION)
        case NoContextError():
            return CommandError(f"{error}: perhaps it does for another AE title (-aet, -aec)", Exit.NO_ASSOCIATION)
    path = getattr(error, "path", None)
    return CommandError(str(error) if path is None else f"{path}: {error}", Exit.USAGE)


def _of_association(failure: AssociationFailure, arguments: argparse.Namespace) -> str:
    match failure:
        case AssociationRejected():
            return f"{_place(arguments)} has rejected the association: {_rejected(failure, arguments)}"
        case AssociationTimedOut():
            option = _OPTION_OF.get(failure.timer)
            longer = f": wait longer with {option}, or look whether it is a DICOM peer" if option else ""
            return f"{_place(arguments)} has not answered in time{longer}"
        case AssociationAborted() | AssociationClosed():
            return f"{_place(arguments)}: {failure}{_hint(failure, arguments)}"
    return str(failure)


def _place(arguments: argparse.Namespace) -> str:
    host, port = getattr(arguments, "host", None), getattr(arguments, "port", None)
    return "the peer" if host is None else f"{host} port {port}"


def _rejected(failure: AssociationRejected, arguments: argparse.Namespace) -> str:
    words = describe_reason(failure.source, failure.reason)
    calling, called = arguments.calling_aet, arguments.called_aet
    if failure.source == RejectSource.SERVICE_USER:
        if failure.reason == RejectReasonUser.CALLED_AE_TITLE_NOT_RECOGNIZED:
            return f"{words}: it is not {called!r}, give the right one with -aec"
        if failure.reason == RejectReasonUser.CALLING_AE_TITLE_NOT_RECOGNIZED:
            return f"{words}: it does not know {calling!r}, give one that it knows with -aet"
        if failure.reason == RejectReasonUser.NO_REASON_GIVEN:
            return f"{words}: look at -aec {called}, -aet {calling} and the user identity"
    later = ": try again later" if failure.result == 2 else ""
    return f"{words}{later}"


def _hint(failure: AssociationAborted | AssociationClosed, arguments: argparse.Namespace) -> str:
    """Return a hint for who talks to something else, without TLS to a port with it, or the other way round."""
    if isinstance(failure, AssociationAborted):
        if failure.origin is AbortOrigin.LOCAL_PROVIDER:
            return " (is it a DICOM peer?)"
        if failure.origin is not AbortOrigin.TRANSPORT:
            return ""
    if arguments.own or arguments.tls:
        return " (does it take TLS on this port, and this certificate?)"
    return " (does it want TLS? Then add +tls or --tls)"


def _of_system(error: OSError, arguments: argparse.Namespace) -> CommandError:
    text = error.strerror or str(error)
    if error.filename is not None:
        return CommandError(f"{_shown(error.filename)}: {text}", Exit.LOCAL)
    ssl: Any = sys.modules.get("ssl")
    if ssl is not None and isinstance(error, ssl.SSLError):
        return CommandError(f"{_place(arguments)}: TLS: {_of_tls(error, arguments)}", Exit.NO_ASSOCIATION)
    code = Exit.NO_ASSOCIATION if hasattr(arguments, "host") else Exit.LOCAL  # of a server it is its own
    return CommandError(f"{text}{_advice(error, arguments)}", code)


def _shown(filename: Any) -> str:
    return str(Path(filename)) if isinstance(filename, str) else repr(filename)


def _of_tls(error: Any, arguments: argparse.Namespace) -> str:
    reason = getattr(error, "verify_message", "") or str(error)
    if getattr(error, "verify_code", 0) in {62, 64}:  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
        return f"{reason}: connect by the name in the certificate, or see --no-check-hostname"
    if hasattr(error, "verify_message"):
        trusted = "name its authority with +cf" if arguments.ca_file is None else f"+cf {arguments.ca_file} is another"
        return f"{reason}: {trusted}"
    return f"{reason}: does the peer take TLS on this port, and this certificate?"


def _advice(error: OSError, arguments: argparse.Namespace) -> str:
    if isinstance(error, socket.gaierror):
        return ": is the host name right?"
    if isinstance(error, TimeoutError):
        return ": is the host right? -to waits longer"
    advice = {
        errno.ECONNREFUSED: ": nobody listens there: is the port right?",
        errno.EHOSTUNREACH: ": is the host right?",
        errno.ENETUNREACH: ": is the host right?",
        errno.EADDRINUSE: f": take another port than {getattr(arguments, 'port', '')}",
        errno.EACCES: ": ports below 1024 are for root",
    }
    return advice.get(error.errno or 0, "")
