"""The witness as a program: HTTP by the standard library, one file of memory, stored before any cosignature leaves."""

from __future__ import annotations

import fcntl
import io
import ipaddress
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO
from urllib.parse import parse_qs, urlsplit

from sandbox.audit.checkpoint import ED25519, read_vkey
from sandbox.audit.cosign import TIMED, witness_vkey
from sandbox.audit.witness import LONGEST_BODY, SIZE_MEDIA, Seen, Verdict, consider, dump_seen, load_seen
from sandbox.cli.callers import Room, Timely
from sandbox.crypto.keys import create_log_key, load_log_key
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed, RequestError

_KEY, _VKEY, _STATE, _LOCK = "key", "witness.vkey", "seen.json", "lock"
_PATIENCE: Final = 10.0
"""Seconds for a whole request, from the connection to the last byte of its body."""
_TEXT: Final = "text/plain; charset=utf-8"


def make(folder: Path, name: str) -> str:
    """A new witness in a folder; gives its public key.

    Raises:
        Conflict: `key_file_exists`.
        DependencyFailed: `key_file_failed`.
        IntegrityFailed: `log_name_refused`.
        OSError: the folder cannot be written.
    """
    witness_vkey(name, bytes(32))  # a name that cannot be is refused before anything is made
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    vkey = witness_vkey(name, INTL.public_key(create_log_key(folder / _KEY)))
    (folder / _VKEY).write_text(f"{vkey}\n", "utf-8")
    _store(folder, {})
    return vkey


class Witness:
    """A key, the logs it watches, and what it saw of them; one judgement at a time."""

    def __init__(self, folder: Path, logs: Sequence[str]) -> None:
        """Open a folder.

        Raises:
            Conflict: `witness_running`.
            IntegrityFailed: `witness_state_damaged`, `key_file_malformed`, `log_key_mode`, `vkey_malformed`.
            DependencyFailed: `key_file_failed`.
            OSError: a file cannot be read.
        """
        self._folder = folder
        self._private = load_log_key(folder / _KEY)
        self._vkey = (folder / _VKEY).read_text("utf-8").strip()
        self._name, public = read_vkey(self._vkey, TIMED)
        if public != INTL.public_key(self._private):
            raise IntegrityFailed("vkey_malformed")
        self._logs: defaultdict[str, list[str]] = defaultdict(list)
        for vkey in logs:
            self._logs[read_vkey(vkey, ED25519)[0]].append(vkey)
        self._alone = _lock(folder)
        state = folder / _STATE
        self._seen: Seen = load_seen(state.read_bytes(), self._vkey, file=str(state))
        self._turn = threading.Lock()

    def judge(self, body: bytes) -> Verdict:
        """The verdict over a submission; what it saw is on the disk when this returns.

        Raises:
            OSError: it could not be stored; nothing was cosigned.
        """
        with self._turn:
            verdict = consider(
                self._seen, self._logs, body, name=self._name, private=self._private, at=int(time.time())
            )
            if verdict.seen is not None:
                _store(self._folder, verdict.seen)
                self._seen = verdict.seen
        _say(f"{verdict.status} {verdict.why}: {verdict.origin!a} {verdict.old} -> {verdict.size}")
        return verdict

    def latest(self, origin: str) -> str | None:
        """The newest checkpoint of a log with this witness's cosignature."""
        return self._seen.get(origin)

    def close(self) -> None:
        """Let another process open the folder."""
        self._alone.close()


def serve(
    folder: Path, logs: Sequence[str], *, host: str, port: int, certificate: Path | None, key: Path | None
) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        RequestError: `witness_insecure`, `tls_incomplete`.
        DependencyFailed: `port_failed`, and as `Witness` does.
    """
    if (certificate is None) != (key is None):
        raise RequestError("tls_incomplete")
    if certificate is None and not _loopback(host):
        raise RequestError("witness_insecure", host=host)
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        tls.load_cert_chain(certificate, key)
    signal.signal(signal.SIGTERM, _stop)
    witness = Witness(folder, logs)
    try:
        with Server(witness, host, port, tls) as server:
            sys.stdout.write(f"ready on {server.url}\n")
            sys.stdout.flush()
            server.serve_forever()
    finally:
        witness.close()


class Server(ThreadingHTTPServer):
    """A bounded number of connections, each in a thread, around one witness."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, witness: Witness, host: str, port: int, tls: ssl.SSLContext | None = None, *, patience: float = _PATIENCE
    ) -> None:
        """Bind the address.

        Raises:
            DependencyFailed: `port_failed`.
        """
        self.witness = witness
        self.patience = patience
        self._room = Room()
        try:
            self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            super().__init__((host, port), _Handler)
        except OSError:
            raise DependencyFailed("port_failed", host=host, port=port) from None
        if tls is not None:
            # The handshake is left to the connection's own thread: a silent caller must not stop the door.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if tls is None else 'https'}://{shown}:{self.server_address[1]}"

    def server_bind(self) -> None:
        """Without the reverse look-up of the standard library, which may hang."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait for room before a thread is made; whoever has enough of it already is not waited for."""
        if not self._room.enter(client_address[0]):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread was to be had
            self._room.leave(client_address[0])
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Give the room back, whatever happened."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.leave(client_address[0])

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """One line; callers break connections and handshakes as they like."""
        _say(f"connection ended: {type(sys.exc_info()[1]).__name__}")


class _Handler(BaseHTTPRequestHandler):
    """One request; the connection ends with its answer, so that nobody stays by asking again and again."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "sandbox-witness", ""
    server: Server

    def setup(self) -> None:
        """One deadline for all that is read, and the same patience for each write."""
        super().setup()
        self.connection.settimeout(self.server.patience)
        self.rfile = io.BufferedReader(Timely(self.connection, self.server.patience))

    def parse_request(self) -> bool:
        """The next request gets a connection of its own."""
        whole = super().parse_request()
        self.close_connection = True
        return whole

    def do_POST(self) -> None:
        """`add-checkpoint`."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/add-checkpoint":
            self._answer(404, "")
        elif not (length.isascii() and length.isdecimal()) or "Transfer-Encoding" in self.headers:
            self._answer(411, "")
        elif int(length[:9]) > LONGEST_BODY:
            self._answer(413, "")
        else:
            self._judged(self.rfile.read(int(length)), int(length))

    def do_GET(self) -> None:
        """`latest?origin=`: for a log that was restored and asks what it had already published."""
        asked = urlsplit(self.path)
        note = None
        if asked.path == "/latest":
            note = self.server.witness.latest(parse_qs(asked.query).get("origin", [""])[0])
        self._answer(200 if note else 404, note or "")

    def _judged(self, body: bytes, length: int) -> None:
        if len(body) < length:
            self._answer(400, "")
            return
        try:
            verdict = self.server.witness.judge(body)
        except OSError as failed:
            _say(f"503 the memory cannot be written: {failed.strerror}")
            self._answer(503, "")
            return
        self._answer(verdict.status, verdict.body, SIZE_MEDIA if verdict.status == 409 else _TEXT)

    def _answer(self, status: int, body: str, media: str = _TEXT) -> None:
        raw = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_words: object) -> None:
        """The verdicts are the log."""


def _store(folder: Path, seen: Mapping[str, str]) -> None:
    """The whole state under its name, durable, or the old one."""
    draft = folder / f"{_STATE}.new"
    with draft.open("wb") as file:
        file.write(dump_seen(seen))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / _STATE)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> TextIO:
    file = (folder / _LOCK).open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Conflict("witness_running", folder=str(folder)) from None
    return file


def _loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stderr.flush()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
