"""The numbers of application entities for Prometheus.

Stable.

They are read from ``ae.counters`` when they are asked for, so nothing is counted for them alone::

    from prometheus_client import start_http_server

    watch(ae)
    start_http_server(9104)

It needs the extra ``metrics``, which is `prometheus-client <https://pypi.org/project/prometheus-client/>`_; importing
this module does not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from dicom_proto.application.counters import Counters
from dicom_proto.application.entity import ApplicationEntity

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

__all__ = ["AECollector", "expose", "watch"]

_Values = Mapping[Any, float]  # by the values of the labels


@frozen
class _Family:
    """A metric: its name, what it means, its labels, and how its values are read from the numbers."""

    name: str
    meaning: str
    labels: Sequence[str]
    read: Callable[[Counters], _Values]


def _plain(name: str) -> Callable[[Counters], _Values]:
    return lambda counters: {(): getattr(counters, name)}


def _by_label(name: str) -> Callable[[Counters], _Values]:
    return lambda counters: {(label,): count for label, count in getattr(counters, name).items()}


def _established(counters: Counters) -> _Values:
    return {("acceptor",): counters.accepted, ("requestor",): counters.requested}


def _rejected(counters: Counters) -> _Values:
    return counters.rejected


def _operations(counters: Counters) -> _Values:
    return {(one.role, one.name, one.status): count for one, count in counters.operations.items()}


_OPEN: Final = "dicom_associations_open"
_FAMILIES: Final = (
    _Family(_OPEN, "Associations that are established now", (), _plain("open")),
    _Family("dicom_associations", "Associations that were established", ("mode",), _established),
    _Family("dicom_associations_rejected", "Requests that were rejected", ("reason", "decided_by"), _rejected),
    _Family("dicom_associations_refused", "Own requests that peers have rejected", ("reason",), _by_label("refused")),
    _Family("dicom_associations_ended", "Associations that have ended", ("how",), _by_label("ended")),
    _Family("dicom_association_seconds", "How long associations have lasted", (), _plain("seconds")),
    _Family("dicom_operations", "DIMSE operations that have ended", ("role", "operation", "status"), _operations),
    _Family("dicom_received_bytes", "Bytes of PDUs that were received", (), _plain("bytes_received")),
    _Family("dicom_sent_bytes", "Bytes of PDUs that were sent", (), _plain("bytes_sent")),
    _Family("dicom_tolerated", "What peers were allowed against the standard", ("habit",), _by_label("tolerated")),
)


class AECollector:
    """Reads the numbers of application entities; a collector of ``prometheus_client``.

    Parameters
    ----------
    *entities : ApplicationEntity
        Each with a title of its own, which is the label ``ae`` of its numbers.
    """

    def __init__(self, *entities: ApplicationEntity) -> None:
        self._entities = entities

    def collect(self) -> "Iterator[Metric]":
        """Yield the metrics as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - of an extra

        numbers = [(entity.ae_title, entity.counters) for entity in self._entities]
        for family in _FAMILIES:
            kind: Any = GaugeMetricFamily if family.name == _OPEN else CounterMetricFamily
            metric = kind(family.name, family.meaning, labels=["ae", *family.labels])
            for title, counters in numbers:
                for labels, value in family.read(counters).items():
                    metric.add_metric([title, *labels], value)
            yield metric


def watch(*entities: ApplicationEntity, registry: "CollectorRegistry | None" = None) -> AECollector:
    """Register the numbers of application entities, by default where ``prometheus_client`` looks for them.

    Returns
    -------
    AECollector
        What was registered, to be unregistered.
    """
    from prometheus_client import REGISTRY  # noqa: PLC0415 - of an extra

    collector = AECollector(*entities)
    (REGISTRY if registry is None else registry).register(collector)
    return collector


def expose(*entities: ApplicationEntity) -> str:
    """Return the numbers of application entities as Prometheus' text, for a web server of one's own."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - of an extra

    registry = CollectorRegistry()
    watch(*entities, registry=registry)
    return generate_latest(registry).decode()
