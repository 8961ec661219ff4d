"""Computing a stage: the task of a paid plan on every bucket, and its exact integers."""

from __future__ import annotations

from sandbox.flow import Charged, Exact, Noisy
from sandbox.plans import Stage, all_norms
from sandbox.query.kernel.bucket import part_of
from sandbox.query.kernel.merge import merged
from sandbox.query.kernel.pieces import PartMerging
from sandbox.query.kernel.task import Bench, Task, task_of


def compute(charged: Charged, bench: Bench, stage: Stage = "values", earlier: tuple[Noisy, ...] = ()) -> Exact:
    """Exact integers of one stage of a paid plan.

    Privacy: the result is exact; only `noise` takes it. One unit changes it by at most the plan's sensitivity: see
    `privacy.sensitivity.reach` and the forms of `Bound` (P4.1, P4.2).

    Raises:
        IntegrityFailed: a stored object is missing, changed, or holds what its manifest excludes.
    """
    task = staged(charged, stage, earlier)
    parts = bench.executor.gather(part_of, task, range(1 << task.bits), bench, PartMerging())
    values, labels = merged(task, parts)
    return Exact(charged=charged, stage=stage, values=values, labels=labels, norms=task.norms)


def staged(charged: Charged, stage: Stage, earlier: tuple[Noisy, ...]) -> Task:
    """The task of a stage, with what earlier stages released as constants."""
    by_stage = {n.stage: n for n in earlier}
    labels = by_stage["keys"].labels if "keys" in by_stage else None
    anew = by_stage["norms"].norms if "norms" in by_stage else ()
    norms = all_norms(charged.priced.reused, anew) if stage == "values" else ()
    return task_of(charged.priced, stage, labels=labels, norms=norms)
