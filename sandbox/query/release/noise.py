"""Noise: the one place where exact integers become noisy ones, stage by stage."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sandbox.flow import Exact, Ints, Labels, Noisy, Priced, Release
from sandbox.plans import Measure
from sandbox.privacy import keys, mechanisms, norms, selection
from sandbox.query.kernel.fixed import clip_bits, scaled
from sandbox.query.planning.sizes import most_rows


def noise(exact: Exact) -> Noisy:
    """Fresh discrete noise on every integer of a stage.

    Privacy: the release of the stage, at the price that its charge has paid: each measure's whole array is one draw of
    its mechanism at the measure's sensitivity, each selection one draw in each group (P5.1), private keys are shown
    where their noisy weight passes the threshold (P5.3).
    """
    if exact.stage == "keys":
        return _keys(exact)
    if exact.stage == "norms":
        return _norms(exact)
    priced = exact.charged.priced
    clipped = _scales(priced, exact.norms)
    noisy = [
        _measure(m, r, scale, values)
        for m, r, scale, values in zip(priced.plan.measures, priced.releases, clipped, exact.values, strict=True)
    ]
    return Noisy(charged=exact.charged, stage="values", values=tuple(noisy), labels=exact.labels, norms=exact.norms)


def _measure(measure: Measure, release: Release, scale: float, values: Ints) -> Ints:
    match release.mechanism:
        case "laplace" | "gaussian" as noisy:
            return mechanisms.add_noise(noisy, scale=scale, values=values)
        case "exponential" | "gumbel" as chooser if measure.kind == "top":
            return selection.top_k(chooser, scale=scale, counts=values, picks=measure.most)
        case "exponential" | "gumbel" as chooser:
            p, q = measure.rank
            return selection.choose(chooser, scale=scale, scores=selection.scores(values, p=p, q=q)).reshape(-1, 1)


def _scales(priced: Priced, norm: tuple[int, ...]) -> list[float]:
    """Each measure's scale: a clipped one's follows the norm that was released, at the loss that was paid."""
    if priced.plan.bound.form != "clip":
        return [r.scale for r in priced.releases]
    return list(clipped_scales(priced, norm))


def clipped_scales(priced: Priced, norm: tuple[int, ...]) -> tuple[float, ...]:
    """The scales of clipped measures, in their fixed point."""
    bits = clip_bits(priced.plan.relation, priced.plan.tables, priced.plan.measures, norm)
    return tuple(
        mechanisms.scale("gaussian", sensitivity=scaled(t, bits), loss=r.loss)
        for r, t in zip(priced.releases, norm, strict=True)
    )


def _keys(exact: Exact) -> Noisy:
    release, (weights,) = exact.charged.priced.keys, exact.values
    if release is None or exact.labels is None:
        raise TypeError("no keys were priced")
    mechanism: Literal["laplace", "gaussian"] = "laplace" if release.pure else "gaussian"
    shown, noisy = keys.release(mechanism, scale=release.scale, threshold=release.threshold, sums=weights[:, 0])
    labels: Labels = tuple(label for label, kept in zip(exact.labels, shown, strict=True) if kept)
    return Noisy(charged=exact.charged, stage="keys", values=(noisy[shown].reshape(-1, 1),), labels=labels)


def _norms(exact: Exact) -> Noisy:
    priced, found = exact.charged.priced, list[int]()
    plan = priced.plan
    most = most_rows(plan.relation, plan.tables)
    groups = max(plan.groups if exact.labels is None else len(exact.labels), 1)
    for measure, histogram, values, counts in zip(
        plan.measures, priced.norms, priced.releases, exact.values, strict=True
    ):
        noisy = norms.release(scale=histogram.scale, histogram=counts[0])
        sigma = mechanisms.scale("gaussian", sensitivity=1, loss=values.loss)
        found.append(
            norms.choose(
                noisy, scale=histogram.scale, groups=groups, sigma=sigma, maximum=most * measure.row_bound
            )
        )
    return Noisy(charged=exact.charged, stage="norms", values=(np.array(found, np.int64).reshape(-1, 1),))
