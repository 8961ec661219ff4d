"""The application behind a real socket, as `sandbox serve` puts it there."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from sandbox.cli.serving import check_transport, config_of
from sandbox.gateway.app import create_app
from sandbox.settings import Settings
from sandbox.wiring import House


@contextmanager
def started(app: FastAPI, settings: Settings, tls: ssl.SSLContext | None) -> Iterator[str]:
    """An application, served as `sandbox serve` does; gives its address."""
    config = config_of(app, settings, tls)
    config.host, config.port = "127.0.0.1", 0
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)


@contextmanager
def listening(house: House, folder: Path) -> Iterator[str]:
    """The gateway of a house over a socket."""
    with started(create_app(house), house.settings, check_transport(house.settings, folder)) as url:
        yield url


def connect(url: str) -> socket.socket:
    host, port = url.rpartition("//")[2].split(":")
    return socket.create_connection((host, int(port)), timeout=60)
