"""Identifiers: one canonical form, HMAC under the population's key, and nothing else ever."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.catalog import Identifier
from sandbox.crypto.suite import INTL
from sandbox.errors import RequestError
from sandbox.ingest.identifiers import Pseudonyms, canonical, canonical_all
from tests.promises import promise

KEY = b"k" * 32
DIGITS = Identifier(kind="digits")
FORMS = [
    DIGITS, Identifier(kind="digits", width=6), Identifier(kind="digits", spaces="remove"), Identifier(kind="text"),
    Identifier(kind="text", case="upper"), Identifier(kind="text", case="lower", spaces="remove"),
]  # fmt: skip


@promise("P2.0", "P2.1")
@pytest.mark.parametrize("spelling", ["7", "007", " 7", "7 ", "００７", "０7"])
def test_spellings_of_one_number_are_one_person(spelling: str) -> None:
    assert canonical(DIGITS, spelling.encode()) == "7"
    assert canonical(Identifier(kind="digits", width=6), spelling.encode()) == "000007"


@pytest.mark.parametrize("spelling", ["n725mq", "N725MQ", " n725MQ ", "Ｎ７２５ＭＱ"])
def test_spellings_of_one_name_are_one_vehicle(spelling: str) -> None:
    assert canonical(Identifier(kind="text", case="upper"), spelling.encode()) == "N725MQ"


@pytest.mark.parametrize("raw", [b"", b"  ", b"7a", b"7.0", b"-7", b"\xff", b"7\x00", "7\u200b".encode(), b"1" * 300])
def test_what_is_no_identifier_is_none(raw: bytes) -> None:
    assert canonical(DIGITS, raw) is None


@given(st.lists(st.one_of(st.text(max_size=12), st.text("0123456789 aZ\t-", max_size=12)), max_size=8), st.sampled_from(FORMS))
def test_whole_columns_and_single_words_agree(words: list[str], form: Identifier) -> None:
    valid = [w.encode("utf-8", "ignore").decode() for w in words]
    together = canonical_all(form, pa.array(valid, pa.string()))
    assert together.to_pylist() == [canonical(form, w.encode()) for w in valid]
    for word, found in zip(valid, together.to_pylist(), strict=True):
        assert canonical_all(form, pa.array([word])).to_pylist() == [found]
        if found is not None:
            assert canonical(form, found.encode()) == found, "canonical once is canonical"


@promise("P2.1")
def test_a_pseudonym_is_the_hmac_of_the_canonical_form() -> None:
    found, usable = Pseudonyms(INTL, KEY, DIGITS).of(pa.array(["007", "7", None, "x"]), file="f", column="id")
    expected = int.from_bytes(hmac.new(KEY, b"7", hashlib.sha256).digest()[:8], "big")
    assert found[:2].tolist() == [expected, expected]
    assert usable.tolist() == [True, True, False, False]


@promise("P2.1")
@given(st.lists(st.integers(-5, 40), max_size=60), st.integers(1, 7), st.integers(3, 50))
def test_types_batches_and_memory_do_not_matter(ids: list[int], batch: int, most: int) -> None:
    expected = [
        int.from_bytes(hmac.new(KEY, str(i).encode(), hashlib.sha256).digest()[:8], "big") if i >= 0 else None for i in ids
    ]
    sources = [pa.array(ids, pa.int64()), pa.array([str(i) for i in ids]), pa.array([float(i) for i in ids])]
    sources += [s.dictionary_encode() for s in sources[:2]]
    for cells in sources:
        pseudonyms = Pseudonyms(INTL, KEY, DIGITS, most_remembered=most)
        found: list[int | None] = []
        for low in range(0, len(ids), batch):
            values, usable = pseudonyms.of(cells.slice(low, batch), file="f", column="id")
            found += [v if u else None for v, u in zip(values.tolist(), usable.tolist(), strict=True)]
        assert found == expected


def test_many_identifiers_all_come_back() -> None:
    ids = pa.array(np.arange(200_000)).cast(pa.string())
    pseudonyms = Pseudonyms(INTL, KEY, DIGITS)
    first, usable = pseudonyms.of(ids, file="f", column="id")
    assert usable.all()
    assert len(np.unique(first)) == len(ids)
    assert (pseudonyms.of(ids, file="f", column="id")[0] == first).all()


def test_long_and_broken_identifiers_stand_beside_good_ones() -> None:
    raw = [b"x" * 300, b"\xff\xff", b"7", b"y" * 256, None]
    found, usable = Pseudonyms(INTL, KEY, Identifier(kind="text")).of(
        pa.array(raw, pa.binary()).view(pa.string()), file="f", column="id"
    )
    assert usable.tolist() == [False, False, True, True, False]
    assert found[2] != found[3]


def test_other_types_are_no_identifiers() -> None:
    with pytest.raises(RequestError) as caught:
        Pseudonyms(INTL, KEY, DIGITS).of(pa.array([True]), file="f", column="id")
    assert caught.value.code == "source_column_type"
