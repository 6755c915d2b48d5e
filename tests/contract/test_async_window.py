"""Several tasks that share one association, within its operations window (PS3.7 D.3.3.3)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from dicom_transports.asyncio import evt
from tests.contract.entities import FIND, ct, dataset
from tests.contract.stacks import Stack


class Together:
    """Operations that wait for each other, and end in the opposite order; those behind the first do not wait."""

    def __init__(self, stack: Stack, count: int) -> None:
        self._stack = stack
        self._count = count
        self._waiting: list[Any] = []
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.now = self.most = 0

    async def __call__(self, event: Any) -> int:
        self.begun.append(event.message_id)
        self.now += 1
        self.most = max(self.most, self.now)
        if len(self.begun) <= self._count:
            mine = self._stack.signal()
            self._waiting.append(mine)
            if len(self._waiting) == self._count:
                self._waiting.pop().set()
            await mine.wait()
        self.ended.append(event.message_id)
        self.now -= 1
        if self._waiting:
            self._waiting.pop().set()
        return 0x0000


@pytest.mark.parametrize(("window", "tasks"), [(4, 4), (4, 12), (2, 6)])
async def test_responses_come_in_any_order(stack: Stack, window: int, tasks: int) -> None:
    together = Together(stack, window)
    answered: list[int] = []

    async def ask(association: Any, number: int) -> None:
        assert (await association.send_c_echo(number)).Status == 0x0000
        answered.append(number)

    ae = stack.entity("SCU", maximum_operations_invoked=window)
    async with (
        stack.serving((evt.EVT_C_ECHO, together), maximum_operations_performed=window) as server,
        stack.dial(server, ae=ae) as association,
        stack.group() as group,
    ):
        for number in range(1, tasks + 1):
            group.start(ask, association, number)
    assert together.most == window
    first = together.begun[:window]
    assert [number for number in together.ended if number in first] == first[::-1]
    assert sorted(answered) == sorted(together.begun) == [*range(1, tasks + 1)]


@pytest.mark.parametrize(("invoked", "performed"), [(1, 9), (9, 1), (1, 1)])
async def test_window_of_one_is_synchronous(stack: Stack, invoked: int, performed: int) -> None:
    """One operation after the other, whichever side wants it so."""
    together = Together(stack, 1)

    async def ask(association: Any) -> None:
        assert (await association.send_c_echo()).Status == 0x0000

    ae = stack.entity("SCU", maximum_operations_invoked=invoked)
    async with (
        stack.serving((evt.EVT_C_ECHO, together), maximum_operations_performed=performed) as server,
        stack.dial(server, ae=ae) as association,
        stack.group() as group,
    ):
        for _ in range(8):
            group.start(ask, association)
    assert together.most == 1
    assert together.ended == together.begun
    assert len(together.begun) == 8


async def test_tasks_share_an_association(stack: Stack) -> None:
    """Queries, objects and echoes at once: each has its own answers."""

    async def find(event: Any) -> AsyncIterator[Any]:
        for number in range(10):
            await stack.loop.pause()
            yield 0xFF00, dataset(PatientName=f"{event.identifier.PatientName}{number}")

    async def store(event: Any) -> Any:
        await stack.loop.pause()
        return 0xB000 + event.dataset.Rows

    async def ask(association: Any, name: int) -> None:
        for _ in range(3):
            results = association.send_c_find(dataset(PatientName=f"P{name}x"), FIND)
            names = [str(identifier.PatientName) async for _, identifier in results if identifier]
            assert names == [f"P{name}x{number}" for number in range(10)]
            assert (await association.send_c_store(ct(name))).Status == 0xB000 + name
            assert (await association.send_c_echo()).Status == 0x0000

    ae = stack.entity("SCU", maximum_operations_invoked=4)
    async with (
        stack.serving((evt.EVT_C_FIND, find), (evt.EVT_C_STORE, store), maximum_operations_performed=4) as server,
        stack.dial(server, ae=ae) as association,
        stack.group() as group,
    ):
        for name in range(1, 7):
            group.start(ask, association, name)


async def test_one_of_several_is_cancelled(stack: Stack) -> None:
    """A task that gives up its call leaves the others theirs."""
    together = Together(stack, 3)
    answered: list[int] = []

    async def ask(association: Any, number: int) -> None:
        assert (await association.send_c_echo(number)).Status == 0x0000
        answered.append(number)

    ae = stack.entity("SCU", maximum_operations_invoked=3)
    async with (
        stack.serving((evt.EVT_C_ECHO, together), maximum_operations_performed=3) as server,
        stack.dial(server, ae=ae) as association,
    ):
        async with stack.started(lambda: ask(association, 1)) as cancel, stack.group() as group:
            await stack.until(lambda: together.begun)
            cancel()
            for number in (2, 3):
                group.start(ask, association, number)
        assert sorted(answered) == [2, 3]
        assert association.is_established
