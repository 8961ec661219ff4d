"""Callers of a small server: each gets a bounded share of its connections, and a bounded time to say what it wants."""

from __future__ import annotations

import io
import ipaddress
import socket
import threading
import time
from collections import Counter
from typing import Any, Final

_AT_ONCE: Final = 128
"""Connections that are served at the same time; more wait to be accepted."""
_OF_ONE: Final = 16
"""Connections of one caller among them; more are turned away, so that nobody keeps everybody else out."""
_NETWORK: Final = 64
"""Bits of an IPv6 address that tell one caller from another: the others are theirs to choose."""


class Room:
    """Who is inside, and how often."""

    def __init__(self) -> None:
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self._inside: Counter[str] = Counter()
        self._turn = threading.Lock()

    def enter(self, host: str) -> bool:
        """Wait for a place; False at once for a caller that has its share already."""
        caller = _caller(host)
        with self._turn:
            if self._inside[caller] >= _OF_ONE:
                return False
            self._inside[caller] += 1
        self._room.acquire()
        return True

    def leave(self, host: str) -> None:
        """Give the place back."""
        caller = _caller(host)
        with self._turn:
            self._inside[caller] -= 1
            if not self._inside[caller]:
                del self._inside[caller]
        self._room.release()


class Timely(io.RawIOBase):
    """What a connection says until a deadline, however slowly it says it; each write has the same patience."""

    def __init__(self, connection: socket.socket, patience: float) -> None:
        super().__init__()
        self._connection = connection
        self._patience = patience
        self._deadline = time.monotonic() + patience

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """What has come, at most as much as fits.

        Raises:
            TimeoutError: the deadline has passed.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(self._patience)


def _caller(host: str) -> str:
    """Who is counted as one."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _NETWORK), strict=False))
