"""Associations over blocking sockets, each driven by the threads that call, and by one of its own while nobody does.

Who does what, and which lock guards it:

* ``_lock`` is held over everything that touches the engine or the socket, never while a thread waits or calls what the
  user wrote. No thread ever holds the locks of two associations.
* One thread at a time *reads*: it waits for the socket, for all who call. Who else calls sleeps on ``_changed`` until
  the reader has received something. A reader that leaves wakes a sleeper, which reads then.
* A call is driven by the thread that makes it, so that it costs no hand-over. The association's own thread sees to what
  the peer does while nobody calls, and keeps away while calls follow each other.
* What the user wrote is called by whoever has taken the turn that asked for it; the items of one iterator are all
  pulled by the thread that has pulled the first. Where the peer may have several operations performed at a time, each
  has a worker; so has a C-GET or C-MOVE, whose handler is asked for the next object while the last is on its way.
* A thread that polls lends its waker (``_reading``, ``_resting``) to the association, so that its wait can be ended:
  another engine has posted something, or there is more to wait for than it knows.
"""

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from functools import partial
from time import monotonic, time
from typing import Any, Final, Self, TypeVar

from dicom_proto.application.association import HANDLING, EntityAssociation, Reception
from dicom_proto.application.verbs import CalledVerbs
from dicom_proto.errors import LocalProtocolError, NotEstablishedError
from dicom_proto.handlers.event import Event
from dicom_proto.handlers.registry import Handlers
from dicom_proto.logs import ASSOCIATION, about
from dicom_proto.programs.effects import END, Call, Dial, DriverEffect, Program, Pull
from dicom_proto.programs.gathering import Gathering
from dicom_proto.programs.streams import Stream
from dicom_proto.programs.tasks import Task
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_transports._entity import AEBase
from dicom_transports._files.reading import as_storable
from dicom_transports._socket.channel import Channel
from dicom_transports._socket.link import Link
from dicom_transports._socket.memory import allocated
from dicom_transports._socket.polling import HANGUP, READABLE, WRITABLE
from dicom_transports._socket.sockets import Address, connect_socket, local_address, no_connection, peer_address
from dicom_transports._socket.tls_layer import TLSLayer
from dicom_transports._threads.flushing import gather, hand_over, send_on
from dicom_transports._threads.starting import Starter
from dicom_transports._threads.waker import Vigil, Waker, own_vigil
from dicom_transports._threads.workers import WORKERS, Outcome, Worker, run_aside

__all__ = ["Association"]

T = TypeVar("T")
_log = logging.getLogger("dicom_transports.blocking")
_LINGER: Final = 0.05  # seconds until an association's own thread looks again whether calls follow each other
_GLANCE: Final = 0.002  # seconds between looks for what arrives while results are sent: a cancel, or the end
_STARTER: Final = Starter(_LINGER)


class _Performer:
    """A thread that calls what the user wrote for one association, and the context in which it does."""

    __slots__ = ("_context", "bound", "mail")

    def __init__(self) -> None:
        self.mail: deque[tuple[Task[Any], DriverEffect]] = deque()  # what is for this thread and no other
        self.bound: set[Task[Any]] = set()  # those whose iterators this thread pulls
        self._context: Context | None = None

    def bind(self, task: Task[Any]) -> None:
        """Be the one that does all that a task asks for."""
        task.performer = self
        self.bound.add(task)
        task.on_end = partial(self._unbind, task.on_end)

    def _unbind(self, on_end: Callable[[Task[Any]], None] | None, task: Task[Any]) -> None:
        self.bound.remove(task)
        if on_end is not None:
            on_end(task)

    def call(self, association: "Association", task: Task[Any], effect: DriverEffect) -> Any:
        """Do what a task asks for: what is asked of the association then is known to come from a handler."""
        if self._context is None:
            self._context = copy_context()
            self._context.run(HANDLING.set, (*HANDLING.get(), association))
            self._context.run(ASSOCIATION.set, association.id)
        match effect:
            case Call(function, arguments):
                event = arguments[0] if arguments else None
                if isinstance(event, Event):
                    event.called_at = time()
                return self._context.run(function, *arguments)
            case Pull(iterator):
                if type(iterator) is Gathering:
                    return self._context.run(gather, iterator, partial(association.flush, self, task, effect))
                return self._context.run(next, iterator, END)
            case Dial():
                return association.ae.dial_at_once(effect)

    def forget(self) -> None:
        """Let go of the association."""
        self._context = None


class Association(CalledVerbs, EntityAssociation):
    """One association of an application entity, or the failed attempt at one.

    As a context manager it raises what goes wrong, releases the association at the end, and aborts it on an exception.
    """

    def __init__(self, ae: AEBase[Any], handlers: Handlers, reception: Reception | None = None, **options: Any) -> None:
        super().__init__(ae, handlers, reception, **options)
        self.peer.read = as_storable
        self.peer.allocate = allocated
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._link: Link | None = None
        self._own: _Performer | None = None  # of its own thread
        self._callers = 0
        self._sleepers = 0
        self._reading: Waker | None = None  # of the thread that waits for the socket, for all who call
        self._reader: tuple[_Performer, Task[Any] | None] | None = None  # that thread, and what it has called for
        self._resting: Waker | None = None  # of its own thread, while that waits for anything
        self._watched: tuple[float | None, bool] = (None, False)  # until when they do, and whether for room to write

    def __enter__(self) -> Self:
        if self.failure is not None:
            raise self.failure
        self.peer.is_strict = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None:
                self.release()
        finally:
            self.abort()

    # --- what users call ----------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Release the association and wait until it has ended; without one, do nothing.

        What the peer has been asked for, and has not answered, is waited for first; results that nobody asks for any
        more are cancelled.
        """
        if not self.is_over and self._link is not None:
            self.run(self.part())

    def abort(self) -> None:
        """Abort the association; without one, do nothing. It waits for nobody, and may be called in any thread."""
        if self._link is None:
            self.abort_soon()  # as soon as it has a connection
            return
        if self.is_over:
            return
        send_on()
        performer = _Performer()
        with self._lock:
            self.give_up()
            self._callers += 1
            try:
                while performer.mail or self._take_turn(performer):
                    self._perform_next(performer)
            finally:
                self._leave()

    def join(self, timeout: float | None = None) -> None:
        """Wait until all is over, the handlers of the end included: see :meth:`is_alive`.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        LocalProtocolError
            If a handler of this association asks, which would wait for itself.
        """
        if self.is_handling():
            raise LocalProtocolError("a handler cannot wait for the end of its own association")
        deadline = None if timeout is None else monotonic() + timeout
        with self._lock:
            while self.is_alive():
                seconds = None if deadline is None else deadline - monotonic()
                if not self._changed.wait(seconds):
                    return

    # --- driving ------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """See to it that the engine has a turn; may be called in any thread.

        Who polls wakes up; if nobody does, whoever is about to looks for what has been posted first.
        """
        waker = self._reading or self._resting
        if waker is not None:
            waker.wake()

    def look(self) -> None:
        """Take in what has arrived, for a handler that asks whether it is cancelled; what follows is done later."""
        with self._lock:
            link = self._link
            is_waited_for = self._reading is not None or (self._resting is not None and not self._callers)
            if link is None or is_waited_for or monotonic() <= link.received_at + _GLANCE:
                return
            if link.descriptor >= 0 and link.wants_read:
                link.receive()
                self.engine.look(now=link.received_at)
                self._changed.notify_all()  # somebody may have got what they wait for

    def run(self, program: Program[T], *, invokes: bool = False) -> T:
        """Run a program on this association, and return its result (:mod:`dicom_proto.programs.effects`)."""
        if self._link is None:
            program.close()
            raise NotEstablishedError(f"the association is not established: {self.failure or self.peer.end()}")
        performer = _Performer()
        with self._lock:
            self._callers += 1
            task = self.engine.start(program, invokes=invokes)
            try:
                self._drive(performer, task)
            except BaseException:
                self.engine.cancel(task)
                raise
            finally:
                self._leave()
        return task.result()

    def iterate(self, begin: Program[Stream[T]], *, invokes: bool = False) -> Iterator[T]:
        """Begin at once; return the results, which are waited for as they are asked for."""
        results = self._results(self.run(begin, invokes=invokes))
        next(results)
        return results  # type: ignore[return-value]  # but for the first, which is gone

    def _results(self, stream: Stream[T]) -> Iterator[T | None]:
        try:
            yield None  # for iterate: only a generator that has begun is closed when it is abandoned
            while not stream.is_over:
                program: Program[T | None] = self.next_result(stream)
                result = self.run(program)
                if result is None:
                    return
                yield result
        finally:
            self.forget(stream)

    def _drive(self, performer: _Performer, task: Task[Any] | None) -> None:
        """Drive the engine until a task is done, and all that this thread has begun to call; with the lock."""
        while True:
            if performer.mail or self._take_turn(performer):
                self._perform_next(performer)
            elif (task is None or task.is_done) and not performer.bound:
                return
            elif self._reading is not None:
                self._sleep()
            else:
                self._read(performer, task)

    def _leave(self) -> None:
        """Call no more: somebody else has to read, if somebody waits; with the lock."""
        self._callers -= 1
        if self._sleepers:
            self._changed.notify_all()
        elif not self._callers and self._resting is not None:
            if self.engine.count > 0:
                self._resting.wake()
            else:
                self._tell_pollers()

    def _take_turn(self, performer: _Performer) -> bool:
        """Take a turn; return whether there is something to do before anything is waited for."""
        link = self._link
        if link is None or link.descriptor < 0:
            turn = self.engine.turn(now=monotonic())
            if link is not None:
                link.deadline = turn.deadline
        else:
            turn = link.turn()
            if turn.wants_close:
                link.close()
                turn.is_unfinished = True
        for task, effect in turn.effects:
            self._assign(performer, task, effect)
        if self._sleepers:
            self._changed.notify_all()
        if self._reading is not None or (self._resting is not None and not self._callers):
            self._tell_pollers()
        return turn.is_unfinished or bool(performer.mail)

    def _assign(self, performer: _Performer, task: Task[Any], effect: DriverEffect) -> None:
        """Say which thread does what a task asks for."""
        owner = task.performer
        if owner is None:
            if task.is_operation and (self.peer.connection.performed_window > 1 or _looks_ahead(effect)):
                owner = task.performer = WORKERS.take()
                task.on_end = partial(_give_back, task.on_end)
            elif type(effect) is Pull or task.opened:
                performer.bind(task)
                owner = performer
            else:
                owner = performer
        if type(effect) is Dial:  # others of this association do not wait for that
            run_aside(partial(self._perform_aside, task, effect), "dicom-dial")
            return
        if isinstance(owner, Worker):
            owner.submit(partial(self._perform_aside, task, effect), _note_failure)
            return
        owner.mail.append((task, effect))
        if owner is self._own and owner is not performer and self._resting is not None:
            self._resting.wake()

    def _perform_next(self, performer: _Performer) -> None:
        """Do what is asked of this thread next, without the lock; now and then, look at what has arrived meanwhile."""
        if not performer.mail:
            return
        self._perform(performer, *performer.mail.popleft())
        link = self._link
        if link is None or self._reading is not None or monotonic() <= link.received_at + _GLANCE:
            return
        if link.descriptor >= 0 and link.wants_read:
            link.receive()

    def _perform(self, performer: _Performer, task: Task[Any], effect: DriverEffect) -> None:
        self._lock.release()
        try:
            value, error = _outcome(performer.call, self, task, effect)
        except BaseException:  # the thread is to end
            self._lock.acquire()
            self.engine.cancel(task)
            raise
        self._lock.acquire()
        if type(effect) is Pull and type(effect.iterator) is Gathering:
            hand_over(self.engine, task, effect)
        else:
            self.engine.answer(task, value, error)
        del error  # the frames of its traceback lead here: it would hold itself

    def flush(self, performer: _Performer, task: Task[Any], effect: Pull) -> None:
        """Send on what a thread has gathered that waits for the next item; for any other thread."""
        with self._lock:
            if effect.iterator.has_ready:
                hand_over(self.engine, task, effect)
                self._take_turn(performer)

    def _perform_aside(self, task: Task[Any], effect: DriverEffect) -> None:
        """Do what one of several operations asks for, in a worker."""
        performer = _Performer()
        with self._lock:
            self._perform(performer, task, effect)
            self._drive(performer, None)

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _read(self, performer: _Performer, task: Task[Any] | None) -> None:
        """Wait for the socket, for all who call, and receive what has arrived."""
        vigil = own_vigil()
        self._reading, self._reader = vigil.waker, (performer, task)
        try:
            self._poll(vigil)
        finally:
            self._reading = self._reader = None

    def _poll(self, vigil: Vigil) -> None:
        """Wait without the lock; receive what has arrived, unless somebody else is about to."""
        link = self._link
        if link is None or self.engine.has_ready:
            return
        is_to_wait = True
        while is_to_wait:
            deadline = link.deadline
            self._watched = deadline, link.wants_write
            mask = (READABLE if link.wants_read else HANGUP) | (WRITABLE if link.wants_write else 0)
            seconds = None if deadline is None else max(0.0, deadline - monotonic())
            descriptor = link.descriptor
            is_readable = False
            self._lock.release()
            try:
                is_readable = vigil.wait(descriptor, mask, seconds)
            finally:
                self._lock.acquire()
            if not is_readable or (self._reading is not vigil.waker and self._callers) or link.descriptor < 0:
                return
            link.receive()
            is_to_wait = link.gathered is not None and not self.engine.has_ready

    def _sleep(self) -> None:
        """Wait until the thread that reads has taken a turn, or leaves."""
        self._sleepers += 1
        try:
            self._changed.wait()
        finally:
            self._sleepers -= 1

    def _tell_pollers(self) -> None:
        """End the wait of those who poll if there is more to do or to wait for than they know."""
        link = self._link
        if link is None:
            return
        if self._reader is not None:
            performer, task = self._reader
            if performer.mail or (task is not None and task.is_done):  # by the turn of another thread
                self.wake()
                return
        until, for_room = self._watched
        deadline = link.deadline
        is_earlier = deadline is not None and (until is None or deadline < until)
        if is_earlier or (link.wants_write and not for_room) or link.descriptor < 0:
            self.wake()

    # --- its life -----------------------------------------------------------------------------------------------------

    def request(
        self, offer: AAssociateRQ, address: Address, bind_address: Address | None, tls: TLSLayer | None
    ) -> None:
        """Establish the association as the requestor; :attr:`failure` says why if that fails."""
        with about(self.id):
            self.peer.connection.request(offer)
        try:
            sock = connect_socket(address, self.entity.connection_timeout, bind_address)
        except OSError as error:
            self.fail_to_connect(no_connection(address, error))
            return
        self.open(sock, tls)
        try:
            self.run(self.establish())
        finally:  # from now on; before, nobody else may take the answer
            _STARTER.start_later(self.live, self._has_lived)

    def open(self, sock: socket.socket, tls: TLSLayer | None) -> None:
        """Begin with a connected socket."""
        self.local_address, self.peer_address = local_address(sock), peer_address(sock)
        self._link = Link(Channel(sock, tls), self, monotonic)
        self.opened()

    def retire(self) -> None:
        """Let go of what holds itself: all is over."""
        super().retire()
        if self._own is not None:
            self._own.forget()

    def _has_lived(self) -> bool:
        return self.engine.is_finished

    def live_at_once(self) -> None:
        """Have its own thread see to it from now on."""
        if self._link is not None and not self.engine.is_finished:
            run_aside(self.live, "dicom-association")

    def live(self) -> None:
        """See to what the peer does while nobody calls, until all is over: for a thread of its own."""
        with self._lock:
            if self._own is not None:
                return
            performer = self._own = _Performer()
            try:
                while not self.engine.is_finished:
                    self._live_on(performer)
            except Exception:  # noqa: BLE001 - whatever it is costs this association only
                with about(self.id):
                    _log.exception("an association failed")
                self._lose(performer)
            self.retire()  # with the lock: nobody starts anything behind it unseen
            self._changed.notify_all()

    def _live_on(self, performer: _Performer) -> None:
        # What this thread has done is answered at once: those who call may wait for something else.
        if performer.mail or ((not self._callers or self.engine.has_ready) and self._take_turn(performer)):
            self._perform_next(performer)
            return
        if self.engine.is_finished:
            return
        vigil = own_vigil()
        self._resting = vigil.waker
        try:
            if self._callers:
                self._rest(vigil)
            else:
                self._poll(vigil)
        finally:
            self._resting = None

    def _rest(self, vigil: Vigil) -> None:
        """Leave the association to those who call, for a moment: who calls will most likely call again."""
        self._watched = monotonic() + _LINGER, True
        self._lock.release()
        try:
            vigil.wait(-1, 0, _LINGER)
        finally:
            self._lock.acquire()

    def _lose(self, performer: _Performer) -> None:
        """Close the connection of an association that has failed."""
        self.give_up()
        if self._link is not None:
            self._link.turn()
            self._link.close()
        while self._take_turn(performer):
            performer.mail.clear()


def _outcome(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Exception | None]:
    """Call something; return what it returns, or what it raises: in a frame that knows nothing of who has asked."""
    try:
        return function(*arguments), None
    except Exception as error:  # noqa: BLE001 - it belongs to the program
        return None, error


def _looks_ahead(effect: DriverEffect) -> bool:
    """Tell whether a handler is asked for an object while others are on their way: it must not hold those up."""
    return type(effect) is Pull and type(effect.iterator) is not Gathering


def _give_back(on_end: Callable[[Task[Any]], None] | None, task: Task[Any]) -> None:
    """Give the worker of an operation back when that is done."""
    WORKERS.give_back(task.performer)
    if on_end is not None:
        on_end(task)


def _note_failure(outcome: Outcome) -> None:
    if outcome.error is not None:
        _log.error("a worker failed", exc_info=outcome.error)
