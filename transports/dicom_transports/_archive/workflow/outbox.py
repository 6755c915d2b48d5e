"""What is to be told to other application entities, until they have been told: reports and notifications.

May change. Letters are rows of the database: they outlive the process that has written them, and any process that
shares the database delivers them.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from threading import Condition, Thread
from typing import Any, Final, Self, TypeAlias

from attrs import frozen
from sqlalchemy import Connection, Engine, func, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from dicom_proto.errors import DicomProtoError
from dicom_transports._archive.workflow.tables import OUTBOX, Exclusive

__all__ = ["FIRST_LOOK", "Deliver", "Letter", "NotTakenError", "Outbox"]

_log = logging.getLogger("dicom_transports")

FIRST_LOOK: Final = 5
"""Seconds after which a letter is delivered that nobody has woken the outbox for."""

_PAUSES: Final = (10, 30, 60, 300, 900)  # seconds after an attempt that has failed; then an hour each time
_LONGEST_PAUSE: Final = 3600
_MOST_ATTEMPTS: Final = 53  # two days
_LEASE: Final = 300  # seconds that who delivers a letter has it for themselves
_GLANCE: Final = 5.0  # seconds until it is looked again what others have put there
_AT_A_TIME: Final = 20
_WAITS, _DELIVERED, _GIVEN_UP = range(3)


class NotTakenError(DicomProtoError):
    """A letter could not be delivered now: nobody is known by that title, or the answer was a failure."""


@frozen
class Letter:
    """Something that is to be told.

    Parameters
    ----------
    number : int
        Of its row.
    kind : str
        Which, of those that are known.
    subject : str
        What it is about, by which it is found.
    receiver : str
        The AE title of who is told.
    body : object
        What JSON can hold.
    attempts : int
        How often it has been tried, this time included.
    """

    number: int
    kind: str
    subject: str
    receiver: str
    body: Any
    attempts: int


Deliver: TypeAlias = Callable[[Letter], object]
"""Delivers a letter; raises if it cannot."""


class Outbox:
    """Delivers letters in a thread of its own, one after the other; it is a context manager, and delivers inside.

    Parameters
    ----------
    engine : Engine
        The database.
    deliver : mapping of str to Deliver
        What delivers letters, by their kind.
    now : callable
        The time in seconds since 1970.
    """

    def __init__(self, engine: Engine, deliver: Mapping[str, Deliver], now: Callable[[], float] = time.time) -> None:
        self._engine, self._deliver, self._now = engine, deliver, now
        self._exclusive = Exclusive(engine)
        self._changed = Condition()  # over what follows
        self._woken: set[str] = set()  # subjects
        self._has_ended = False
        self._thread = Thread(target=self._work, name="outbox", daemon=True)

    def put(self, connection: Connection, kind: str, subject: str, receiver: str, body: Any) -> None:
        """Put a letter there, in the transaction of the caller; :meth:`wake` has it delivered at once."""
        values = {"kind": kind, "subject": subject, "receiver": receiver, "body": json.dumps(body)}
        due = int(self._now()) + FIRST_LOOK
        connection.execute(insert(OUTBOX).values(values | {"due": due, "attempts": 0, "state": _WAITS}))

    def waiting(self, connection: Connection, receiver: str) -> int:
        """Return how many letters wait for a receiver."""
        asked = select(func.count()).where(OUTBOX.c.receiver == receiver, OUTBOX.c.state == _WAITS)
        return connection.execute(asked).scalar_one()

    def has(self, connection: Connection, kind: str, subject: str) -> bool:
        """Tell whether there is a letter about something, or has been."""
        asked = select(OUTBOX.c.id).where(OUTBOX.c.kind == kind, OUTBOX.c.subject == subject).limit(1)
        return connection.execute(asked).first() is not None

    def wake(self, subject: str) -> None:
        """Have the letters about something delivered at once."""
        with self._changed:
            self._woken.add(subject)
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while not self._has_ended:
            try:
                self.deliver_due()
            except SQLAlchemyError as error:
                _log.error("! what is to be told to others cannot be read: %s", type(error).__name__)
            with self._changed:
                if not self._woken and not self._has_ended:
                    self._changed.wait(_GLANCE)

    def deliver_due(self) -> int:
        """Deliver what is due now, or has been woken; return how many letters were taken."""
        with self._changed:
            woken, self._woken = self._woken, set()
        letters = self._take(woken)
        for letter in letters:
            if self._has_ended:
                break
            self._try(letter)
        return len(letters)

    def _take(self, woken: set[str]) -> list[Letter]:
        """Take letters, so that no other process delivers them in the meantime."""
        now = int(self._now())
        conditions = (
            OUTBOX.c.state == _WAITS,
            OUTBOX.c.kind.in_(self._deliver),  # a newer version may know others
            or_(OUTBOX.c.due <= now, OUTBOX.c.subject.in_(woken)),
        )
        asked = select(OUTBOX).where(*conditions).order_by(OUTBOX.c.due).limit(_AT_A_TIME)
        with self._engine.connect() as connection, connection.begin():
            if connection.execute(asked).first() is None:
                return []
        with self._exclusive as connection:
            rows = connection.execute(asked).all()
            for row in rows:
                taken = {"attempts": row.attempts + 1, "due": now + _LEASE}
                connection.execute(update(OUTBOX).where(OUTBOX.c.id == row.id).values(taken))
        return [
            Letter(row.id, row.kind, row.subject, row.receiver, json.loads(row.body), row.attempts + 1) for row in rows
        ]

    def _try(self, letter: Letter) -> None:
        try:
            self._deliver[letter.kind](letter)
        except (DicomProtoError, OSError) as error:
            self._put_off(letter, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the letters behind this one are delivered
            _log.debug("= a letter cannot be delivered", exc_info=True)
            self._put_off(letter, type(error).__name__)
        else:
            self._note(letter, {"state": _DELIVERED})

    def _put_off(self, letter: Letter, reason: str) -> None:
        what = f"{letter.kind} for {letter.receiver!r}"
        if letter.attempts >= _MOST_ATTEMPTS:
            _log.error("! %s is given up after %d attempts: %s", what, letter.attempts, reason)
            self._note(letter, {"state": _GIVEN_UP})
            return
        pause = _PAUSES[letter.attempts - 1] if letter.attempts <= len(_PAUSES) else _LONGEST_PAUSE
        _log.warning("! %s has not arrived, and is tried again in %d s: %s", what, pause, reason)
        self._note(letter, {"due": int(self._now()) + pause})

    def _note(self, letter: Letter, values: dict[str, int]) -> None:
        with self._exclusive as connection:
            connection.execute(update(OUTBOX).where(OUTBOX.c.id == letter.number).values(values))
