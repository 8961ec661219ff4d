"""Serving a home: one process, one port, the embedded worker, and a stop that lets answers out first."""

from __future__ import annotations

import logging
import resource
import signal
import socket
import ssl
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import uvicorn

from sandbox.crypto.suite import INTL
from sandbox.errors import DependencyFailed, RequestError
from sandbox.gateway.app import create_app
from sandbox.gateway.connections import bounded
from sandbox.gateway.logs import configure
from sandbox.gateway.readiness import Readiness
from sandbox.settings import Settings, load
from sandbox.wiring import open_house
from sandbox.work import duties
from sandbox.work.presence import present

_log = logging.getLogger("sandbox.serve")


def run(home: Path, *, host: str | None, port: int | None) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        RequestError: `serve_insecure`, `tls_…`, and what `open_house` raises.
        DependencyFailed: `port_failed`, `traces_failed`.
    """
    settings = load(home, host=host, port=port)
    tls = check_transport(settings, home)
    configure(settings.log_level)
    signal.signal(signal.SIGTERM, _stop)
    _allow_files()
    with open_house(home, settings) as house, ExitStack() as open_until_the_end:
        listener = listen(settings.host, settings.port)
        digest = settings.digest(INTL.digest)
        _log.info("settings %s", digest)
        app = create_app(house)
        if settings.metrics_port:
            open_until_the_end.enter_context(app.state.gate.watch.metrics.exposed(settings.metrics_port))
        open_until_the_end.enter_context(
            present(house.sessions, house.clock, worker_id=house.worker_id, role="gateway", settings=digest)
        )
        worker = duties.start(house, only=None if house.sessions.embedded else duties.EVERYWHERE)
        try:
            server = _Server(config_of(app, settings, tls), listener, app.state.readiness, settings.drain_seconds)
            server.run(sockets=[listener])
        finally:
            worker.stop()
            listener.close()


def check_transport(settings: Settings, home: Path) -> ssl.SSLContext | None:
    """Keys travel in every request: in clear they stay on this machine, or between it and the proxies it trusts.

    Gives what TLS needs, None without TLS.

    Raises:
        RequestError: `serve_insecure`; `tls_incomplete`, `tls_file_failed`, `tls_certificate_malformed`,
            `tls_key_malformed`, `tls_mismatched`.
    """
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise RequestError("tls_incomplete")
    if settings.tls_certificate is not None and settings.tls_key is not None:
        return _tls(home / settings.tls_certificate, home / settings.tls_key)
    if not settings.loopback() and not settings.trusted_proxies:
        raise RequestError("serve_insecure", host=settings.host)
    return None


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    for file in (certificate, key):
        try:
            file.read_bytes()
        except OSError:
            raise RequestError("tls_file_failed", file=str(file)) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    except ssl.SSLError:
        raise RequestError("tls_certificate_malformed", file=str(certificate)) from None
    try:
        # An empty passphrase: without one, OpenSSL would ask the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise RequestError("tls_mismatched", certificate=str(certificate), key=str(key)) from None
        raise RequestError("tls_key_malformed", file=str(key)) from None
    return context


def config_of(app: object, settings: Settings, tls: ssl.SSLContext | None) -> uvicorn.Config:
    """How uvicorn serves the application: one process, no signature of its own, an end to waiting."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application; uvicorn names it by its call signature
        http=bounded(most=settings.connections, seconds=settings.body_seconds),
        log_config=None,
        access_log=False,
        server_header=False,
        # Whose word on an address counts is the door's business.
        proxy_headers=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=settings.stop_seconds,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )


def _allow_files() -> None:
    """As many open files as this process may have: every connection is one, and the usual first limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Server(uvicorn.Server):
    """Tells on standard output when requests are taken; a stop turns readiness red first, and drains."""

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, readiness: Readiness, drain_seconds: float
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._readiness = readiness
        self._drain = drain_seconds
        self._until = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            self._readiness.leave()
            self._until = time.monotonic() + self._drain
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        stop = await super().on_tick(counter)
        return stop and (self.force_exit or time.monotonic() >= self._until)

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
