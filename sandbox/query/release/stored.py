"""Released integers as bytes: their shapes and labels in JSON, then the integers, in a size that tells little."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from sandbox.errors import IntegrityFailed
from sandbox.flow import Ints, Released
from sandbox.plans import Totals

_HEAD: Final = 8


def pack(released: Released) -> bytes:
    """The bytes; with labels, whose number only the release tells, filled up to a power of two (P7.2)."""
    labels = None if released.labels is None else [list(label) for label in released.labels]
    norms = [str(n) for n in released.norms]
    told: dict[str, Any] = {"shapes": [list(v.shape) for v in released.values], "labels": labels, "norms": norms}
    told |= {"histograms": [list(h.shape) for h in released.histograms]}
    told |= {} if released.totals is None else {"totals": _told(released.totals)}
    head = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    body = b"".join(np.ascontiguousarray(v, dtype="<i8").tobytes() for v in (*released.values, *released.histograms))
    packed = len(head).to_bytes(_HEAD, "little") + head + body
    if labels is None:
        return packed
    return packed.ljust(1 << (len(packed) - 1).bit_length(), b"\0")


def unpack(packed: bytes) -> Released:
    """What `pack` packed.

    Raises:
        IntegrityFailed: `answer_malformed`.
    """
    try:
        start = _HEAD + int.from_bytes(packed[:_HEAD], "little")
        told = json.loads(packed[_HEAD:start])
        arrays: list[Ints] = []
        # Answers of earlier releases kept no histograms.
        histograms = told.get("histograms", [])
        for shape in (*told["shapes"], *histograms):
            count = math.prod(shape)
            arrays.append(np.frombuffer(packed, "<i8", count, start).astype(np.int64).reshape(shape))
            start += 8 * count
        values, kept = arrays[: len(told["shapes"])], arrays[len(told["shapes"]) :]
        labels = None if told["labels"] is None else tuple(tuple(label) for label in told["labels"])
        norms = tuple(int(n) for n in told["norms"])
        totals = _totals(told["totals"]) if "totals" in told else None
        return Released(values=tuple(values), labels=labels, norms=norms, histograms=tuple(kept), totals=totals)
    except (ValueError, KeyError, TypeError):
        raise IntegrityFailed("answer_malformed") from None


def _told(totals: Totals) -> dict[str, Any]:
    return {
        "scales": [s.hex() for s in totals.scales], "losses": [str(n) for n in totals.losses], "draws": totals.draws,
        "receipt": dict(totals.receipt),
    }  # fmt: skip


def _totals(told: Mapping[str, Any]) -> Totals:
    return Totals(
        scales=tuple(float.fromhex(s) for s in told["scales"]), losses=tuple(int(n) for n in told["losses"]),
        draws=told["draws"], receipt=told["receipt"],
    )  # fmt: skip


def unpack_v1(packed: bytes, measures: int, groups: int) -> Released:
    """Answers of plans of version 1: one integer for each measure and group."""
    values = np.frombuffer(packed, dtype="<i8").astype(np.int64).reshape(measures, groups)
    return Released(values=tuple(row.reshape(-1, 1) for row in values))
