"""Witnesses: each cosigns what was published; one that is ahead, behind, silent or shown a fork is named, alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sandbox.audit.cosign import cosigners
from sandbox.cli import witnessing
from sandbox.errors import DependencyFailed, IntegrityFailed, RequestError
from sandbox.store import cosignatures, migrations
from sandbox.store.sessions import Sessions
from sandbox.work.witnesses import Witness, Witnessing
from tests.unit.work.logs import Log


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Log]:
    (tmp_path / "log").mkdir()
    migrations.upgrade(tmp_path / "log" / "home.db")
    sessions = Sessions(tmp_path / "log" / "home.db")
    yield Log(sessions, tmp_path / "log")
    sessions.close()


@contextmanager
def watching(folder: Path, log: Log, name: str = "w.example/one") -> Iterator[Witness]:
    """A real witness of a log, on a port of its own; its memory is in the folder."""
    if not (folder / "key").exists():
        witnessing.make(folder, name)
    witness = witnessing.Witness(folder, [log.vkey])
    with witnessing.Server(witness, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Witness(name=name, vkey=(folder / "witness.vkey").read_text().strip(), url=server.url)
        finally:
            server.shutdown()
            thread.join()
            witness.close()


def grow(kept: Log, count: int) -> None:
    kept.write_many(count)
    kept.sequence()
    kept.publish()


def witnessing_of(kept: Log, witness: Witness) -> Witnessing:
    return Witnessing(kept.sessions, kept.clock, kept.objects, witness)


def note(kept: Log) -> str:
    with kept.sessions.reading() as session:
        found = cosignatures.note(session)
    assert found is not None
    return found[1]


def test_every_published_checkpoint_is_cosigned(kept: Log, tmp_path: Path) -> None:
    with watching(tmp_path / "w", kept) as witness:
        duty = witnessing_of(kept, witness)
        assert not duty.run(), "nothing is there yet"
        for count in (1, 300, 700):
            grow(kept, count)
            duty.run()
            assert cosigners(note(kept), [witness.vkey]).keys() == {witness.name}
        duty.run()
    kept.publish()
    assert cosigners(kept.published().note, [witness.vkey]).keys() == {witness.name}


def test_a_restarted_gateway_goes_on_from_what_the_witness_cosigned(kept: Log, tmp_path: Path) -> None:
    with watching(tmp_path / "w", kept) as witness:
        for _ in range(3):
            grow(kept, 10)
            witnessing_of(kept, witness).run()
            assert cosigners(note(kept), [witness.vkey])


def test_what_is_not_published_is_not_submitted(kept: Log, tmp_path: Path) -> None:
    with watching(tmp_path / "w", kept) as witness:
        duty = witnessing_of(kept, witness)
        kept.write(3)
        kept.sequence()
        duty.run()
        assert not cosigners(note(kept), [witness.vkey])
        kept.publish()
        kept.write(3)
        kept.sequence()
        duty.run()
    with kept.sessions.reading() as session:
        assert cosignatures.newest_of(session, witness.name) == 3


def test_a_lost_answer_is_asked_for_again(kept: Log, tmp_path: Path) -> None:
    """The witness has cosigned, and the gateway does not know: it learns the size and gets a fresh line."""
    with watching(tmp_path / "w", kept) as witness:
        grow(kept, 10)
        witnessing_of(kept, witness).run()
        with kept.sessions.begin() as session:
            session.connection().exec_driver_sql("DELETE FROM cosignatures")
        witnessing_of(kept, witness).run()
        assert cosigners(note(kept), [witness.vkey])


def test_one_that_does_not_answer_is_named_and_the_other_goes_on(kept: Log, tmp_path: Path) -> None:
    grow(kept, 10)
    with watching(tmp_path / "gone", kept, "w.example/gone") as gone:
        pass
    with watching(tmp_path / "w", kept) as witness:
        with pytest.raises(DependencyFailed, match="witness_unreachable") as caught:
            witnessing_of(kept, gone).run()
        assert caught.value.params == {"witness": "w.example/gone"}
        witnessing_of(kept, witness).run()
    assert cosigners(note(kept), [witness.vkey, gone.vkey]).keys() == {witness.name}


def test_one_that_is_ahead_is_named(kept: Log, tmp_path: Path) -> None:
    """The database was set back: what it publishes now is not even shown to be a fork before somebody looks."""
    with watching(tmp_path / "w", kept) as witness:
        grow(kept, 10)
        witnessing_of(kept, witness).run()
        kept.copy(tmp_path / "older.db")
        grow(kept, 10)
        witnessing_of(kept, witness).run()
        older = Log(Sessions(tmp_path / "older.db"), tmp_path, times=kept.times, key=kept.key)
        older.write(5)
        older.sequence()
        older.publish()
        with pytest.raises(IntegrityFailed, match="witness_ahead") as caught:
            witnessing_of(older, witness).run()
        assert caught.value.params == {"witness": witness.name, "size": 15, "known": 20}
        older.write(20)
        older.sequence()
        older.publish()
        with pytest.raises(IntegrityFailed, match="witness_forked"):
            witnessing_of(older, witness).run()
        older.sessions.close()


def test_a_fork_of_the_same_size_is_named(kept: Log, tmp_path: Path) -> None:
    with watching(tmp_path / "w", kept) as witness:
        grow(kept, 10)
        kept.copy(tmp_path / "older.db")
        grow(kept, 10)
        witnessing_of(kept, witness).run()
        older = Log(Sessions(tmp_path / "older.db"), tmp_path, times=kept.times, key=kept.key)
        older.write(10)
        older.sequence()
        older.publish()
        with pytest.raises(IntegrityFailed, match="witness_forked"):
            witnessing_of(older, witness).run()
        older.sessions.close()


def test_one_that_has_forgotten_is_named_and_cosigns_anew(kept: Log, tmp_path: Path) -> None:
    with watching(tmp_path / "w", kept) as witness:
        grow(kept, 10)
        witnessing_of(kept, witness).run()
    memory = (tmp_path / "w" / "seen.json").read_bytes()
    with watching(tmp_path / "w", kept) as witness:
        grow(kept, 10)
        witnessing_of(kept, witness).run()
    (tmp_path / "w" / "seen.json").write_bytes(memory)
    grow(kept, 10)
    with watching(tmp_path / "w", kept) as witness:
        duty = witnessing_of(kept, witness)
        with pytest.raises(IntegrityFailed, match="witness_behind") as caught:
            duty.run()
        assert caught.value.params == {"witness": witness.name, "size": 20, "known": 10}
        assert cosigners(note(kept), [witness.vkey])
        grow(kept, 10)
        duty.run()


def test_one_that_watches_another_log_refuses(kept: Log, tmp_path: Path) -> None:
    other = Log(kept.sessions, tmp_path)
    with watching(tmp_path / "w", other) as witness:
        grow(kept, 10)
        with pytest.raises(DependencyFailed, match="witness_refuses") as caught:
            witnessing_of(kept, witness).run()
        assert caught.value.params == {"witness": witness.name, "answer": "403"}


ANSWERS = {
    "nothing": (200, b""),
    "nonsense": (200, b"\xff\xfe\x00"),
    "another's line": (200, "— w.example/other AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n".encode()),
    "endless": (200, b"x" * 100_000),
    "no size": (409, b"many\n"),
    "a redirect": (302, b""),
    "a failure": (500, b""),
    "always another size": (409, b"3\n"),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_whatever_a_witness_answers_nothing_false_is_kept(
    kept: Log, tmp_path: Path, answer: tuple[int, bytes]
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

        def log_message(self, *_words: object) -> None:
            pass

    witnessing.make(tmp_path / "w", "w.example/one")
    grow(kept, 10)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        witness = Witness(
            name="w.example/one", vkey=(tmp_path / "w" / "witness.vkey").read_text().strip(),
            url=f"http://127.0.0.1:{server.server_port}",
        )  # fmt: skip
        try:
            with pytest.raises((DependencyFailed, IntegrityFailed), match="witness_"):
                witnessing_of(kept, witness).run()
        finally:
            server.shutdown()
            thread.join()
    with kept.sessions.reading() as session:
        assert cosignatures.newest_of(session, witness.name) == 0


def test_a_setting_names_key_and_address(tmp_path: Path) -> None:
    vkey = witnessing.make(tmp_path / "w", "w.example/one")
    found = Witness.parse(f"{vkey} https://w.example/below/")
    assert found == Witness(name="w.example/one", vkey=vkey, url="https://w.example/below")
    wrong = vkey.replace("w.example", "v.example")
    for text in (vkey, f"{wrong} https://w.example", f"{vkey} ftp://w.example", f"{vkey} https://", f"x {vkey}"):
        with pytest.raises(RequestError, match="witness_refused"):
            Witness.parse(text)
