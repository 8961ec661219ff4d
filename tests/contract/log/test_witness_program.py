"""The witness as a program of its own: it remembers over restarts, refuses forks, and says what is wrong with its folder."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from sandbox.audit import merkle
from sandbox.audit.checkpoint import checkpoint_text, sign_note, vkey
from sandbox.audit.cosign import cosigned_at
from sandbox.audit.witness import LONGEST_BODY, read_answer, request_body
from sandbox.cli.witnessing import Server, Witness
from sandbox.crypto.suite import INTL

LOG, LOG_KEY = "log.example/a", bytes(range(32))
VKEY = vkey(LOG, INTL.public_key(LOG_KEY))
LEAVES = [merkle.leaf_hash(b"%d" % n) for n in range(40)]
FORKED = [merkle.leaf_hash(b"-%d" % n) for n in range(40)]


def note(size: int, leaves: Sequence[bytes] = LEAVES) -> str:
    return sign_note(checkpoint_text(LOG, size, merkle.root(leaves[:size])), LOG, LOG_KEY)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sandbox.cli.main", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = run("witness", "init", str(tmp_path / "witness"), "--name", "witness.example/w1", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["vkey"] + "\n" == (tmp_path / "witness" / "witness.vkey").read_text()
    assert (tmp_path / "witness" / "key").stat().st_mode & 0o777 == 0o600
    return tmp_path / "witness"


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[int, IO[str]]]:
    """The port, and what it writes about its verdicts."""
    log = folder.parent / "log.vkey"
    log.write_text(VKEY)
    errors = (folder.parent / "errors").open("w+")
    line = command("witness", "serve", str(folder), "--log", f"@{log}", "--port", "0", *arguments)
    child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert child.stdout is not None
        ready = child.stdout.readline()
        assert ready.startswith("ready on http"), (folder.parent / "errors").read_text()
        yield int(ready.rsplit(":", 1)[1]), errors
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=30) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        errors.close()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def submit(port: int, old: int, size: int, leaves: Sequence[bytes] = LEAVES) -> tuple[int, str]:
    proof = merkle.consistency_proof(leaves[:size], old)
    return ask(port, "POST", "/add-checkpoint", request_body(old, proof, note(size, leaves)))


def test_it_follows_a_log_and_remembers_over_restarts(folder: Path) -> None:
    witness = (folder / "witness.vkey").read_text()
    with serving(folder) as (port, _):
        status, line = submit(port, 0, 5)
        assert status == 200
        assert read_answer(status, line, note(5), witness).line == line
        assert submit(port, 0, 12) == (409, "5\n")
    with serving(folder) as (port, errors):
        assert submit(port, 0, 12) == (409, "5\n")
        assert submit(port, 5, 12)[0] == 200
        status, text = ask(port, "GET", f"/latest?origin={LOG}")
        assert status == 200
        assert text.startswith(note(12))
        assert cosigned_at(text, witness) > 1_700_000_000
        assert ask(port, "GET", "/latest?origin=another")[0] == 404
        assert submit(port, 12, 20, FORKED)[0] == 422
        assert submit(port, 12, 12, FORKED) == (409, "12\n")
        errors.seek(0)
        assert errors.read().count("FORK") == 2


def test_many_at_once_and_one_is_cosigned(folder: Path) -> None:
    """Sixteen gateways of one log submit their checkpoints over the same old size: one fits, the others are told."""
    from concurrent.futures import ThreadPoolExecutor

    with serving(folder) as (port, _), ThreadPoolExecutor(16) as pool:
        answers = [*pool.map(lambda size: submit(port, 0, size), range(5, 21))]
    assert sorted(status for status, _ in answers) == [200, *[409] * 15]


def test_what_is_no_submission_is_turned_away_and_the_next_one_served(folder: Path) -> None:
    with serving(folder) as (port, _):
        for method, path, body, status in (
            ("POST", "/add-checkpoint", b"junk", 400),
            ("POST", "/add-checkpoint", b"x" * (LONGEST_BODY + 1), 413),
            ("POST", "/elsewhere", b"x", 404),
            ("GET", "/", None, 404),
            ("PUT", "/add-checkpoint", b"x", 501),
        ):
            assert ask(port, method, path, body)[0] == status
        for raw in (
            b"",
            b"\0" * 99,
            b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as broken:
                broken.sendall(raw)
                broken.shutdown(socket.SHUT_WR)
                while broken.recv(4096):
                    pass
        assert submit(port, 0, 5)[0] == 200


@contextmanager
def at_hand(folder: Path, patience: float) -> Iterator[int]:
    """The port of a witness in a thread of this process, with another patience."""
    with closing(Witness(folder, [VKEY])) as witness, Server(witness, "127.0.0.1", 0, patience=patience) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST /add-checkpoint HTTP/1.1\r\nX: ", b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 65000\r\n\r\n"],
)
def test_a_request_has_one_deadline_however_it_trickles(folder: Path, begun: bytes) -> None:
    with at_hand(folder, patience=0.5) as port, socket.create_connection(("127.0.0.1", port), timeout=0.05) as slow:
        slow.sendall(begun)
        for _ in range(400):
            try:
                slow.sendall(b"a")
                if slow.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("it is still listened to")
        assert submit(port, 0, 5)[0] == 200


def test_many_connections_of_one_keep_nobody_else_away(folder: Path) -> None:
    """They are never waited for to end: this witness has the patience of an hour."""
    with at_hand(folder, patience=3600.0) as port, ExitStack() as held:
        for _ in range(200):
            one = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            with suppress(ConnectionError):  # it was turned away already
                one.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 65000\r\n\r\n")
        other = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=("127.0.0.2", 0))
        with closing(other) as elsewhere:
            elsewhere.request("POST", "/add-checkpoint", request_body(0, [], note(5)))
            assert elsewhere.getresponse().status == 200
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            submit(port, 5, 12)
        held.close()
        for _ in range(600):  # their places come back as their threads find out
            with suppress(ConnectionError, http.client.HTTPException):
                assert submit(port, 5, 12)[0] == 200
                break
            time.sleep(0.05)
        else:
            pytest.fail("no place came back")


def test_a_connection_is_for_one_request(folder: Path) -> None:
    """Else asking again and again would keep a place for as long as one likes."""
    ask_twice = b"GET /latest HTTP/1.1\r\nHost: x\r\n\r\n" * 2
    with at_hand(folder, patience=3600.0) as port, socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(ask_twice)
        got = b""
        with suppress(ConnectionError):
            while piece := one.recv(4096):
                got += piece
        assert got.count(b"HTTP/1.1 404") == 1


def test_a_disk_that_cannot_keep_it_gets_no_cosignature(folder: Path) -> None:
    with serving(folder) as (port, _):
        assert submit(port, 0, 5)[0] == 200
        (folder / "seen.json.new").mkdir()  # so that it cannot be written, whoever we are
        assert submit(port, 5, 12) == (503, "")
        (folder / "seen.json.new").rmdir()
        assert submit(port, 0, 12) == (409, "5\n"), "nothing was forgotten, nothing promised"
        assert submit(port, 5, 12)[0] == 200


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "empty"])
def test_a_damaged_memory_is_named_and_nothing_served(folder: Path, damage: str) -> None:
    with serving(folder) as (port, _):
        assert submit(port, 0, 5)[0] == 200
    state = folder / "seen.json"
    raw = state.read_bytes()
    if damage == "gone":
        state.unlink()
    else:
        state.write_bytes({"flipped": raw.replace(b"\\n5\\n", b"\\n4\\n"), "cut": raw[:-30], "empty": b""}[damage])
    done = run("witness", "serve", str(folder), "--log", VKEY)
    assert done.returncode != 0
    assert "seen.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_folder_has_one_witness(folder: Path) -> None:
    with serving(folder):
        done = run("witness", "serve", str(folder), "--log", VKEY, "--port", "0")
        assert done.returncode != 0
        assert "Another witness already runs" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--host", "192.0.2.1"), "--tls-certificate"),
        (("--tls-certificate", "x"), "tls_key"),
        (("--log", "junk"), "name+hash+key"),
        (("--log", "@nowhere"), "nowhere"),
    ],
)
def test_what_it_cannot_serve_with_is_named(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    log = () if "--log" in arguments else ("--log", VKEY)
    done = run("witness", "serve", str(folder), *log, *arguments)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_is_never_overwritten_and_a_name_without_spaces(folder: Path, tmp_path: Path) -> None:
    done = run("witness", "init", str(folder), "--name", "witness.example/w2")
    assert done.returncode != 0
    assert "never overwritten" in done.stderr
    done = run("witness", "init", str(tmp_path / "other"), "--name", "two words")
    assert done.returncode != 0
    assert not (tmp_path / "other").exists()


def test_it_speaks_tls(folder: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    with serving(folder, "--tls-certificate", str(certificate), "--tls-key", str(key)) as (port, _):
        with socket.create_connection(("127.0.0.1", port), timeout=30):  # somebody who never says a word stops nobody
            context = ssl.create_default_context(cafile=str(certificate))
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
            connection.request("POST", "/add-checkpoint", request_body(0, [], note(5)))
            assert connection.getresponse().status == 200
            connection.close()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as clear:
            clear.sendall(b"GET / HTTP/1.0\r\n\r\n")
            clear.recv(100)


def test_it_needs_no_web_stack(folder: Path) -> None:
    """It is small: with the server's web and database libraries out of reach it still runs."""
    barred = ["fastapi", "starlette", "uvicorn", "sqlalchemy", "duckdb", "pyarrow", "opendp", "pydantic_settings"]
    code = f"import sys\nfor name in {barred!r}: sys.modules[name] = None\nfrom sandbox.cli.main import run\nsys.exit(run(sys.argv[1:]))"
    line = [sys.executable, "-c", code, "witness", "serve", str(folder), "--log", VKEY, "--port", "0"]
    child = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("ready on http")
    finally:
        child.terminate()
        child.wait(timeout=30)
        assert child.stdout is not None
        child.stdout.close()
