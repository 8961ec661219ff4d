"""The context cases that policies/decisions.csv names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sandbox.flow import GrantTerms
from sandbox.policy.grants import Held, query_context

US = "ten_us"
THEM = "ten_them"
NOW = "2026-11-20T08:00:00.000Z"
DATASET = "health.rwm5yr"
PURPOSE = "health planning"


def held(number: int = 1, *, state: str = "active", **changes: object) -> Held:
    """A grant of ours in force; `changes` replace its terms."""
    terms: dict[str, object] = {
        "id": f"grt_{number}",
        "tenant": US,
        "purpose": PURPOSE,
        "datasets": (DATASET, "health.nhefs"),
        "actions": ("query",),
        "starts_at": "2026-11-01T00:00:00.000Z",
        "expires_at": "2027-11-01T00:00:00.000Z",
    }
    return Held(terms=GrantTerms(**{**terms, **changes}), state=state)  # type: ignore[arg-type]


def query(
    *grants: Held, asked: str | None = None, purpose: str | None = PURPOSE, **changes: str
) -> Mapping[str, object]:
    """The context that the flow makes for a query."""
    return query_context(
        grants, asked=asked, purpose=purpose, dataset=changes.get("dataset", DATASET), now=NOW,
        dataset_state=changes.get("state", "active"),
    )  # fmt: skip


CASES: Mapping[str, Callable[[], Mapping[str, object]]] = {
    "any": dict,
    "own": lambda: {"tenant": US},
    "other": lambda: {"tenant": THEM},
    "proposed_there": lambda: {"tenant": THEM, "proposed_by": "prn_them"},
    "proposed_here": lambda: {"tenant": US, "proposed_by": "prn_colleague"},
    "proposed_by_me": lambda: {"tenant": THEM, "proposed_by": "prn_1"},
    "empty_context": dict,
    "broken_context": lambda: {**query(held()), "grant": {"id": "grt_1"}},
    "granted": lambda: query(held(1), held(2, datasets=("other.one",))),
    "granted_without_purpose": lambda: query(held(), purpose=None),
    "no_grant": lambda: query(held(datasets=("other.one",))),
    "foreign_grant": lambda: query(held(tenant=THEM)),
    "two_fit": lambda: query(held(1), held(2)),
    "other_dataset": lambda: query(held(), asked="grt_1", dataset="transport.flights"),
    "other_action": lambda: query(held(actions=("train",)), asked="grt_1"),
    "other_purpose": lambda: query(held(), purpose="marketing"),
    "not_started": lambda: query(held(starts_at="2026-12-01T00:00:00.000Z")),
    "past_end": lambda: query(held(expires_at=NOW)),
    "expired": lambda: query(held(state="expired", expires_at="2026-11-10T00:00:00.000Z")),
    "revoked": lambda: query(held(state="revoked")),
    "stopped": lambda: query(held(state="stopped")),
    "retired": lambda: query(held(), state="retired"),
    "destroyed": lambda: query(held(), state="destroying"),
    "retired_not_ours": lambda: query(held(datasets=("other.one",)), state="retired"),
}
