"""Noise: the one place where exact integers become noisy ones, stage by stage."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sandbox.flow import Charged, Exact, Ints, Labels, Noisy, Priced, Release
from sandbox.plans import Measure
from sandbox.privacy import keys, mechanisms, norms, selection
from sandbox.query.kernel.fixed import clip_bits, scaled
from sandbox.query.planning.clipping import norm_of
from sandbox.query.planning.sizes import most_shown


def noise(exact: Exact, again: Charged | None = None) -> Noisy:
    """Fresh discrete noise on every integer of a stage; `again`, at the scales of a further charge of the same query.

    Privacy: the release of the stage, at the price that its charge has paid: each measure's whole array is one draw of
    its mechanism at the measure's sensitivity, each selection one draw in each group (P5.1), private keys are shown
    where their noisy weight passes the threshold (P5.3).
    """
    if exact.stage == "keys":
        return _keys(exact)
    if exact.stage == "norms":
        return _norms(exact)
    charged = again or exact.charged
    if charged.query_id != exact.charged.query_id:
        raise TypeError("a charge pays for noise on its own query")
    priced = charged.priced
    clipped = _scales(priced, exact.norms)
    noisy = [
        _measure(m, r, scale, values)
        for m, r, scale, values in zip(priced.plan.measures, priced.releases, clipped, exact.values, strict=True)
    ]
    return Noisy(charged=charged, stage="values", values=tuple(noisy), labels=exact.labels, norms=exact.norms)


def _measure(measure: Measure, release: Release, scale: float, values: Ints) -> Ints:
    if not release.loss:  # a further release of other measures alone
        return values[:0]
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
    shown = _most_voted(shown, noisy, most_shown(exact.charged.priced.plan.measures))
    labels: Labels = tuple(label for label, kept in zip(exact.labels, shown, strict=True) if kept)
    return Noisy(charged=exact.charged, stage="keys", values=(noisy[shown].reshape(-1, 1),), labels=labels)


def _most_voted(shown: keys.Flags, noisy: Ints, most: int) -> keys.Flags:
    """Of the keys to be shown those with the most noisy votes, which is post-processing: of them, not of rows."""
    places = np.flatnonzero(shown)
    if len(places) <= most:
        return shown
    kept = np.zeros_like(shown)
    kept[places[np.argsort(-noisy[places], kind="stable")[:most]]] = True
    return kept


def _norms(exact: Exact) -> Noisy:
    """The noisy histograms, and the norms that follow from them for the budgets of this question."""
    priced, noisy, found = exact.charged.priced, list[Ints](), list[int]()
    groups = priced.plan.groups if exact.labels is None else len(exact.labels)
    for index, histogram, counts in zip(priced.clipped_anew, priced.norms, exact.values, strict=True):
        noisy.append(norms.release(scale=histogram.scale, histogram=counts))
        loss = priced.releases[index].loss
        found.append(norm_of(priced.plan, index, noisy[-1][0], scale=histogram.scale, groups=groups, loss=loss))
    return Noisy(charged=exact.charged, stage="norms", values=tuple(noisy), norms=tuple(found))
