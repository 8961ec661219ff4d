"""The Ray executor on two nodes: it keeps the contract, gives the integers that threads give, and outlives what dies.

Runs in an environment of its own; `test_on_ray.py` makes it and runs this.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from sandbox.crypto import keys as key_files
from sandbox.errors import DependencyFailed, RequestError
from sandbox.executors.claims import Claims
from sandbox.executors.ray import RayExecutor
from sandbox.executors.threads import ThreadsExecutor
from sandbox.query.kernel.bucket import part_of
from sandbox.query.kernel.merge import merged
from sandbox.query.kernel.pieces import PartMerging
from sandbox.query.kernel.remote import KernelCraft
from sandbox.query.kernel.task import Task
from tests.contract.executors import contract
from tests.contract.executors.cluster import Cluster, cluster, wait_for
from tests.contract.executors.contract import Chore, ChoreCraft, DyingOnce, marks
from tests.contract.executors.shapes import SHAPES, some, tasks_of
from tests.privacy.pipeline import Pipeline

PATIENCE = 2.0


@pytest.fixture(scope="module")
def two() -> Iterator[Cluster]:
    with cluster() as made:
        yield made
        import_module("ray").shutdown()  # else this process would end with its node


@contextmanager
def opened(two: Cluster, craft: Any, **changed: Any) -> Iterator[RayExecutor]:
    executor = RayExecutor(craft, **{"address": two.address, "actors": 4, "seconds": 90, "patience": PATIENCE, **changed})
    try:
        yield executor
    finally:
        executor._connected = False  # one connection for the whole suite
        executor.close()


@pytest.fixture(scope="class")
def shared(two: Cluster) -> Iterator[RayExecutor]:
    """Four workers, two on each node, for tests that kill nothing."""
    with tempfile.TemporaryDirectory() as folder, opened(two, ChoreCraft(folder)) as executor:
        wait_for(lambda: len(executor._fleet.living()) == 4)
        yield executor


class TestContract:
    """What needs no death; one fleet for all, whose cores are free again afterwards."""

    def test_order_and_each_bucket_once(self, shared: RayExecutor, tmp_path: Path) -> None:
        contract.keeps_order(shared, Chore(str(tmp_path)))

    def test_failures_are_told_once_after_all_have_ended(self, shared: RayExecutor, tmp_path: Path) -> None:
        contract.fails_once_and_last(shared, Chore(str(tmp_path), seconds=0.05, fails=(6, 2)))

    @pytest.mark.parametrize("alone", [0, 1000])
    def test_gathered_results_hold_each_bucket_once(self, shared: RayExecutor, tmp_path: Path, alone: int) -> None:
        shared._alone = alone
        found: list[int] = []

        def counted(piece: Counter[int]) -> Counter[int]:
            found.append(1)
            return piece

        contract.gathers_each_once(shared, Chore(str(tmp_path)), counted)
        assert len(found) == (4 if alone == 0 else 28)  # four ways, joined; or every piece of seven buckets

    def test_a_bucket_stays_with_its_worker(self, shared: RayExecutor, tmp_path: Path) -> None:
        task = Chore(str(tmp_path))
        for _ in range(3):
            shared.map(contract.work, task, range(8), None)
        places = set(marks(task, "began"))
        assert len(places) == 8
        assert len({pid for _, pid in places}) == 4
        assert all((b + 4, pid) in places for b, pid in places if b < 4)

    def test_a_failure_that_is_not_ours_comes_without_its_text(self, shared: RayExecutor, tmp_path: Path) -> None:
        with pytest.raises(DependencyFailed) as caught:
            shared.map(contract.breaks, Chore(str(tmp_path)), range(5), None)
        assert caught.value.code == "worker_failed"
        assert caught.value.params["kind"] == "ValueError"
        assert "cell" not in repr(caught.value.__dict__)


def test_forgetting_reaches_every_worker(two: Cluster, tmp_path: Path) -> None:
    (tmp_path / "ver_1").touch()
    (tmp_path / "ver_2").touch()
    with opened(two, ChoreCraft(str(tmp_path)), actors=1) as executor:
        wait_for(lambda: executor.held() == {"ver_1", "ver_2"})
        executor.forget({"ver_1"})
        wait_for(lambda: executor.held() == {"ver_2"})


def test_workers_that_cannot_work_are_told_of_at_once(two: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DependencyFailed) as caught, opened(two, ChoreCraft(str(tmp_path / "none")), actors=1):
        pass
    assert caught.value.params == {"problem": "key_file_failed"}
    with pytest.raises(DependencyFailed, match="worker_absent"), opened(
        two, ChoreCraft(str(tmp_path)), actors=1, start_seconds=0
    ):
        pass
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(RequestError, match="ray_unprotected"), opened(two, ChoreCraft(str(tmp_path))):
        pass


def test_a_bucket_that_kills_its_workers_fails_and_the_rest_goes_on(two: Cluster, tmp_path: Path) -> None:
    with opened(two, ChoreCraft(str(tmp_path)), actors=2) as executor:
        with pytest.raises(DependencyFailed) as caught:
            executor.map(contract.dies, Chore(str(tmp_path)), range(5), None)
        assert caught.value.code == "worker_lost"
        assert executor.map(contract.dies, Chore(str(tmp_path)), [0, 1], None) == [0, 1]


def test_a_worker_that_answers_twice_is_counted_once(
    two: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped until another has done its bucket, and wakes while the request still waits for others."""
    dropped: list[int] = []
    take = Claims.take

    def spied(self: Claims[Any], request: str, item: int, answer: Any) -> bool:
        taken = take(self, request, item, answer)
        dropped.extend([] if taken else [item])
        return taken

    monkeypatch.setattr(Claims, "take", spied)
    task = Chore(str(tmp_path / "marks"), seconds=0.5)
    Path(task.folder).mkdir()
    with opened(two, ChoreCraft(str(tmp_path)), actors=2, patience=1.0) as executor:
        wait_for(lambda: len(executor._fleet.living()) == 2)

        def stop_and_wake() -> None:
            wait_for(lambda: any(b == 1 for b, _ in marks(task, "began")))
            (pid,) = {pid for b, pid in marks(task, "began") if b == 1}
            os.kill(pid, signal.SIGSTOP)
            wait_for(lambda: any(b == 1 for b, _ in marks(task, "ended")))
            os.kill(pid, signal.SIGCONT)

        thread = threading.Thread(target=stop_and_wake)
        thread.start()
        found = executor.map(contract.work, task, range(16), None)
        thread.join()
    assert [bucket for bucket, _ in found] == list(range(16))
    assert 1 in dropped


def test_what_never_answers_fails_and_does_not_hang(two: Cluster, tmp_path: Path) -> None:
    task = Chore(str(tmp_path), seconds=1.0)
    with opened(two, ChoreCraft(str(tmp_path)), actors=2, seconds=6) as executor:
        wait_for(lambda: len(executor._fleet.living()) == 2)

        def stop_all() -> None:
            wait_for(lambda: len({pid for _, pid in marks(task, "began")}) == 2)
            for pid in {pid for _, pid in marks(task, "began")}:
                os.kill(pid, signal.SIGSTOP)

        thread = threading.Thread(target=stop_all)
        thread.start()
        with pytest.raises(DependencyFailed) as caught:
            executor.map(contract.work, task, range(8), None)
        thread.join()
        for pid in {pid for _, pid in marks(task, "began")}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert caught.value.code == "worker_late"


# --- the kernel -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    """A home that workers find: settings, a root key, objects."""
    with tempfile.TemporaryDirectory() as folder:
        made = Pipeline(Path(folder))
        (made.folder / "settings.toml").write_text('log_name = "test"\ncache_mb = 16\n')
        (made.folder / "keys").mkdir()
        key_files._write(made.folder / "keys" / "root.key", "root", made.root.secret)
        yield made
        made.close()


def integers(executor: Any, task: Task, pipeline: Pipeline, function: Callable[..., Any] = part_of) -> Any:
    parts = executor.gather(function, task, range(1 << task.bits), pipeline.bench, PartMerging())
    values, labels = merged(task, parts)
    return [array.tolist() for array in values], labels


def slow_part(task: Task, bucket: int, bench: Any) -> Any:
    time.sleep(1.5)
    return part_of(task, bucket, bench)


@pytest.fixture(scope="module")
def tasks(pipeline: Pipeline) -> list[Task]:
    """Every stage of every shape; the plan shapes are more than ten."""
    known = some(pipeline)
    return [task for shape in SHAPES for task in tasks_of(pipeline, known, shape)]


def test_every_plan_shape_gives_the_integers_of_threads(two: Cluster, pipeline: Pipeline, tasks: list[Task]) -> None:
    threads = ThreadsExecutor(2)
    with opened(two, KernelCraft(str(pipeline.folder))) as executor:
        for task in tasks:
            expected = integers(threads, task, pipeline)
            assert any(any(map(any, array)) for array in expected[0])
            for alone in (0, 10**6):
                executor._alone = alone
                assert integers(executor, task, pipeline) == expected
        wait_for(lambda: executor.held() == {tasks[0].tables[0].version.id})
    threads.close()


def test_a_node_killed_in_mid_query_changes_no_integer(two: Cluster, pipeline: Pipeline, tasks: list[Task]) -> None:
    """Here while buckets are computed; the next test kills it when they lie computed on it."""
    threads = ThreadsExecutor(2)
    task = next(t for t in tasks if t.stage == "keys")
    expected = integers(threads, task, pipeline)
    threads.close()
    with opened(two, KernelCraft(str(pipeline.folder)), alone=0) as executor:
        wait_for(lambda: len(executor._fleet.living()) == 4)
        killer = threading.Timer(0.7, two.other.kill)
        killer.start()
        assert integers(executor, task, pipeline, slow_part) == expected
        killer.join()
        assert len(executor._fleet.living()) < 4
        two.renew()
        wait_for(lambda: len(executor._fleet.living()) == 4)
        assert integers(executor, task, pipeline) == expected


def test_results_that_went_with_their_node_are_computed_again(two: Cluster, tmp_path: Path) -> None:
    """Pieces too large to come with the receipt lie on the node that made them."""
    task = Chore(str(tmp_path / "marks"), size=1_000_000)
    Path(task.folder).mkdir()
    with opened(two, ChoreCraft(str(tmp_path))) as executor:
        wait_for(lambda: len(executor._fleet.living()) == 4)
        read = executor._read

        def after_a_kill(*arguments: Any) -> Any:
            two.other.kill()
            executor._read = read  # type: ignore[method-assign]
            return read(*arguments)

        executor._read = after_a_kill  # type: ignore[method-assign]
        found = executor.map(contract.work, task, range(8), None)
    two.renew()
    assert [(bucket, len(bulk)) for bucket, bulk in found] == [(b, 1_000_000) for b in range(8)]
    assert len(marks(task, "ended")) > 8


def test_a_node_that_stands_still_is_routed_around(two: Cluster, pipeline: Pipeline, tasks: list[Task]) -> None:
    threads = ThreadsExecutor(2)
    task = tasks[1]
    expected = integers(threads, task, pipeline)
    threads.close()
    with opened(two, KernelCraft(str(pipeline.folder))) as executor:
        wait_for(lambda: len(executor._fleet.living()) == 4)
        stop = threading.Timer(0.7, two.other.send, (signal.SIGSTOP,))
        stop.start()
        try:
            assert integers(executor, task, pipeline, slow_part) == expected
            stop.join()
            assert len(executor._fleet.living()) < 4
        finally:
            two.other.send(signal.SIGCONT)


def test_a_merging_worker_that_dies_is_replaced(two: Cluster, tmp_path: Path) -> None:
    task = Chore(str(tmp_path / "marks"))
    Path(task.folder).mkdir()
    with opened(two, ChoreCraft(str(tmp_path)), actors=2, alone=0) as executor:
        found = executor.gather(contract.work, task, range(5), None, DyingOnce())
    assert sum(found, start=Counter()) == sum((Counter(range(b, b + 10)) for b in range(5)), start=Counter())
    assert len(marks(task, "joined")) == 3
