"""Connections: how many at one time, and how long one may take to say what it wants."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


class Bounded(H11Protocol):
    """HTTP as uvicorn speaks it, with an end to waiting that it does not have.

    Without it, a connection that sends a letter of its first line now and then stays for good; so does one that goes
    on sending a body which was refused. `limit_concurrency` would answer even health with a 503 of uvicorn's own form:
    here one connection too many is closed instead, and requests are bounded by the door.
    """

    most: ClassVar[int] = 2000
    seconds: ClassVar[float] = 30.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Go on; a byte now and then does not lengthen the time."""
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """The time for the next request runs, or for the rest of a body that was refused."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._calm()
        super().connection_lost(exc)

    def _wait(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering or self.transport.is_closing():
            self._calm()
        elif self._patience is None:
            self._patience = self.loop.call_later(self.seconds, self.transport.abort)

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def bounded(*, most: int, seconds: float) -> type[Bounded]:
    """The protocol with these limits; uvicorn makes one for each connection, and passes on nothing of ours."""
    return type("Bounded", (Bounded,), {"most": most, "seconds": float(seconds)})
