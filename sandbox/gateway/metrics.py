"""Metrics: what Prometheus reads on a listener of this machine alone: counts by declared names, of no row or text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.pool import QueuePool

from sandbox import __version__
from sandbox.clock import parse_rfc3339
from sandbox.errors import DependencyFailed, SandboxError
from sandbox.gateway.trails import LATER, Walked
from sandbox.objects.watched import WatchedObjects
from sandbox.store import duties, log
from sandbox.wiring import House

LIMITS: Final = frozenset({
    "body_too_large", "gateway_busy", "proxy_insecure", "proxy_unknown", "request_timed_out", "request_too_slow",
    "too_many_bad_keys", "too_many_queries", "too_many_requests", "too_many_under_way",
})  # fmt: skip
"""Codes of requests that a limit refused."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_RUNGS: Final = tuple(0.25 * 2**n for n in range(14))
HOST: Final = "127.0.0.1"


class Metrics:
    """The counters of this process, with a registry of their own: processor time would tell how long computing took."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry()
        self._requests = Counter(
            "sandbox_requests", "Requests by route, method and status class.", ["route", "method", "status"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "sandbox_request_seconds", "Duration of requests without a step after the charge.", ["route", "method"],
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self._steps = Counter("sandbox_steps", "Steps that ended, by outcome.", ["step", "outcome"], registry=registry)
        self._step_seconds = Histogram(
            "sandbox_step_seconds", "Duration of steps up to the charge.", ["step"], registry=registry, buckets=_SECONDS
        )
        self._rung = Histogram(
            "sandbox_rung_seconds", "The declared rung of charged questions.", registry=registry, buckets=_RUNGS
        )
        self._problems = Counter("sandbox_problems", "Refusals and failures by code.", ["code"], registry=registry)
        self._limits = Counter("sandbox_limits_hit", "Requests that a limit refused.", ["limit"], registry=registry)

    def tell(self, walked: Walked) -> None:
        """Count a request that is over."""
        method = walked.method if walked.method in _METHODS else "other"
        self._requests.labels(walked.route, method, f"{walked.status // 100}xx").inc()
        if walked.timed:
            self._seconds.labels(walked.route, method).observe((walked.ended - walked.began) / 1e9)
        if walked.code is not None:
            self._problems.labels(walked.code).inc()
            if walked.code in LIMITS:
                self._limits.labels(walked.code).inc()
        for step in walked.steps:
            self._steps.labels(step.name, step.outcome).inc()
            if step.name not in LATER:
                self._step_seconds.labels(step.name).observe(step.seconds)
        if walked.charge is not None:
            self._rung.observe(walked.charge.rung)

    def limit(self, name: str) -> None:
        """Count a limit that was hit without a refusal of its own."""
        self._limits.labels(name).inc()

    @contextmanager
    def exposed(self, port: int) -> Iterator[int]:
        """Listen on a port of this machine, 0 for a free one; gives the port.

        Raises:
            DependencyFailed: `port_failed`.
        """
        try:
            server, thread = start_http_server(port, addr=HOST, registry=self.registry)
        except OSError:
            raise DependencyFailed("port_failed", host=HOST, port=port) from None
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class Standing(Collector):
    """What is looked up when Prometheus asks: duties, log, queues, connections, and failures of the object store."""

    def __init__(
        self, house: House, queues: Callable[[], dict[str, tuple[int, int]]], flight: Callable[[], int]
    ) -> None:
        self._house = house
        self._queues = queues
        self._flight = flight

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: to describe would be to look."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All of it, as it is now."""
        yield GaugeMetricFamily("sandbox_requests_in_flight", "Requests under way.", value=self._flight())
        depth = GaugeMetricFamily("sandbox_queue", "Callers in a queue, by standing.", labels=["queue", "standing"])
        for name, (held, waiting) in self._queues().items():
            depth.add_metric([name, "held"], held)
            depth.add_metric([name, "waiting"], waiting)
        yield depth
        yield self._connections()
        yield self._objects()
        release = GaugeMetricFamily("sandbox_release", "The release that runs.", labels=["release"])
        release.add_metric([__version__], 1)
        yield release
        yield from self._stored()

    def _connections(self) -> Metric:
        found = GaugeMetricFamily("sandbox_database_connections", "Connections in use.", labels=["pool"])
        for name, engine in (("writing", self._house.sessions.writer), ("reading", self._house.sessions.reader)):
            if isinstance(engine.pool, QueuePool):
                found.add_metric([name], engine.pool.checkedout())
        return found

    def _objects(self) -> Metric:
        found = CounterMetricFamily("sandbox_object_store_failures", "Failures by code.", labels=["code"])
        objects = self._house.objects
        if isinstance(objects, WatchedObjects):
            for code, count in objects.failures().items():
                found.add_metric([code], count)
        return found

    def _stored(self) -> Iterator[Metric]:
        up = "Whether the database answers."
        try:
            with self._house.sessions.reading() as session:
                standing, size, signed = duties.all_duties(session), log.size(session), log.checkpoint_at(session)
        except SandboxError:
            yield GaugeMetricFamily("sandbox_database_up", up, value=0)
            return
        yield GaugeMetricFamily("sandbox_database_up", up, value=1)
        yield GaugeMetricFamily("sandbox_log_size", "Events that have a place in the log.", value=size)
        if signed is not None:
            age = "Seconds since the newest checkpoint was signed."
            yield GaugeMetricFamily("sandbox_checkpoint_age_seconds", age, value=self._age(signed))
        ages = GaugeMetricFamily("sandbox_duty_age_seconds", "Seconds since a duty last succeeded.", labels=["duty"])
        failing = GaugeMetricFamily("sandbox_duty_failing", "Whether a duty's last try failed.", labels=["duty"])
        for duty in standing:
            failing.add_metric([duty.name], duty.error is not None)
            if duty.last_ok is not None:
                ages.add_metric([duty.name], self._age(duty.last_ok))
        yield ages
        yield failing

    def _age(self, moment: str) -> float:
        return max(0.0, (self._house.clock.now() - parse_rfc3339(moment)).total_seconds())
