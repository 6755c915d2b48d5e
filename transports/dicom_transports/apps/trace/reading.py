"""From a capture file to the entries of its trace.

May change.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import BinaryIO, Final

from attrs import frozen

from dicom_transports.apps.trace.capture import Capture
from dicom_transports.apps.trace.conversation import Conversation
from dicom_transports.apps.trace.entries import Entry, Kind
from dicom_transports.apps.trace.recognition import Content
from dicom_transports.apps.trace.segments import Segments
from dicom_transports.apps.trace.streams import Reassembly

__all__ = ["Outcome", "read_capture"]

_WORDS: Final = {
    Content.DICOM: "DICOM",
    Content.TLS: "encrypted (TLS), which cannot be read",
    Content.OTHER: "something else",
    Content.UNKNOWN: "too little to tell",
}


@frozen
class Outcome:
    """What a capture had.

    Parameters
    ----------
    contents : mapping of Content to int
        How many connections carried what.
    is_damaged : bool
        Whether the file is damaged or truncated.
    """

    contents: Mapping[Content, int]
    is_damaged: bool

    @property
    def associations(self) -> int:
        """How many connections carried DICOM."""
        return self.contents.get(Content.DICOM, 0)

    def __str__(self) -> str:
        found = [
            f"{self.contents[content]} with {words}" for content, words in _WORDS.items() if content in self.contents
        ]
        return f"TCP connections: {', '.join(found) or 'none'}"


def read_capture(
    file: BinaryIO, sink: Callable[[Entry], object], *, values: bool = False, pdus: bool = False
) -> Outcome:
    """Tell of every TCP connection of a capture that carries DICOM, on whatever port, while reading it once.

    Parameters
    ----------
    file : binary file
        pcap or pcapng.
    sink : callable
        Takes the entries, in the order in which what they tell of was seen.
    values : bool
        Whether the values of data sets, which tell of patients, may be in them.
    pdus : bool
        Whether each P-DATA-TF is an entry.

    Raises
    ------
    CaptureError
        If the file is no capture.
    """
    contents: Counter[Content] = Counter()

    class Listener(Conversation):
        """A conversation that is counted when it is over."""

        def close(self, remarks: list[str]) -> None:
            super().close(remarks)
            contents[self.content] += 1

    def listen(number: int, ends: tuple[str, str], has_start: bool) -> Conversation:
        return Listener(number, ends, has_start, sink, values=values, pdus=pdus)

    capture, segments, reassembly = Capture(file), Segments(), Reassembly(listen)
    last = 0
    for packet in capture:
        segment = segments.of(packet)
        if segment is not None:
            last = segment.time
            reassembly.take(segment)
    reassembly.close()

    def note(name: str, text: str, status: str = "") -> None:
        sink(Entry(stream=0, time=last, until=last, kind=Kind.NOTE, name=name, text=text, status=status))

    for problem in capture.problems:
        note("capture", problem, "warning")
    for what, count in segments.passed_over.items():
        note("capture", f"{count} {what}", "warning")
    outcome = Outcome(contents, bool(capture.problems))
    note("summary", str(outcome))
    return outcome
