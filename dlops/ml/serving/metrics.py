"""What a server tells Prometheus: requests, errors, seconds, batches, the queue, versions, feedback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

if TYPE_CHECKING:
    from dlops.ml.serving.deployment import Deployment

CONTENT_TYPE = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each that there is, and nobody asks for it
_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters and gauges of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        made: Any = {"registry": self._registry}
        self._requests = Counter("dlops_requests", "Requests that were answered.", ["endpoint", "status"], **made)
        self._seconds = Histogram(
            "dlops_request_seconds", "Seconds that requests took.", ["endpoint"], buckets=_SECONDS, **made
        )
        self._rows = Counter("dlops_rows", "Texts that were answered.", ["version"], **made)
        self._errors = Counter("dlops_errors", "Requests that the server could not answer.", ["reason"], **made)
        self._batch = Histogram("dlops_batch_rows", "Texts of a batch.", buckets=_ROWS, **made)
        self._engine = Histogram("dlops_engine_seconds", "Seconds that a batch took.", buckets=_SECONDS, **made)
        self._model = Gauge("dlops_model", "Versions that answer.", ["role", "name", "version", "engine"], **made)
        self._feedback = Counter("dlops_feedback", "True labels that were told.", ["version", "correct"], **made)
        self._shadow = Counter("dlops_shadow_rows", "Texts that a shadow answered as well.", ["answer"], **made)
        self._unwatched = Counter("dlops_watch_errors", "Looks at an alias that failed.", ["role"], **made)
        self._logged = Gauge("dlops_log_rows_waiting", "Rows that wait to be logged.", **made)
        self._dropped = Gauge("dlops_log_rows_dropped", "Rows that could not be logged.", **made)
        self._waiting = Gauge("dlops_queue_rows", "Texts that wait.", **made)
        self._replaced = Gauge("dlops_processes_replaced", "Processes that ended, and were replaced.", **made)
        self._named: dict[str, tuple[str, str, str, str]] = {}

    def watch(self, *, waiting: Callable[[], float], replaced: Callable[[], float]) -> None:
        """Take what is asked at the moment that somebody looks."""
        self._waiting.set_function(waiting)
        self._replaced.set_function(replaced)

    def watch_log(self, *, waiting: Callable[[], float], dropped: Callable[[], float]) -> None:
        """Take what the log of requests says."""
        self._logged.set_function(waiting)
        self._dropped.set_function(dropped)

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def answered(self, version: str, rows: int) -> None:
        """Count texts."""
        self._rows.labels(version).inc(rows)

    def error(self, reason: str) -> None:
        """Count what the server could not answer."""
        self._errors.labels(reason).inc()

    def batch(self, rows: int, seconds: float) -> None:
        """Count a batch."""
        self._batch.observe(rows)
        self._engine.observe(seconds)

    def version(self, role: str, found: Deployment) -> None:
        """Say which version has a role now."""
        if before := self._named.get(role):
            self._model.remove(*before)
        name = (role, found.model.name or found.model.uri, found.model.version or "", found.kept.told.form)
        self._named[role] = name
        self._model.labels(*name).set(1)

    def feedback(self, version: str, *, correct: bool) -> None:
        """Count a true label."""
        self._feedback.labels(version, str(correct).lower()).inc()

    def shadowed(self, answer: str, rows: int) -> None:
        """Count texts that a shadow answered."""
        self._shadow.labels(answer).inc(rows)

    def unwatched(self, role: str) -> None:
        """Count a look at an alias that failed."""
        self._unwatched.labels(role).inc()

    def text(self) -> bytes:
        """Give all of it as Prometheus reads it."""
        return bytes(generate_latest(self._registry))


def merged(told: Mapping[str, bytes]) -> bytes:
    """Join what several servers tell, each of whose samples then names its server, as the label `replica`."""
    families: dict[str, Metric] = {}
    for replica, text in sorted(told.items()):
        for family in text_string_to_metric_families(text.decode()):
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            whole.samples += [
                Sample(one.name, {**one.labels, "replica": replica}, one.value, one.timestamp) for one in family.samples
            ]
    registry = CollectorRegistry()
    registry.register(_Collected(list(families.values())))
    return bytes(generate_latest(registry))


class _Collected(Collector):
    """Metrics that were collected elsewhere."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families
