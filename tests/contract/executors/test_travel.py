"""What travels to workers and back: wrapped keys only, sealed results, parts cut and joined to the same integers."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import IntegrityFailed
from sandbox.executors.worker import piece_place
from sandbox.flow import Exact
from sandbox.query.kernel.merge import merged
from sandbox.query.kernel.pieces import PartMerging
from sandbox.query.kernel.remote import KernelCraft
from sandbox.query.kernel.task import Keys, Part, Task
from tests.contract.executors.shapes import SHAPES, Shape, some, tasks_of
from tests.privacy.pipeline import Pipeline


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    with tempfile.TemporaryDirectory() as folder:
        made = Pipeline(Path(folder))
        yield made
        made.close()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.name)
def test_a_task_holds_wrapped_keys_only_and_results_come_sealed(pipeline: Pipeline, shape: Shape) -> None:
    known = some(pipeline)
    for task in tasks_of(pipeline, known, shape):
        keys = Keys.of(task, pipeline.root)
        secrets = [pipeline.root.secret, keys.population, *(keys.version(table) for table in task.tables)]
        secrets += [keys.order(table) for table in task.tables]
        travels = pickle.dumps((task, KernelCraft("/home")))
        assert task.population_key in travels
        assert not [secret for secret in secrets if secret in travels]
        assert pickle.loads(travels)[0] == task  # noqa: S301  # made here


def test_a_sealed_result_is_read_in_its_own_place_only(pipeline: Pipeline) -> None:
    task, craft = next(iter(tasks_of(pipeline, some(pipeline), SHAPES[0]))), KernelCraft("/home")
    part = Part(arrays=(np.arange(3_000).reshape(-1, 1),))
    sealed = craft.seal(task, pipeline.bench, piece_place("r", 1, 0), part)
    assert part.arrays[0].tobytes()[800:1600] not in sealed
    assert (craft.open(task, pipeline.bench, piece_place("r", 1, 0), sealed).arrays[0] == part.arrays[0]).all()
    for place in (piece_place("r", 2, 0), piece_place("r", 1, 1), piece_place("s", 1, 0)):
        with pytest.raises(IntegrityFailed):
            craft.open(task, pipeline.bench, place, sealed)


def test_exact_aggregates_do_not_travel_but_parts_do() -> None:
    part = Part(arrays=(np.arange(3),), sets={1: pa.table({"group": [1], "value": ["x"]})}, table=pa.table({"k0": [1]}))
    back = pickle.loads(pickle.dumps(part))  # noqa: S301  # made here
    assert (back.arrays[0] == part.arrays[0]).all()
    assert (back.sets, back.table) == (part.sets, part.table)
    with pytest.raises(TypeError):
        pickle.dumps(Exact(charged=None, stage="values", values=()))  # type: ignore[arg-type]


WORDS = st.one_of(st.none(), st.sampled_from(["", "a", "ab", "b", "一"]))
NUMBERS = st.one_of(st.none(), st.integers(-3, 3))
ROW = st.tuples(WORDS, NUMBERS, st.integers(-9, 9), st.integers(0, 3))


class Asked:
    """As much of a task as merging looks at."""

    stage = "keys"
    groups = 4
    labels = None
    keys = (None, None)


def part_of_rows(rows: list[tuple[Any, ...]], flavour: int) -> Part:
    """As buckets give them: a column's type depends on what the bucket has seen."""
    text, number = (pa.string(), pa.int64()) if flavour else (pa.large_string(), pa.int32())
    votes = {(w, n): sum(r[2] for r in rows if r[:2] == (w, n)) for w, n, *_ in rows}
    table = pa.table(
        {
            "k0": pa.array([w for w, _ in votes], text), "k1": pa.array([n for _, n in votes], number),
            "weight": pa.array(list(votes.values()), pa.int64()),
        }
    )  # fmt: skip
    shown = {(g, n) for _, n, _, g in rows if n is not None}
    pairs = pa.table(
        {"group": pa.array([g for g, _ in shown], pa.int64()), "value": pa.array([n for _, n in shown], number)}
    )
    arrays = (np.full((4, 1), len(rows)), np.zeros((4, 0), np.int64))
    return Part(arrays=arrays, sets={1: pairs}, table=table)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(ROW, max_size=8), min_size=1, max_size=4), st.integers(1, 5))
def test_parts_cut_and_joined_are_the_same_integers(buckets: list[list[tuple[Any, ...]]], ways: int) -> None:
    task: Any = Asked()
    merging, parts = PartMerging(), [part_of_rows(rows, i % 2) for i, rows in enumerate(buckets)]
    cut = [merging.split(task, part, ways) for part in parts]
    joined = [merging.join(task, [pieces[way] for pieces in cut]) for way in range(ways)]
    (weights,), labels = merged(task, parts)
    (again,), labels_again = merged(task, joined)
    assert labels_again == labels
    assert again.tolist() == weights.tolist()
    task.stage = "values"
    plain, _ = merged(task, parts)
    spread, _ = merged(task, joined)
    assert [a.tolist() for a in spread] == [a.tolist() for a in plain]


def test_large_key_sets_are_shared_out_evenly() -> None:
    for values in (pa.array(range(20_000)), pa.array([f"word {i}" for i in range(20_000)])):
        part = Part(table=pa.table({"k0": values, "weight": pa.array([1] * 20_000)}))
        task: Task = Asked()  # type: ignore[assignment]
        shares = [p.table.num_rows for p in PartMerging().split(task, part, 4) if p.table is not None]
        assert sum(shares) == 20_000
        assert max(shares) < 5_600
