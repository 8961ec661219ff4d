"""Spilled rows: routed whole, sealed before the disk sees them, and gone with the process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import DependencyFailed, IntegrityFailed
from sandbox.ingest.spill import Spill, part_bits
from tests.promises import promise


def batch(pseudonyms: list[int], note: str = "n") -> pa.RecordBatch:
    notes = [f"{note}{i}" for i in range(len(pseudonyms))]
    return pa.RecordBatch.from_arrays([pa.array(pseudonyms, pa.uint64()), pa.array(notes, pa.string())], ["pseudonym", "note"])


@promise("P2.3")
@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=30), max_size=6), st.integers(0, 4), st.sampled_from([1, 500, 10**6]))
def test_every_row_comes_back_once_in_its_own_part(batches: list[list[int]], bits: int, most: int) -> None:
    spill = Spill(Path("/tmp"), bits, most_buffered=most)
    for n, some in enumerate(batches):
        spill.add(batch(some, f"{n}."))
    back = []
    for part in range(1 << bits):
        for got in spill.part(part):
            for row in got.to_pylist():
                assert row["pseudonym"] >> (64 - bits) == part
                back.append((row["pseudonym"], row["note"]))
    spill.close()
    assert sorted(back) == sorted((p, f"{n}.{i}") for n, some in enumerate(batches) for i, p in enumerate(some))


def test_nothing_readable_and_no_name_is_left_on_the_disk(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 1, most_buffered=1)
    spill.add(batch([1, 2**63], "a secret word "))
    assert list(tmp_path.iterdir()) == []
    spill._file.seek(0)
    written = spill._file.read()
    assert len(written) > 300
    assert b"secret" not in written
    assert b"ARROW" not in written
    spill.close()


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 0, most_buffered=1)
    spill.add(batch([1, 2, 3]))
    spill._file.seek(100)
    spill._file.write(b"\x00\x01\x02")
    spill._file.flush()
    with pytest.raises(IntegrityFailed):
        spill.part(0)
    spill.close()


def test_a_full_disk_is_told_in_our_words(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 0, most_buffered=1)
    spill._file.close()
    with Path("/dev/full").open("wb", buffering=0) as full:
        spill._file = full
        with pytest.raises(DependencyFailed) as caught:
            spill.add(batch([1]))
        assert caught.value.code == "work_folder_full"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DependencyFailed) as caught:
        Spill(tmp_path / "nowhere", 0)
    assert caught.value.code == "work_folder_failed"


@promise("P2.3")
@pytest.mark.parametrize(("n_max", "bucket", "expected"), [(1, 0, 0), (750_000, 0, 0), (750_001, 0, 1), (10**7, 1, 4), (10**12, 18, 18)])
def test_parts_follow_from_the_declared_maximum(n_max: int, bucket: int, expected: int) -> None:
    assert part_bits(n_max, bucket) == expected


def test_many_parts_fit_their_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pseudonyms = rng.integers(0, 2**64 - 1, 500, dtype=np.uint64, endpoint=True).tolist()
    spill = Spill(tmp_path, 17)
    spill.add(batch(pseudonyms))
    assert all(spill.part(p >> 47) or True for p in pseudonyms)
    spill.close()
