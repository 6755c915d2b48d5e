"""Walk a server through Table 9-10 of PS3.8, and compare what it does with what the standard asks.

    python -m dicom_transports.testing walk 127.0.0.1 11112 --called STORESCP -- storescp 11112

Each cell that a requestor can bring about has a connection of its own: states Sta2, Sta6 and Sta13, each PDU, an
unknown one, the end of the connection, and with --artim the timer. What is sent is harmless: short PDUs, most of them
at the wrong time. The command behind -- starts the server, which has to answer a C-ECHO.

A target that is not this machine is refused without --i-own-this-target.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from dicom_transports.testing.target import NotLoopbackError, Target, require_loopback
from dicom_transports.testing.walking import Finding, Outcome, walk

__all__ = ["SUMMARY", "add_arguments", "run"]

SUMMARY = "walk a server through Table 9-10, and compare with the standard"
_DEVIATES, _USAGE, _NO_TARGET = 1, 2, 4


def add_arguments(parser: ArgumentParser) -> None:
    """Say which arguments the command takes."""
    parser.add_argument("host", metavar="HOST", help="of the server")
    parser.add_argument("port", metavar="PORT", type=int, help="of the server")
    parser.add_argument("--called", default="ANY-SCP", metavar="AE", help="called AE title (default: %(default)s)")
    parser.add_argument("--calling", default="ECHOSCU", metavar="AE", help="calling AE title (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds that an answer may take (default: 5)")
    parser.add_argument("--artim", type=float, default=0.0, help="seconds to wait for ARTIM in Sta2 (default: not)")
    parser.add_argument("--format", choices=tuple(_FORMATS), default="text", help="(default: %(default)s)")
    parser.add_argument("--i-own-this-target", action="store_true", help="it is not this machine, and it is yours")


def run(options: Namespace) -> int:
    """Run the command; return its exit status: 0 no deviation, 1 some, 2 wrong usage, 4 no server."""
    try:
        require_loopback(options.host, options.port)
    except NotLoopbackError as error:
        if not options.i_own_this_target:
            print(f"walk: {error}", file=sys.stderr)
            return _USAGE
    except OSError as error:
        print(f"walk: {options.host}: {error}", file=sys.stderr)
        return _NO_TARGET
    target = Target((options.host, options.port), options.program, patience=options.patience)
    try:
        if target.can_start:
            target.start()
        findings = list(
            walk(
                target.address,
                called=options.called,
                calling=options.calling,
                patience=options.patience,
                artim=options.artim,
            )
        )
    except TimeoutError as error:
        print(f"walk: {error}", file=sys.stderr)
        return _NO_TARGET
    finally:
        target.close()
    print(_FORMATS[options.format](findings))
    outcomes = {finding.outcome for finding in findings}
    if outcomes == {Outcome.NOT_REACHED}:
        return _NO_TARGET
    return _DEVIATES if Outcome.DEVIATION in outcomes else 0


def _text(findings: Sequence[Finding]) -> str:
    lines = []
    for finding in findings:
        if finding.outcome is Outcome.AS_ASKED or finding.outcome is Outcome.NOT_REACHED:
            continue
        cell = f"{finding.state.name} {finding.event.name} ({finding.event.value})"
        lines += [
            f"{finding.outcome.value}: {cell}: {finding.note}",
            f"    asked: {finding.asked} ({finding.clause})",
            f"    seen: {finding.seen}",
        ]
    unreached = Counter(finding.seen for finding in findings if finding.outcome is Outcome.NOT_REACHED)
    lines += [f"not reached: {count} cells: {why}" for why, count in unreached.items()]
    counts = Counter(finding.outcome for finding in findings)
    lines.append(", ".join(f"{outcome.value} {counts[outcome]}" for outcome in Outcome))
    return "\n".join(lines)


def _json(findings: Sequence[Finding]) -> str:
    return json.dumps(
        [
            {
                "state": finding.state.name,
                "event": finding.event.name,
                "asked": finding.asked,
                "clause": finding.clause,
                "outcome": finding.outcome.value,
                "seen": finding.seen,
                "note": finding.note,
            }
            for finding in findings
        ],
        indent=2,
    )


def _junit(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.outcome for finding in findings)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name="PS3.8 Table 9-10" tests="{len(findings)}" failures="{counts[Outcome.DEVIATION]}" '
        f'skipped="{counts[Outcome.NOT_REACHED]}">',
    ]
    for finding in findings:
        name = quoteattr(f"{finding.event.name} {finding.event.value}")
        told = quoteattr(f"{finding.note}; asked {finding.asked}; {finding.seen}".removeprefix("; "))
        inner = {Outcome.DEVIATION: f"<failure message={told}/>", Outcome.NOT_REACHED: f"<skipped message={told}/>"}
        lines.append(
            f'<testcase classname="{finding.state.name}" name={name}>{inner.get(finding.outcome, "")}</testcase>'
        )
    return "\n".join([*lines, "</testsuite>"])


_FORMATS = {"text": _text, "json": _json, "junit": _junit}
