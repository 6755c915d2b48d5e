"""Rounds of ``kill -9`` under load: ``python -m tests.archive.killing ROUNDS`` does them with SQLite and PostgreSQL.

Four associations store, some objects all of them, and the process is killed at a moment of chance. What was answered
with Success is in index and files, and both are in step, when the archive is opened again.
"""

import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from attrs import frozen
from pydicom.dataset import Dataset
from sqlalchemy import delete, select

from dicom_transports._archive.index.opening import open_database
from dicom_transports._archive.index.schema import METADATA, TABLES
from dicom_transports._archive.keys import Level
from dicom_transports.archive import Archive
from dicom_transports.blocking import AE
from tests.archive.nodes import node
from tests.archive.objects import image
from tests.archive.postgresql import database
from tests.interop.peers import HOST

__all__ = ["Outcome", "round_of"]

_SENDERS: Final = 4
_COUNT: Final = 120  # objects of each sender
_INSTANCES: Final = TABLES[Level.IMAGE]


@frozen
class Outcome:
    """What a round has come to.

    Parameters
    ----------
    answered, kept : int
        How many objects were answered with Success, and how many there are.
    lost : set of str
        Which were answered, and are not there.
    differences : list of str
        Where index and files are not in step.
    """

    answered: int
    kept: int
    lost: set[str]
    differences: list[str]


def objects(count: int, size: int) -> list[Dataset]:
    """CT images, of several patients and studies."""
    made = []
    for number in range(count):
        one = image(f"{number % 3}.{number % 40}.{number}")
        one.add_new("PixelData", "OW", number.to_bytes(4, "big") * (size // 4))
        made.append(one)
    return made


def send(port: int, datasets: Sequence[Dataset], ae_title: str) -> Iterator[str]:
    """Send objects over one association until that is lost; yield the SOP Instance UIDs answered with Success."""
    for dataset, status in AE(ae_title).send_c_stores(HOST, port, datasets, ae_title="ARCHIVE", retries=0):
        if status and status.Status == 0x0000:
            yield str(dataset.SOPInstanceUID)


def round_of(directory: Path, seed: int, url: str | None = None) -> Outcome:
    """Start a node, put it under load, kill it, and look at what is left."""
    chance = random.Random(seed)
    made = objects(_SENDERS * _COUNT, size=4_000)
    first = [dataset for dataset in made if dataset.PatientID == "P0"]
    answered: set[str] = set()
    kill_after = chance.randrange(_SENDERS * _COUNT // 8, _SENDERS * _COUNT // 2)
    options = () if url is None else ("--database", url)
    with (
        node(directory, *options) as peer,
        ThreadPoolExecutor(_SENDERS) as threads,
    ):
        is_time = threading.Event()

        def sender(number: int) -> None:
            share = [*first[:5], *made[number::_SENDERS]]  # some objects come from all, at once
            for uid in send(peer.port, share, f"CT{number}"):
                answered.add(uid)
                if len(answered) >= kill_after:
                    is_time.set()

        def kill() -> None:
            is_time.wait(60)
            time.sleep(chance.random() / 50)
            peer.process.popen.send_signal(signal.SIGKILL)
            peer.process.popen.wait(20)

        killing = threading.Thread(target=kill)
        killing.start()
        list(threads.map(sender, range(_SENDERS)))
        killing.join()
    with Archive(directory, url) as archive:
        differences = [f"{one.kind}: {one.path}" for one in archive.verify()]
        with archive.engine.connect() as connection:
            kept = set(connection.execute(select(_INSTANCES.c.SOPInstanceUID)).scalars())
    return Outcome(len(answered), len(kept), answered - kept, differences)


def main(rounds: int) -> int:
    """Do rounds with both databases, and print what each has come to; return how many went wrong."""
    wrong = 0
    with database() as url:
        for seed in range(rounds):
            for name, place in (("SQLite", None), ("PostgreSQL", url)):
                with tempfile.TemporaryDirectory() as directory:
                    outcome = round_of(Path(directory), seed, place)
                if place is not None:
                    empty(place)
                is_wrong = bool(outcome.lost or outcome.differences)
                wrong += is_wrong
                sys.stdout.write(
                    f"{name}, round {seed}: {outcome.answered} answered, {outcome.kept} kept, {len(outcome.lost)} lost,"
                    f" {len(outcome.differences)} differences{': WRONG' if is_wrong else ''}\n"
                )
                sys.stdout.flush()
    return wrong


def empty(url: str) -> None:
    """Take out what an index has, for the next directory."""
    engine = open_database(url)
    with engine.connect() as connection, connection.begin():
        for table in reversed(METADATA.sorted_tables):
            connection.execute(delete(table))
    engine.dispose()


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1])) else 0)
