"""Watch: who is told when a request is over: the metrics always, the traces where the settings name a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from sandbox.gateway.limits import Flight, QuerySlots
from sandbox.gateway.metrics import Metrics, Standing
from sandbox.gateway.traces import Traces
from sandbox.gateway.trails import Walked
from sandbox.wiring import House


@dataclass(frozen=True, slots=True)
class Watch:
    """The metrics and the traces of one process."""

    metrics: Metrics
    traces: Traces | None

    @classmethod
    def of(cls, house: House, *, queues: Mapping[str, QuerySlots], flight: Flight) -> Self:
        """As the settings say.

        Raises:
            DependencyFailed: `traces_failed`.
        """
        metrics, file = Metrics(), house.settings.traces

        def depths() -> dict[str, tuple[int, int]]:
            return {name: queue.depth() for name, queue in queues.items()}

        metrics.registry.register(Standing(house, depths, lambda: flight.aboard))
        return cls(metrics, None if file is None else Traces(house.path(file)))

    def tell(self, walked: Walked) -> None:
        """A request is over."""
        self.metrics.tell(walked)
        if self.traces is not None:
            self.traces.write(walked)

    def close(self) -> None:
        """Write what is left."""
        if self.traces is not None:
            self.traces.close()
