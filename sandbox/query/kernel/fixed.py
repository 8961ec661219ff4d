"""The fixed point of clipped vectors: a function of declared facts and of the norms that were released."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.plans import Measure, Relation, Table
from sandbox.query.kernel import clip
from sandbox.query.planning.sizes import all_rows, most_rows


def clip_bits(
    relation: Relation, tables: Sequence[Table], measures: Sequence[Measure], norms: Sequence[int]
) -> int:
    """The fractional bits of all measures, so that their ratios mean what they say; negative: low bits are dropped."""
    most, units = most_rows(relation, tables), all_rows(relation, tables)
    return min(clip.fixed_bits(most * m.row_bound, t, units) for m, t in zip(measures, norms, strict=True))


def scaled(value: int, bits: int) -> int:
    """A norm in units of 2**-bits, rounded up so that noise for it is never too small."""
    return value << bits if bits >= 0 else -(-value >> -bits)
