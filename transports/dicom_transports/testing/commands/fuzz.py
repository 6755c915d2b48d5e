"""Fuzz a server over TCP: send conversations that break rules, and see that it lives.

    python -m dicom_transports.testing fuzz 127.0.0.1 11112 --seconds 60 -- storescp 11112

Conversations are changed a little, and those that get new answers are changed further. A C-ECHO tells whether the
server lives. What killed or hung it is made as small as possible and kept as a script in --keep; the command behind --
starts the server, and starts it again. Without a command the run ends with the first finding that the server does not
survive.

Do this to systems that are yours: such bytes stop programs that people depend on. A target that is not this machine is
refused without --i-own-this-target, and then gets no more than 100 connections a second.
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from time import monotonic
from typing import Final

from dicom_transports.testing.fuzzing import Bounds, Fuzzer
from dicom_transports.testing.target import NotLoopbackError, Target, require_loopback

__all__ = ["SUMMARY", "add_arguments", "run"]

SUMMARY = "fuzz a server over TCP, and make small what kills it"
_FOUND, _USAGE, _NO_TARGET = 1, 2, 4
_REMOTE_RATE: Final = 100.0  # connections a second
_LONGEST: Final = 24 * 3600.0


def add_arguments(parser: ArgumentParser) -> None:
    """Say which arguments the command takes."""
    parser.add_argument("host", metavar="HOST", help="of the server")
    parser.add_argument("port", metavar="PORT", type=int, help="of the server")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, a day at most (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=0, help="how many at most (default: any number)")
    parser.add_argument("--rate", type=float, default=0.0, help="connections a second at most (default: any number)")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds that an answer may take (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: %(default)s)")
    parser.add_argument("--keep", type=Path, default=Path("findings"), metavar="DIR", help="where scripts are kept")
    parser.add_argument("--i-own-this-target", action="store_true", help="it is not this machine, and it is yours")


def run(options: Namespace) -> int:
    """Run the command; return its exit status: 0 nothing found, 1 something, 2 wrong usage, 4 no server."""
    rate = options.rate
    try:
        require_loopback(options.host, options.port)
    except NotLoopbackError as error:
        if not options.i_own_this_target:
            print(f"fuzz: {error}", file=sys.stderr)
            return _USAGE
        rate = min(rate or _REMOTE_RATE, _REMOTE_RATE)
    except OSError as error:
        print(f"fuzz: {options.host}: {error}", file=sys.stderr)
        return _NO_TARGET
    bounds = Bounds(seconds=min(options.seconds, _LONGEST), connections=options.connections, rate=rate)
    target = Target((options.host, options.port), options.program, patience=options.patience)
    fuzzer = Fuzzer(target, bounds, options.seed)
    began = monotonic()
    try:
        fuzzer.run()
    except (TimeoutError, KeyboardInterrupt) as error:
        print(f"fuzz: {str(error) or 'interrupted'}", file=sys.stderr)
        if not fuzzer.connections:
            return _NO_TARGET
    finally:
        target.close()
    seconds = monotonic() - began
    for finding in fuzzer.findings:
        for path in finding.keep(options.keep):
            print(f"{finding.kind}: {path}")
    print(
        f"{fuzzer.connections} connections in {seconds:.1f} s ({fuzzer.connections / seconds:.0f}/s), "
        f"{len(fuzzer.corpus)} conversations in the corpus, {len(fuzzer.findings)} findings"
    )
    return _FOUND if fuzzer.findings else 0
