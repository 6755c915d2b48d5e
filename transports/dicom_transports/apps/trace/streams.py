"""TCP connections put together from segments: late, repeated, overlapping and missing ones, in bounded memory.

May change.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, Protocol

from attrs import define, field

from dicom_transports.apps.trace.segments import ACK, FIN, RST, SYN, Segment, show_end

__all__ = ["Listener", "Reassembly"]

_MOST_STREAMS: Final = 1024
_MOST_OVER: Final = 8192  # directions of connections that are over, and remembered
_MOST_WAITING: Final = 512  # segments of one direction that came early
_MOST_WAITING_BYTES: Final = 1 << 22
_MOST_WAITING_IN_ALL: Final = 1 << 26
_PATIENCE: Final = 200_000_000  # nanoseconds that are waited for bytes which the other end has acknowledged
_HALF: Final = 1 << 31
_WHOLE: Final = 0xFFFFFFFF


class Listener(Protocol):
    """What is told of one connection; a direction is ``False`` from the first end to the second, ``True`` back."""

    is_deaf: bool  # nothing more of what passes matters

    def receive(self, back: bool, time: int, data: bytes) -> None:
        """Take bytes that follow those before."""

    def miss(self, back: bool, time: int, length: int) -> None:
        """Take note of bytes that are not in the capture."""

    def end(self, back: bool, time: int, *, reset: bool) -> None:
        """Take note that a direction has ended."""

    def close(self, remarks: list[str]) -> None:
        """Take note that all is over, and of what there is to say of how it was captured."""


@define
class _Store:
    """How much all directions together keep of what has come early."""

    length: int = 0


@define(eq=False)
class _Direction:
    """What one end sends. Sequence numbers are counted from the first byte, so that they do not begin again at 0."""

    stream: "_Stream"
    back: bool
    store: _Store
    base: int | None = None  # sequence number of the first byte, if it is known
    at: int = 0  # bytes that have been passed on
    acknowledged: int = 0
    missing_since: int | None = None
    last: int | None = None  # how many bytes there are, once that is known
    has_ended: bool = False
    waiting: dict[int, tuple[bytes, int]] = field(factory=dict)  # by where they begin: bytes, and those not captured
    waiting_bytes: int = 0
    repeated: int = 0
    late: int = 0
    missing: int = 0

    def take(self, segment: Segment) -> None:
        """Take a segment, and pass on what there is now."""
        length = len(segment.payload) + segment.missing
        if self.base is None:
            self.base = segment.sequence
        distance = (segment.sequence - self.base - self.at) & _WHOLE
        begin = self.at + (distance if distance < _HALF else distance - _WHOLE - 1)
        if segment.flags & FIN:
            self.last = begin + length
        if begin > self.at:
            self._keep(begin, segment)
        elif begin + length > self.at:
            if begin < self.at:
                self.repeated += 1
            self._pass_on(begin, segment.payload, segment.missing, segment.time)
            if self.waiting:
                self._catch_up(segment.time)
        elif length:
            self.repeated += 1
        self._look_at_end(segment.time)

    def _keep(self, begin: int, segment: Segment) -> None:
        known = self.waiting.get(begin)
        if segment.payload and (known is None or len(known[0]) < len(segment.payload)):
            self.late += known is None
            self._count(len(segment.payload) - (len(known[0]) if known else 0))
            self.waiting[begin] = (segment.payload, segment.missing)
            while self.waiting and self._keeps_too_much():
                self.give_up(segment.time)

    def _count(self, length: int) -> None:
        self.waiting_bytes += length
        self.store.length += length

    def _keeps_too_much(self) -> bool:
        return (
            len(self.waiting) > _MOST_WAITING
            or self.waiting_bytes > _MOST_WAITING_BYTES
            or self.store.length > _MOST_WAITING_IN_ALL
        )

    def _pass_on(self, begin: int, payload: bytes, missing: int, time: int) -> None:
        """Pass on what is new in a segment that begins no later than what is awaited."""
        fresh = payload[self.at - begin :] if begin < self.at else payload
        end = begin + len(payload) + missing
        if fresh:
            self.at += len(fresh)
            self.stream.listener.receive(self.back, time, fresh)
        if end > self.at:
            self._miss(end - self.at, time)
        self.missing_since = None

    def _miss(self, length: int, time: int) -> None:
        self.missing += length
        self.at += length
        self.stream.listener.miss(self.back, time, length)

    def _catch_up(self, time: int) -> None:
        """Pass on those that came early and are now next."""
        for begin in sorted(self.waiting):
            if begin > self.at:
                break
            payload, missing = self.waiting.pop(begin)
            self._count(-len(payload))
            if begin + len(payload) + missing > self.at:
                self._pass_on(begin, payload, missing, time)

    def give_up(self, time: int) -> None:
        """Wait no longer for what is missing before the next that there is."""
        following = min(self.waiting, default=max(self.acknowledged, self.at))
        if following > self.at:
            self._miss(following - self.at, time)
        self.missing_since = None
        self._catch_up(time)
        self._look_at_end(time)

    def note_acknowledged(self, number: int, time: int) -> None:
        """Note what the other end says that it has; give up what it has and the capture has not, after a while."""
        if self.base is None:
            self.base = number
            return
        beyond = (number - self.base - self.at) & _WHOLE
        if not 0 < beyond < _HALF:
            return
        if self.last is not None and self.at == self.last:  # that was the FIN
            return
        self.acknowledged = max(self.acknowledged, self.at + beyond)
        if self.missing_since is None:
            self.missing_since = time
        elif time - self.missing_since > _PATIENCE:
            while self.at < self.acknowledged:
                self.give_up(time)

    def _look_at_end(self, time: int) -> None:
        if self.last is not None and self.at >= self.last and not self.has_ended:
            self.has_ended = True
            self.stream.listener.end(self.back, time, reset=False)

    def remarks(self) -> Iterator[str]:
        """Say what was unusual."""
        way = "to the first end" if self.back else "to the second end"
        if self.repeated:
            yield f"{self.repeated} segments {way} were repeated"
        if self.late:
            yield f"{self.late} segments {way} came out of order"
        if self.missing:
            yield f"{self.missing} bytes {way} are not in the capture"


@define(eq=False)
class _Stream:
    listener: Listener
    keys: tuple[bytes, bytes]
    store: _Store
    directions: tuple[_Direction, _Direction] = field(init=False)
    time: int = 0

    def __attrs_post_init__(self) -> None:
        self.directions = (_Direction(self, False, self.store), _Direction(self, True, self.store))

    @property
    def is_over(self) -> bool:
        """Whether nothing more of it matters."""
        return self.listener.is_deaf or all(direction.has_ended for direction in self.directions)

    def close(self) -> None:
        for direction in self.directions:
            while direction.waiting:
                direction.give_up(self.time)
        self.listener.close([remark for direction in self.directions for remark in direction.remarks()])


class Reassembly:
    """Puts connections together, as many at a time as there is room for; the one that has been silent longest goes.

    Parameters
    ----------
    listen : callable
        Makes what is told of a connection, from its number, its two ends, of which the first has opened it if
        that was seen, and whether it was.
    """

    def __init__(self, listen: Callable[[int, tuple[str, str], bool], Listener]) -> None:
        self._listen = listen
        self._numbers = count(1)
        self._directions: dict[bytes, _Direction] = {}
        self._streams: OrderedDict[int, _Stream] = OrderedDict()  # by id, the one that has been silent longest first
        self._over: dict[bytes, int | None] = {}  # where those began that are over, of which segments may still come
        self._store = _Store()
        self._last: _Stream | None = None

    @property
    def waiting_bytes(self) -> int:
        """How much is kept of what has come early."""
        return self._store.length

    def take(self, segment: Segment) -> None:
        """Take the next segment of the capture."""
        key = segment.addresses + segment.ports
        direction = self._directions.get(key)
        flags = segment.flags
        if flags & SYN:
            direction = self._open(key, segment, direction)
            if direction is None or not segment.payload:  # but for TCP Fast Open
                return
            segment = segment._replace(sequence=(segment.sequence + 1) & _WHOLE)
        elif direction is None:
            if not segment.payload or key in self._over:
                return
            direction = self._begin(key, segment, has_start=False).directions[0]
        stream = direction.stream
        stream.time = segment.time
        if stream is not self._last:
            self._streams.move_to_end(id(stream))
            self._last = stream
        if flags & ACK:
            stream.directions[not direction.back].note_acknowledged(segment.acknowledged, segment.time)
        if segment.payload or segment.missing or flags & FIN:
            direction.take(segment)
        if flags & RST and not direction.has_ended:
            for either in stream.directions:
                either.has_ended = True
            stream.listener.end(direction.back, segment.time, reset=True)
        if (direction.has_ended or stream.listener.is_deaf) and stream.is_over:
            self._retire(stream)

    def _open(self, key: bytes, segment: Segment, known: _Direction | None) -> _Direction | None:
        """Take the segment that opens a direction: of a new connection, if it is not that of one that is known."""
        first = (segment.sequence + 1) & _WHOLE
        is_answer = bool(segment.flags & ACK)
        if known is None:
            if key in self._over and (is_answer or self._over[key] == first):
                return None
        else:
            is_same = known.base in (None, first) and not known.has_ended
            if is_same or (is_answer and not known.at):
                known.base = first
                return known
            self._close(known.stream)
        self._begin(key, segment, has_start=True)
        direction = self._directions[key]
        direction.base = first
        return direction

    def _begin(self, key: bytes, segment: Segment, *, has_start: bool) -> _Stream:
        if len(self._streams) >= _MOST_STREAMS:
            self._close(next(iter(self._streams.values())))
        addresses, ports = segment.addresses, segment.ports
        middle = len(addresses) // 2
        other = addresses[middle:] + addresses[:middle] + ports[2:] + ports[:2]
        source = show_end(addresses[:middle], int.from_bytes(ports[:2], "big"))
        target = show_end(addresses[middle:], int.from_bytes(ports[2:], "big"))
        keys = (key, other)
        is_back = bool(has_start and segment.flags & ACK)  # the answer alone was captured
        if is_back:
            source, target, keys = target, source, (other, key)
        stream = _Stream(self._listen(next(self._numbers), (source, target), has_start), keys, self._store)
        stream.time = segment.time
        for known, direction in zip(keys, stream.directions, strict=True):
            self._directions[known] = direction
            self._over.pop(known, None)
        self._streams[id(stream)] = stream
        return stream

    def _retire(self, stream: _Stream) -> None:
        """Forget a connection that is over, but for where it began."""
        self._close(stream)
        for key, direction in zip(stream.keys, stream.directions, strict=True):
            self._over[key] = direction.base
        while len(self._over) > _MOST_OVER:
            del self._over[next(iter(self._over))]

    def _close(self, stream: _Stream) -> None:
        stream.close()
        del self._streams[id(stream)]
        for key in stream.keys:
            self._directions.pop(key, None)
        self._last = None

    def close(self) -> None:
        """Say that the capture has ended."""
        while self._streams:
            self._close(next(iter(self._streams.values())))
