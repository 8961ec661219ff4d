"""Outside: what a witness is said to hold counts only if the witness itself signed it."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from sandbox.audit.checkpoint import checkpoint_text, sign_note, vkey
from sandbox.audit.cosign import cosign, with_cosignatures, witness_vkey
from sandbox.crypto.suite import INTL
from sandbox.objects.local import LocalObjects
from sandbox.work import outside
from sandbox.work.outside import Known, Outside, look_outside
from sandbox.work.witnesses import Witness

LOG, LOG_KEY = "log.example/a", bytes(range(32))
NAME, KEY = "w.example/one", bytes(range(1, 33))
VKEY = vkey(LOG, INTL.public_key(LOG_KEY))
WITNESS = Witness(name=NAME, vkey=witness_vkey(NAME, INTL.public_key(KEY)), url="http://w.example")
ROOT = bytes(32)


def note(size: int, *, key: bytes = LOG_KEY) -> str:
    return sign_note(checkpoint_text(LOG, size, ROOT), LOG, key)


def cosigned(plain: str, *, of: str | None = None, name: str = NAME, key: bytes = KEY) -> str:
    text = (of or plain).partition("\n\n")[0] + "\n"
    return with_cosignatures(plain, [cosign(text, name, key, 1_700_000_000)])


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What stands between us and the witness says the last of these."""
    answers: list[str] = []
    client = httpx2.Client
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, text=answers[-1]))
    monkeypatch.setattr(outside.httpx2, "Client", lambda **given: client(transport=transport, **given))
    return answers


def looked(tmp_path: Path) -> Outside:
    (tmp_path / "objects").mkdir(exist_ok=True)
    objects = LocalObjects(tmp_path / "objects")
    return look_outside(objects, [WITNESS], VKEY, own=(7, note(7)), copies=False)


def test_what_the_witness_signed_is_its_answer(tmp_path: Path, said: list[str]) -> None:
    said.append(cosigned(note(9)))
    assert looked(tmp_path) == Outside(known=(Known(source=NAME, size=9, root=ROOT),), answered=(NAME,), silent=())


@pytest.mark.parametrize(
    "answer",
    [
        note(5),
        cosigned(note(5), of=note(9)),
        cosigned(note(5), name="w.example/other"),
        cosigned(note(5), key=bytes(range(2, 34))),
        cosigned(note(5), key=LOG_KEY),
        cosigned(note(5, key=KEY)),
        "",
        "junk",
    ],
    ids=["log alone", "another note", "another name", "another key", "the log's key", "no log", "empty", "junk"],
)
def test_any_other_note_is_no_answer(tmp_path: Path, said: list[str], answer: str) -> None:
    """Whoever stands in between has older notes of the log: they do not make the witness say that it knows no more."""
    said.append(answer)
    assert looked(tmp_path) == Outside(known=(), answered=(), silent=(NAME,))
