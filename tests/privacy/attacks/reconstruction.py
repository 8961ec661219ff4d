"""Reconstruction: counts over many random subsets of a small population, and the bits that fit all of them best."""

from __future__ import annotations

import numpy as np

from sandbox.errors import Denied
from tests.privacy.attacks.desk import Desk, Found, main, pipelines
from tests.trips import Row
from tests.unit.query.test_price import PURSE

QUESTIONS = 144
UNITS = 48


def question(subset: np.ndarray) -> str:
    """How many of the subset have the secret bit; each person is alone in a (line, hour)."""
    parts = []
    for line, members in (("A", subset[:24]), ("B", subset[24:])):
        hours = ", ".join(str(h) for h in np.flatnonzero(members)) or "-1"
        parts.append(f"(line = '{line}' AND hour IN ({hours}))")
    return f"SELECT count(*) FROM city.trips WHERE paid AND ({' OR '.join(parts)})"


def bits(desk: Desk, subsets: np.ndarray, epsilon: float, *, free: bool) -> tuple[np.ndarray, int]:
    """The bits that fit best, and how many questions were answered."""
    got = []
    for subset in subsets:
        try:
            got.append(int(desk.ask(question(subset), epsilon, rows=1).values[0][0, 0]))
        except Denied:
            break
        if free:
            desk.spent = PURSE.spent
    fitted = np.linalg.lstsq(subsets[: len(got)].astype(float), np.array(got, float), rcond=None)[0]
    return fitted > 0.5, len(got)


def attack(questions: int = QUESTIONS) -> Found:
    """The share of the bits that are recovered."""
    rng = np.random.default_rng(5)
    secret, subsets = rng.random(UNITS) < 0.5, rng.random((questions, UNITS)) < 0.5
    rows: list[Row] = [(f"u{i}", "AB"[i // 24], i % 24, 1, "1", int(s), "2013-01-01") for i, s in enumerate(secret)]
    with pipelines() as pipeline:
        known = pipeline.ingest(rows)[0]
        broken, _ = bits(Desk(pipeline=pipeline, known=known), subsets, 1.0, free=True)
        shares, counts = [], []
        for epsilon in (3 / questions, 1.0):
            found, count = bits(Desk(pipeline=pipeline, known=known), subsets, epsilon * 0.999, free=False)
            shares.append(float((found == secret).mean()))
            counts.append(count)
    return Found(
        attack="reconstruction", broken=float((broken == secret).mean()), real=max(shares), limit=0.8,
        says=f"{questions} counts that are charged one by one but not added up give {{broken:.0%}} of {UNITS} secret bits, "
        f"under the cap {counts[0]} small or {counts[1]} large ones {{real:.0%}}",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
