"""The tables of the workflow, and the transactions in which its handlers run.

Internal. They are of the database of the index, so that every process and machine that has that has them too.
"""

from contextlib import AbstractContextManager, ExitStack
from threading import local
from types import TracebackType
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Engine, Index, Integer, LargeBinary, Table, Text, text

from dicom_transports._archive.index.opening import WRITES
from dicom_transports._archive.index.schema import METADATA

__all__ = ["OUTBOX", "STEPS", "WORKLIST", "Exclusive"]

_LOCK: Final = 0x44494344  # "DICD": who changes the workflow has it
_Identity: Final = BigInteger().with_variant(Integer, "sqlite")

WORKLIST: Final = Table(
    "worklist_items",
    METADATA,
    Column("id", _Identity, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),  # of its file, or what who has added it calls it
    Column("stamp", Text, nullable=False),  # of its file, to see that that has changed
    Column("study_instance_uid", Text, nullable=False, index=True),
    Column("step_id", Text, nullable=False),  # Scheduled Procedure Step ID
    Column("is_open", Integer, nullable=False),
    Column("item", LargeBinary, nullable=False),  # explicit VR little endian
)
STEPS: Final = Table(
    "procedure_steps",
    METADATA,
    Column("sop_instance_uid", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("step", LargeBinary, nullable=False),  # explicit VR little endian
)
OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("id", _Identity, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),  # what it is about: a Transaction UID, a Study Instance UID
    Column("receiver", Text, nullable=False),  # AE title
    Column("body", Text, nullable=False),  # JSON
    Column("due", BigInteger, nullable=False),  # in seconds since 1970
    Column("attempts", Integer, nullable=False),
    Column("state", Integer, nullable=False),  # 0 waits, 1 is delivered, 2 is given up
)
Index("ix_outbox_due", OUTBOX.c.state, OUTBOX.c.due)
Index("ix_outbox_subject", OUTBOX.c.kind, OUTBOX.c.subject)


class Exclusive(AbstractContextManager[Connection]):
    """A transaction in which nobody else changes the workflow, in whatever process and on whatever machine.

    Handlers run inside one: what they look at and what they change then belongs together.

    Parameters
    ----------
    engine : Engine
        The database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._local = local()  # one transaction for each thread

    @property
    def connection(self) -> Connection:
        """That of the transaction which this thread is in."""
        connection: Connection = self._local.connection
        return connection

    def __enter__(self) -> Connection:
        with ExitStack() as stack:
            connection = stack.enter_context(self._engine.connect().execution_options(**WRITES))
            stack.enter_context(connection.begin())
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            self._local.connection, self._local.stack = connection, stack.pop_all()
        return connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stack: Any = self._local.stack
        del self._local.connection, self._local.stack
        stack.__exit__(kind, error, traceback)
