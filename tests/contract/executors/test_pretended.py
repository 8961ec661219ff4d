"""Workers that die, stand still, lie idle or answer twice, without a cluster: each item counts once, and nothing hangs.

The same on two real nodes is in `suite_on_ray.py`; this runs with every suite.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import DependencyFailed
from sandbox.executors import ray
from sandbox.executors.claims import Claims
from sandbox.executors.ray import RayExecutor
from tests.contract.executors import contract
from tests.contract.executors.cluster import wait_for
from tests.contract.executors.contract import Chore, ChoreCraft, Counting, marks
from tests.contract.executors.pretended import Actor, PretendedRay
from tests.promises import promise


@contextmanager
def opened(cluster: PretendedRay, folder: Path, **changed: Any) -> Iterator[RayExecutor]:
    (folder / "marks").mkdir()
    given = {"address": "pretended", "actors": 3, "seconds": 20, "patience": 0.5, **changed}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "connect", lambda *_: (cluster, False))
        executor = RayExecutor(ChoreCraft(str(folder)), **given)
    try:
        wait_for(lambda: len(executor._fleet.living()) == given["actors"])
        yield executor
    finally:
        for actor in cluster.actors:
            actor.awake.set()
        executor.close()


def chore(folder: Path, **told: Any) -> Chore:
    return Chore(str(folder / "marks"), **told)


def bucket_of(told: Sequence[Any]) -> int:
    return int(told[2])


def test_the_contract_is_kept(tmp_path: Path) -> None:
    with opened(PretendedRay(), tmp_path) as executor:
        contract.keeps_order(executor, chore(tmp_path))
    for number, alone in enumerate((0, 1000)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with opened(PretendedRay(), folder, alone=alone) as executor:
            contract.gathers_each_once(executor, chore(folder), lambda piece: piece)
            with pytest.raises(DependencyFailed, match="worker_failed"):
                executor.map(contract.breaks, chore(folder), range(5), None)


@promise("P4.2")
@pytest.mark.parametrize("victims", [1, 2])
def test_workers_that_die_in_mid_query_change_nothing(tmp_path: Path, victims: int) -> None:
    """With every answer that they still owed; others do their buckets, and each bucket is there once."""
    died: list[int] = []
    lock = threading.Lock()

    def before(actor: Actor, _told: Sequence[Any]) -> None:
        with lock:
            if actor.number < victims and actor.number not in died:
                died.append(actor.number)
                actor.die()

    with opened(PretendedRay(before), tmp_path) as executor:
        found = executor.gather(contract.work, chore(tmp_path), range(12), None, Counting())
    assert sum((Counter(range(b, b + 10)) for b in range(12)), start=Counter()) == sum(found, start=Counter())
    assert sorted(died) == list(range(victims))


def test_one_bucket_that_kills_whoever_has_it_fails_and_the_rest_goes_on(tmp_path: Path) -> None:
    def before(actor: Actor, told: Sequence[Any]) -> None:
        if bucket_of(told) == 3:
            actor.die()

    with opened(PretendedRay(before), tmp_path, actors=5) as executor:
        with pytest.raises(DependencyFailed) as caught:
            executor.map(contract.work, chore(tmp_path), range(5), None)
        assert caught.value.code == "worker_lost"
        assert [b for b, _ in executor.map(contract.work, chore(tmp_path), [0, 1], None)] == [0, 1]


@promise("P4.2")
def test_a_worker_that_stands_still_is_routed_around_and_its_late_answer_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives no pulse, so that others are asked; it wakes before the request ends, and answers a second time."""
    dropped: list[int] = []
    take = Claims.take
    stopped: list[Actor] = []
    others = threading.Event()

    def spied(self: Claims[Any], request: str, item: int, answer: Any) -> bool:
        taken = take(self, request, item, answer)
        dropped.extend([] if taken else [item])
        if taken and item == 1 and stopped:
            stopped[0].awake.set()  # another has answered for it
        if 1 in dropped:
            others.set()
        return taken

    def before(actor: Actor, told: Sequence[Any]) -> None:
        if bucket_of(told) == 1 and not stopped:
            stopped.append(actor)
            actor.awake.clear()
        elif bucket_of(told) == 0:
            others.wait(15)  # the request is under way until the late answer has come

    monkeypatch.setattr(Claims, "take", spied)
    with opened(PretendedRay(before), tmp_path) as executor:
        found = executor.map(contract.work, chore(tmp_path), range(6), None)
    assert [bucket for bucket, _ in found] == list(range(6))
    assert 1 in dropped
    assert set(dropped) <= {1, 4}, "what else it had been asked for"
    assert len([bucket for bucket, _ in marks(chore(tmp_path), "ended") if bucket == 1]) == 2


@pytest.mark.parametrize("pulse", [True, False], ids=["lies idle", "all stand still"])
def test_what_never_answers_is_one_error_at_its_deadline(tmp_path: Path, pulse: bool) -> None:
    """One that lives and does nothing is nobody's loss but the request's: it ends, and the next one is answered."""
    free = threading.Event()

    def before(actor: Actor, told: Sequence[Any]) -> None:
        if bucket_of(told) == 2 and not free.is_set():
            if pulse:
                free.wait(15)
            else:
                for each in actor.cluster.actors:
                    each.awake.clear()

    with opened(PretendedRay(before), tmp_path, seconds=1.5) as executor:
        with pytest.raises(DependencyFailed) as caught:
            executor.map(contract.work, chore(tmp_path), range(6), None)
        assert caught.value.code == "worker_late"
        free.set()
        for actor in executor._ray.actors:
            actor.awake.set()
        wait_for(lambda: len(executor._fleet.living()) == 3)
        assert [b for b, _ in executor.map(contract.work, chore(tmp_path), range(6), None)] == list(range(6))
