"""Data sets that are read while they are sent, so that their size costs no memory.

May change.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.structure import Data
from dicom_proto.errors import LocalProtocolError

__all__ = ["ReadOnceError", "Source"]


class ReadOnceError(LocalProtocolError):
    """An object has been read from where it can be read only once: it cannot be sent again."""

    def __init__(self, why: object = None) -> None:
        super().__init__(
            "the object comes from what can be read only once, and has been read while it was sent:"
            " it cannot be sent again" + ("" if why is None else f" ({why})")
        )


class Source(ABC):
    """An encoded data set that is read while it is sent.

    Attributes
    ----------
    is_spent : bool
        Whether it has been read, and cannot be read again.
    """

    is_spent = False

    @abstractmethod
    def pieces(self) -> Iterator[Buffer]:
        """Yield the data set in order, in pieces of any length, which do not change any more.

        Where an event loop runs, they are asked for in another thread.

        Raises
        ------
        ReadOnceError
            If it has been read before, and that cannot be done twice.
        """

    def land(self) -> tuple[Buffer, Data]:
        """Return all of it, for whoever cannot do with less: as it is sent, and as it is looked at; here in memory."""
        whole = b"".join(self.pieces())
        return whole, whole
