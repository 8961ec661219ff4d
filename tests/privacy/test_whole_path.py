"""The whole path (9.5): answers of two neighbouring houses prove no larger loss than each was charged.

2,000 answers a shape and state go over HTTP through the real flow: each question is a POST, which is charged, computed,
noised, stored and settled, and its answer is what a GET then reads. The price and the numbers are those that the answer
tells. Switched off are only: the wait for the rung (the clock jumps there once the answer is stored); free repeats, which
would give the first answer again; the check of the caps, which would stop after three answers that are large enough to
prove anything, and with it what is spent as the price sees it, or delta would shrink from one answer to the next; and
SQLite's wait for the disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from sandbox.flow import Ints
from sandbox.privacy import keys, mechanisms, selection
from sandbox.privacy.accounting import DELTA_UNIT, UNIT
from sandbox.privacy.mechanisms import Mechanism
from sandbox.privacy.selection import Selection
from tests.privacy import audits
from tests.privacy.twins import Twin, twins
from tests.privacy.whole_shapes import SHAPES, TARGET, Shape, others
from tests.promises import promise

ALPHA = 1e-5
"""Chance that a bound is wrong: few answers prove little, and with more certainty nothing."""
LOOSE = 0.01
"""The same where noise is a tenth of what was paid for, which few answers must show."""

Towns = tuple[Twin, Twin]


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Towns]:
    with twins(tmp_path_factory.mktemp("houses"), others(), TARGET) as made:
        yield made


def audited(
    towns: Towns, shape: Shape, answers: int, *, alpha: float = ALPHA, choosing: int, cuts: int = 19, epsilon: str = "",
    first: bool = False,
) -> str:  # fmt: skip
    """So many answers of each house: what they prove beside what was paid, which must be no less.

    `first`: by the first of a shape's numbers alone, since few answers do not tell how to weigh several.
    """
    states, told = [], dict[str, Any]()
    for town in towns:
        found = []
        with town.hurried():
            for _ in range(answers):
                told = dict(town.ask(shape.sql, epsilon=epsilon or shape.epsilon, **shape.asked))
                found.append(shape.numbers(told)[: 1 if first else None])
        states.append(np.array(found, dtype=np.float64))
    assert {c["mechanism"] for c in told["columns"]} - {None} == shape.noises
    paid, bound = paid_of(told["price"], shape)
    delta = int(told["price"]["delta"]) / DELTA_UNIT
    proven = audits.proven(*states, bound=bound, alpha=alpha, delta=delta, choosing=choosing, cuts=cuts)
    figure = f"a loss of {proven:.2f} was proven where {paid:.2f} was paid"
    assert proven <= paid, f"figure: {figure}"
    return figure


def paid_of(price: Mapping[str, str], shape: Shape) -> tuple[float, audits.Bound]:
    """What an answer says that it cost, and how so much is proven: Gaussian noise can be told by mu, Gumbel's by rho."""
    rho, eps_p = int(price["rho"]) / UNIT, int(price["eps_p"]) / UNIT
    assert not (rho and eps_p)
    if "gumbel" in shape.noises:
        return rho, audits.rho_at
    return (math.sqrt(2 * rho), audits.mu_at) if rho else (eps_p, audits.epsilon_at)


@promise("P1.2", "P5.1")
def test_some_answers_prove_no_more_than_was_paid(towns: Towns) -> None:
    audited(towns, SHAPES["count"], 48, choosing=8, cuts=0)


def _noised(of: Any, name: str, only: str) -> tuple[Any, str, Any]:
    """A break: noise of a tenth of the scale."""
    drawn = getattr(of, name)

    def faint(mechanism: Mechanism | Selection, *, scale: float, **more: Any) -> Ints:
        noisy: Ints = drawn(mechanism, scale=scale / 10 if mechanism == only else scale, **more)
        return noisy

    return of, name, faint


BREAKS = {
    "laplace": ("count", "0.7", 44, (mechanisms, "add_noise")),
    "gaussian": ("many numbers", "3", 42, (mechanisms, "add_noise")),
    "exponential": ("top", "0.6", 62, (selection, "top_k")),
    "gumbel": ("top of many groups", "3", 40, (selection, "top_k")),
    "votes": ("private keys", "1", 78, (keys, "add_noise")),
}
"""For each kind of noise a shape, its budget, as many answers as show the break but once in 10,000 runs or more, and
where it is drawn."""


@promise("P1.2", "P5.1")
@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=() if f in {"laplace", "gaussian"} else pytest.mark.slow) for f in BREAKS]
)
def test_answers_with_too_little_noise_are_caught(
    towns: Towns, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit can fail: noise of a tenth of the scale that was paid for."""
    shape, epsilon, answers, drawn = BREAKS[family]
    monkeypatch.setattr(*_noised(*drawn, only="laplace" if family == "votes" else family))
    with pytest.raises(AssertionError, match="was proven"):
        audited(towns, SHAPES[shape], answers, alpha=LOOSE, choosing=8, cuts=0, epsilon=epsilon, first=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@promise("P1.2", "P5.1", "P5.2", "P5.3")
@pytest.mark.parametrize("shape", SHAPES)
def test_two_thousand_answers_prove_no_more_than_was_paid(
    towns: Towns, shape: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("figure", audited(towns, SHAPES[shape], 2_000, choosing=500))
