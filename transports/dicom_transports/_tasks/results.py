"""What is awaited one by one: the results of an operation, and of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar

from dicom_proto.programs.effects import Dial, Program
from dicom_proto.programs.streams import Stream
from dicom_proto.programs.tasks import Task, Tasks
from dicom_proto.services.storage.batch import Batch
from dicom_proto.services.storage.pipeline import Sent
from dicom_transports._tasks.performing import Performer
from dicom_transports.loops import Coro, Loop, Signal

__all__ = ["Deliveries", "Results"]

T = TypeVar("T")


class _Runs(Protocol):
    """What results need of their association."""

    async def run(self, program: Program[T], *, invokes: bool = False) -> T: ...

    def next_result(self, stream: Stream[Any]) -> Program[Any]: ...

    def forget(self, stream: Stream[Any]) -> None: ...

    def wait_for(self, function: Callable[[], Coro[T]]) -> T: ...


class OneByOne(ABC):
    """What is awaited one by one; who stops asking, or forgets it, takes no more interest in it."""

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    def close(self) -> None:
        """Take no more interest in the results."""

    async def aclose(self) -> None:
        """Take no more interest in the results."""
        self.close()

    def __del__(self) -> None:
        self.close()


class Results(OneByOne, Generic[T]):
    """Results that are asked for one by one; who stops asking takes no more interest in them."""

    def __init__(self, association: _Runs, begin: Program[Stream[T]], *, invokes: bool) -> None:
        self._association = association
        self._begin = begin
        self._invokes = invokes
        self._stream: Stream[T] | None = None

    async def __anext__(self) -> T:
        if self._stream is None:
            self._stream = await self._association.run(self._begin, invokes=self._invokes)
        if self._stream.is_over:
            raise StopAsyncIteration
        program: Program[T | None] = self._association.next_result(self._stream)
        result = await self._association.run(program)
        if result is None:
            raise StopAsyncIteration
        return result

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """Wait for the next one in another thread than the loop's: for handlers that are plain functions."""
        try:
            return self._association.wait_for(self.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Take no more interest in the results: an operation that can be cancelled is."""
        if self._stream is None:
            self._begin.close()
        else:
            self._association.forget(self._stream)


class Deliveries(OneByOne):
    """What becomes of a batch, awaited one by one.

    It is no async generator: one that is left in the middle could be closed in another task only.
    """

    id = ""  # it is about no association

    def __init__(self, batch: Batch, loop: Callable[[], Loop], dial: Callable[[Dial], Coro[Any]]) -> None:
        self._batch = batch
        self._get_loop = loop
        self._dial = dial
        self._loop: Loop | None = None  # that of who asks first
        self._performer: Performer | None = None
        self._signal: Signal | None = None
        self._is_closed = False
        self._tasks = Tasks(self._wake)
        self._task = self._tasks.start(batch.run())

    async def __anext__(self) -> Sent:
        if self._loop is None:
            self._loop = self._get_loop()
        loop = self._loop
        performer = self._performer = self._performer or Performer(loop)
        finished = self._batch.finished
        while not finished:
            signal = self._signal = loop.signal()
            effects, deadline = self._tasks.turn(now=loop.now())
            for task, effect in effects:
                if isinstance(effect, Dial):
                    loop.spawn(self._dial_aside, task, effect)
                    continue
                try:
                    self._tasks.resume(task, await performer.do(self, effect))
                except Exception as error:  # noqa: BLE001 - it is the program's
                    self._tasks.throw(task, error)
            if self._task.is_done and not finished:
                performer.give_back()
                self._task.result()
                raise StopAsyncIteration
            if not (effects or finished):
                await loop.wait_until(signal, deadline)
        return finished.popleft()

    async def dial(self, effect: Dial) -> Any:
        """Request an association; it lives in a task of the loop."""
        return await self._dial(effect)

    async def _dial_aside(self, task: Task[Any], effect: Dial) -> None:
        """Request an association while others of the batch are at work; one that comes too late is aborted."""
        try:
            association = await self.dial(effect)
        except Exception as error:  # noqa: BLE001 - it is the program's
            self._tasks.throw(task, error)
        else:
            if self._is_closed:
                association.abort()
            self._tasks.resume(task, association)
        self._wake()

    def _wake(self) -> None:
        if self._signal is not None and self._loop is not None:
            self._loop.call_soon(self._signal.set)

    def close(self) -> None:
        """Take no more interest in the results: the associations are aborted."""
        self._is_closed = True
        self._batch.finished.clear()
        self._tasks.cancel(self._task)
        if self._performer is not None:
            self._performer.give_back()
