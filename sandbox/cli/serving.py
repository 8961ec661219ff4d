"""Serving a home: one process, one port, the embedded worker, and a stop that lets answers out first."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import uvicorn

from sandbox.crypto.suite import INTL
from sandbox.errors import DependencyFailed, RequestError
from sandbox.gateway.app import create_app
from sandbox.gateway.logs import configure
from sandbox.settings import Settings, load
from sandbox.wiring import open_house
from sandbox.work import duties

_log = logging.getLogger("sandbox.serve")


def run(home: Path, *, host: str | None, port: int | None) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        RequestError: `serve_insecure`, and what `open_house` raises.
        DependencyFailed: `port_failed`.
    """
    settings = load(home, host=host, port=port)
    check_transport(settings)
    configure(settings.log_level)
    signal.signal(signal.SIGTERM, _stop)
    with open_house(home, settings) as house:
        listener = listen(settings.host, settings.port)
        _log.info("settings %s", settings.digest(INTL.digest))
        worker = duties.start(house)
        try:
            server = _Server(config_of(create_app(house), settings), listener)
            server.run(sockets=[listener])
        finally:
            worker.stop()
            listener.close()


def check_transport(settings: Settings) -> None:
    """Keys travel in every request: in clear they stay on this machine.

    Raises:
        RequestError: `serve_insecure`, `tls_incomplete`.
    """
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise RequestError("tls_incomplete")
    if settings.tls_key is None and not settings.loopback():
        raise RequestError("serve_insecure", host=settings.host)


def config_of(app: object, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the application: one process, no signature of its own, an end to waiting."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application; uvicorn names it by its call signature
        log_config=None,
        access_log=False,
        server_header=False,
        # Nobody stands between: an address in a header would be the caller's own invention.
        proxy_headers=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=settings.stop_seconds,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )


class _Server(uvicorn.Server):
    """Tells on standard output when requests are taken."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self._listener.getsockname()[:2]
        scheme = "https" if self.config.is_ssl else "http"
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"ready on {scheme}://{shown}:{port}\n")
        sys.stdout.flush()


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address, before anything else is begun.

    Raises:
        DependencyFailed: `port_failed`.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as unless_bound:
            listener = unless_bound.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            unless_bound.pop_all()
    except OSError:
        raise DependencyFailed("port_failed", host=host, port=port) from None
    return listener


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # Outside uvicorn's own loop (it takes the signal over while it runs, then raises it again): leave by the
    # `finally` clauses instead of dying on the spot.
    raise SystemExit(0)
