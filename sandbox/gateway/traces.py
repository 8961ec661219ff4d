"""Traces: one OpenTelemetry span a request and one a step, as JSON lines in a file; ids and codes, nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TextIO

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from sandbox import __version__
from sandbox.errors import DependencyFailed
from sandbox.gateway.trails import AT_RUNG, LATER, Charge, Step, Walked

_DELAY_MS: Final = 1000


class Traces:
    """Writes spans to a file. Of steps after the charge a span says the declared moments alone: charge and rung."""

    def __init__(self, file: Path) -> None:
        """Open the file, readable by its owner alone.

        Raises:
            DependencyFailed: `traces_failed`.
        """
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            raise DependencyFailed("traces_failed", file=str(file)) from None
        self._out: TextIO = os.fdopen(descriptor, "w", encoding="utf-8")
        exporter = ConsoleSpanExporter(out=self._out, formatter=_line)
        # Not from the environment: what a trace says of this process is decided here.
        resource = Resource({"service.name": "data-sandbox", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_DELAY_MS))
        self._tracer: Tracer = self._provider.get_tracer("sandbox")

    def write(self, walked: Walked) -> None:
        """The spans of a request that is over."""
        span = self._tracer.start_span("request", start_time=walked.began, attributes=_attributes(walked))
        if walked.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        context = set_span_in_context(span)
        for step in walked.steps:
            start, end = _moments(step, walked)
            child = self._tracer.start_span(
                step.name, context=context, start_time=start, attributes={"outcome": step.outcome}
            )
            child.end(end)
        span.end(_end(walked))

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._provider.shutdown()
        self._out.close()


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


def _end(walked: Walked) -> int:
    if walked.timed:
        return walked.ended
    return walked.began if walked.charge is None else walked.charge.leaves


def _moments(step: Step, walked: Walked) -> tuple[int, int]:
    charge: Charge | None = walked.charge
    if step.name not in LATER:
        return step.ended - round(step.seconds * 1e9), step.ended
    if charge is None:  # an answer that was paid for before: that it was read, and when it was asked for
        return walked.began, walked.began
    return (charge.leaves, charge.leaves) if step.name in AT_RUNG else (charge.at, charge.leaves)


def _attributes(walked: Walked) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        "http.request.method": walked.method,
        "http.route": walked.route,
        "http.response.status_code": walked.status,
        "request.id": walked.request_id,
    }
    if walked.code is not None:
        found["code"] = walked.code
    if walked.principal is not None:
        found |= {"principal": walked.principal.id, "tenant": walked.principal.tenant}
    if walked.charge is not None:
        found |= {"query": walked.charge.query_id, "rung": walked.charge.rung}
    return found
