"""What users see of an association, in words that users of pynetdicom know; the same whatever carries it.

An adapter's ``Association`` says how a program is run, and so what a call returns: a result, or something that is
awaited for one.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar, cast

from attrs import evolve
from pydicom.dataset import Dataset

from dicom_proto.application import requests as calls
from dicom_proto.application.life import HANDLING, AssociationLife
from dicom_proto.application.service_user import ServiceUser, acceptor_of, requestor_of
from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.offers.contexts import PresentationContext, build_context
from dicom_proto.programs.effects import Await, Program
from dicom_proto.programs.invoking import Invoking
from dicom_proto.programs.streams import Stream, at_once
from dicom_proto.programs.user_programs import scu_for
from dicom_proto.services.storage.pipeline import Pipeline

__all__ = ["AssociationFace"]

T = TypeVar("T")
NothingT = TypeVar("NothingT")
StatusT = TypeVar("StatusT")
ResultT = TypeVar("ResultT")
ResultsT = TypeVar("ResultsT")
SentT = TypeVar("SentT")


class AssociationFace(AssociationLife, Generic[NothingT, StatusT, ResultT, ResultsT, SentT]):
    """An association, and what can be asked of it.

    The type parameters are what calls return: nothing, a status, a status with a data set, many of those, and many
    items with the status of each.
    """

    # --- how an adapter runs programs ---------------------------------------------------------------------------------

    @abstractmethod
    def run(self, program: Program[Any]) -> Any:
        """Run a service program on this association, and return its result (:mod:`dicom_proto.programs.effects`)."""

    @abstractmethod
    def iterate(self, begin: Program[Stream[Any]]) -> Any:
        """Return the results of the stream that a program begins, to be iterated over."""

    @abstractmethod
    def abort(self) -> None:
        """Abort the association; without one, do nothing. It waits for nobody."""

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def ae(self) -> Any:
        """The application entity whose it is."""
        return self.entity

    @property
    def mode(self) -> str:
        """Which side this is: ``"requestor"`` or ``"acceptor"``."""
        return "acceptor" if self.is_acceptor else "requestor"

    @property
    def requestor(self) -> ServiceUser:
        """The side that has requested the association."""
        address = self.peer_address if self.is_acceptor else self.local_address
        return requestor_of(self.peer.connection, address)

    @property
    def acceptor(self) -> ServiceUser:
        """The side that has accepted the association, or was asked to."""
        address = self.local_address if self.is_acceptor else self.peer_address
        return acceptor_of(self.peer.connection, self.entity.local_side, self.entity.ae_title, address)

    @property
    def local(self) -> dict[str, Any]:
        """What there is to know about this side: ``mode``, ``ae_title``, ``address``, ``port``, ``pdv_size``."""
        return (self.acceptor if self.is_acceptor else self.requestor).info

    @property
    def remote(self) -> dict[str, Any]:
        """What there is to know about the other side: as :attr:`local`."""
        return (self.requestor if self.is_acceptor else self.acceptor).info

    @property
    def acse_timeout(self) -> float | None:
        """Seconds to wait for the answer to a release, ``None`` for ever; setting it counts for this association."""
        return self.peer.connection.timeouts.release

    @acse_timeout.setter
    def acse_timeout(self, seconds: float | None) -> None:
        artim = {} if seconds is None else {"artim": seconds}
        self._set_timeouts(request=seconds, release=seconds, **artim)

    @property
    def dimse_timeout(self) -> float | None:
        """Seconds to wait for a DIMSE response, ``None`` for ever; setting it counts from the next wait on."""
        return self.peer.connection.timeouts.response

    @dimse_timeout.setter
    def dimse_timeout(self, seconds: float | None) -> None:
        self._set_timeouts(response=seconds)

    @property
    def network_timeout(self) -> float | None:
        """Seconds without traffic after which it is aborted, ``None`` for ever; counts from the next traffic on."""
        return self.peer.connection.timeouts.idle

    @network_timeout.setter
    def network_timeout(self, seconds: float | None) -> None:
        self._set_timeouts(idle=seconds)

    @property
    def network_timeout_response(self) -> str:
        """What follows when the network timeout has passed: ``"A-ABORT"``, or ``"A-RELEASE"``."""
        return "A-RELEASE" if self.peer.connection.releases_when_idle else "A-ABORT"

    @network_timeout_response.setter
    def network_timeout_response(self, response: str) -> None:
        if response not in {"A-ABORT", "A-RELEASE"}:
            raise InvalidSettingError(f"{response!r} is no answer to silence: it is 'A-ABORT' or 'A-RELEASE'")
        self.peer.connection.releases_when_idle = response == "A-RELEASE"

    def _set_timeouts(self, **seconds: Any) -> None:
        try:
            self.peer.connection.timeouts = evolve(self.peer.connection.timeouts, **seconds)
        except (TypeError, ValueError) as error:
            raise InvalidSettingError(f"a timeout is a number of seconds above 0, or None: {error}") from error

    @property
    def accepted_contexts(self) -> list[PresentationContext]:
        """The presentation contexts that both sides agreed on."""
        return [self._as_context(context_id) for context_id in self.peer.connection.contexts]

    @property
    def rejected_contexts(self) -> list[PresentationContext]:
        """The presentation contexts that were proposed and not accepted."""
        agreement = self.peer.connection.agreement
        contexts = []
        for rejected in agreement.rejected.values() if agreement else ():
            context = build_context(rejected.abstract_syntax, rejected.transfer_syntaxes)
            context.context_id, context.result = rejected.context_id, rejected.result
            contexts.append(context)
        return contexts

    def _as_context(self, context_id: int) -> PresentationContext:
        accepted = self.peer.connection.contexts[context_id]
        context = build_context(accepted.abstract_syntax, accepted.transfer_syntax)
        context.context_id, context.result = context_id, 0
        context.as_scu, context.as_scp = accepted.requestor_is_scu, accepted.requestor_is_scp
        if self.is_acceptor:
            context.as_scu, context.as_scp = context.as_scp, context.as_scu
        return context

    # --- handlers -----------------------------------------------------------------------------------------------------

    def bind(self, event: EventKind, handler: Any, args: Sequence[Any] | None = None) -> None:
        """Bind a handler to an event of this association; raises as :meth:`Handlers.bind`."""
        self.peer.handlers.bind(event, handler, args)
        self.notifier.update()

    def unbind(self, event: EventKind, handler: Any) -> None:
        """Unbind a handler."""
        self.peer.handlers.unbind(event, handler)
        self.notifier.update()

    def get_events(self) -> list[EventKind]:
        """Return the events that something is bound to."""
        return sorted(self.peer.handlers.kinds(), key=str)

    def get_handlers(self, event: EventKind) -> Any:
        """Return what is bound to an event, as ``(handler, arguments)``: a list of them for a notification event.

        For an intervention event without a handler it is ``(None, None)``.
        """
        return self.peer.handlers.stated(event)

    # --- its end ------------------------------------------------------------------------------------------------------

    def release(self) -> NothingT:
        """Release the association and wait until it has ended; without one, do nothing.

        What the peer has been asked for, and has not answered, is waited for first.
        """
        return cast(NothingT, self.run(self.part(is_handling=self._is_handling())))

    # --- what is asked of the peer: see dicom_proto.application.requests ----------------------------------------------

    def send_c_echo(self, msg_id: int | None = None) -> StatusT:
        """Send a C-ECHO request; return its status, empty if there is no answer."""
        return self._status(calls.c_echo(self.peer, msg_id))

    def send_c_store(
        self,
        dataset: Any,
        msg_id: int | None = None,
        priority: int = 2,
        originator_aet: str | None = None,
        originator_id: int | None = None,
        *,
        decompress: bool = False,
    ) -> StatusT:
        """Send a C-STORE request; return its status.

        Parameters
        ----------
        dataset : path, Dataset, file object, bytes or tuple
            What is to be stored. The data set of a file, or of its content, goes out as it lies there, if the peer
            takes its transfer syntax. A tuple is a ``FileMetaDataset`` and the bytes of the data set.
        msg_id : int, optional
            The message ID.
        priority : int
            0 medium, 1 high, 2 low.
        originator_aet, originator_id
            Whose C-MOVE asked for it, and which (PS3.7 9.1.1.1.6).
        decompress : bool
            Whether a compressed object may be decompressed where the peer does not take it as it is: by the decoders
            that pydicom finds installed.
        """
        given = self.peer.read(dataset)

        def send() -> Program[Dataset]:
            stored = yield from calls.fit_object(self.peer, given, decompress=decompress)
            store = calls.c_store(self.peer, stored, msg_id, priority, originator_aet, originator_id)
            return (yield from self._in_window(store))

        return cast(StatusT, self.run(send()))

    def send_c_stores(
        self,
        items: Any,
        priority: int = 2,
        on_progress: Callable[[int, int], object] | None = None,
        *,
        decompress: bool = False,
    ) -> SentT:
        """Send many objects, as many at a time as the operations window allows; yield each with its status.

        Parameters
        ----------
        items : iterable or async iterable
            What :meth:`send_c_store` takes.
        priority : int
            0 medium, 1 high, 2 low.
        on_progress : callable, optional
            Called with the numbers of objects and of bytes that have been answered for.
        decompress : bool
            As for :meth:`send_c_store`.

        Returns
        -------
        iterator of tuple
            The item and the status Dataset, in the order in which the responses come. Where no response came, or the
            item could not be sent, that is an empty :class:`~dicom_proto.services.storage.pipeline.NotStored`, whose
            ``failure`` says why.
        """
        pipeline = partial(
            Pipeline,
            self.peer,
            items,
            self.peer.read,
            calls.status_of,
            priority=priority,
            on_progress=on_progress,
            decompress=decompress,
        )
        return cast(SentT, self.iterate(at_once(pipeline)))

    def send_c_find(self, dataset: Dataset, query_model: str, msg_id: int | None = None, priority: int = 2) -> ResultsT:
        """Send a C-FIND request; yield status and identifier of each response."""
        return self._many(partial(calls.c_find, self.peer, dataset, query_model, msg_id, priority))

    def send_c_get(self, dataset: Dataset, query_model: str, msg_id: int | None = None, priority: int = 2) -> ResultsT:
        """Send a C-GET request; yield status and identifier of each response. The objects come to ``EVT_C_STORE``."""
        return self._many(partial(calls.c_get, self.peer, dataset, query_model, msg_id, priority))

    def send_c_move(
        self, dataset: Dataset, move_aet: str, query_model: str, msg_id: int | None = None, priority: int = 2
    ) -> ResultsT:
        """Send a C-MOVE request; yield status and identifier of each response."""
        return self._many(partial(calls.c_move, self.peer, dataset, move_aet, query_model, msg_id, priority))

    def send_c_cancel(self, msg_id: int, context_id: int | None = None, query_model: str | None = None) -> NothingT:
        """Ask the peer to end a C-FIND, C-GET or C-MOVE."""
        return cast(NothingT, self.run(at_once(partial(calls.c_cancel, self.peer, msg_id, context_id, query_model))))

    def send_n_event_report(
        self,
        dataset: Dataset | None,
        event_type: int,
        class_uid: str,
        instance_uid: str,
        msg_id: int | None = None,
        meta_uid: str | None = None,
    ) -> ResultT:
        """Send an N-EVENT-REPORT request; return status and event reply."""
        return self._result(
            calls.n_event_report(self.peer, dataset, event_type, class_uid, instance_uid, msg_id, meta_uid)
        )

    def send_n_get(
        self,
        identifier_list: Iterable[Any],
        class_uid: str,
        instance_uid: str,
        msg_id: int | None = None,
        meta_uid: str | None = None,
    ) -> ResultT:
        """Send an N-GET request; return status and attribute list."""
        return self._result(calls.n_get(self.peer, identifier_list, class_uid, instance_uid, msg_id, meta_uid))

    def send_n_set(
        self,
        dataset: Dataset,
        class_uid: str,
        instance_uid: str,
        msg_id: int | None = None,
        meta_uid: str | None = None,
    ) -> ResultT:
        """Send an N-SET request; return status and attribute list."""
        return self._result(calls.n_set(self.peer, dataset, class_uid, instance_uid, msg_id, meta_uid))

    def send_n_action(
        self,
        dataset: Dataset | None,
        action_type: int,
        class_uid: str,
        instance_uid: str,
        msg_id: int | None = None,
        meta_uid: str | None = None,
    ) -> ResultT:
        """Send an N-ACTION request; return status and action reply."""
        return self._result(calls.n_action(self.peer, dataset, action_type, class_uid, instance_uid, msg_id, meta_uid))

    def send_n_create(
        self,
        dataset: Dataset | None,
        class_uid: str,
        instance_uid: str | None = None,
        msg_id: int | None = None,
        meta_uid: str | None = None,
    ) -> ResultT:
        """Send an N-CREATE request; return status and attribute list."""
        return self._result(calls.n_create(self.peer, dataset, class_uid, instance_uid, msg_id, meta_uid))

    def send_n_delete(
        self, class_uid: str, instance_uid: str, msg_id: int | None = None, meta_uid: str | None = None
    ) -> StatusT:
        """Send an N-DELETE request; return its status."""
        return self._status(calls.n_delete(self.peer, class_uid, instance_uid, msg_id, meta_uid))

    def get_scu(self, sop_class: str) -> Callable[..., Any]:
        """Return the user's own service of a SOP class (``AE.add_scu``), bound to this association.

        Raises
        ------
        LocalProtocolError
            If none is bound to the SOP class.
        """
        program = scu_for(self.entity, sop_class)
        return lambda *arguments, **options: self.run(self._in_window(program(self.peer, *arguments, **options)))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _is_handling(self) -> bool:
        """Tell whether a handler of this association is asking."""
        return self in HANDLING.get()

    def _status(self, program: Program[Dataset]) -> StatusT:
        return cast(StatusT, self.run(self._in_window(program)))

    def _result(self, program: Program[calls.Result]) -> ResultT:
        return cast(ResultT, self.run(self._in_window(program)))

    def _many(self, invoke: Callable[[], Invoking]) -> ResultsT:
        return cast(ResultsT, self.iterate(self._in_window(at_once(lambda: calls.Results(invoke())))))

    def _in_window(self, program: Program[T]) -> Program[T]:
        """Let a program that invokes an operation wait until another one may be outstanding (PS3.7 D.3.3.3).

        One that a handler runs does not wait: what it would wait for may need the handler to return.
        """
        return program if self._is_handling() else self._when_there_is_room(program)

    def _when_there_is_room(self, program: Program[T]) -> Program[T]:
        connection, router = self.peer.connection, self.peer.router

        def has_room() -> bool | None:
            # it may be the caller who has to ask for what fills the router
            return not self.is_established or connection.can_invoke or router.is_full or None

        while not (connection.can_invoke or has_room()):  # another thread may have taken it
            yield Await(has_room)
        return (yield from program)
