"""A gateway's history in small, told honestly or not, and the bundle that its auditor gets."""

from __future__ import annotations

import base64
import copy
from typing import Any

from sandbox.audit.checkpoint import checkpoint_text, sign_note, vkey
from sandbox.audit.event import Event, encode
from sandbox.audit.merkle import leaf_hash, root
from sandbox.audit.records import plain, record_digest
from sandbox.crypto.suite import INTL

NAME = "sandbox.example/log"
PRIVATE = bytes(range(32))
VKEY = vkey(NAME, INTL.public_key(PRIVATE))

TERMS: dict[str, Any] = {"purpose": "城市交通研究", "datasets": ["a.b"], "epsilon": "1000"}
CAPS = [["dataset", "ds_1"], ["grant", "grt_1"], ["population", "pop_1"]]
FRONTIER = [["0", "900"], ["500", "400"], ["1000", "0"]]


class Story:
    """Events and the rows they changed. Each method tells one thing; a dishonest test tells it otherwise."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.rows: dict[str, dict[str, Any]] = {}

    def tell(self, type_: str, actor: str, details: dict[str, Any], **rows: dict[str, Any]) -> str:
        """One event with the rows it changed; gives its id."""
        changed = {path.replace("__", "/"): row for path, row in rows.items()}
        return self.tell_rows(type_, actor, details, changed)

    def tell_rows(
        self,
        type_: str,
        actor: str,
        details: dict[str, Any],
        changed: dict[str, dict[str, Any]],
        id_: str | None = None,
    ) -> str:
        """The same, with rows under their paths."""
        self.rows |= copy.deepcopy(changed)
        id_ = id_ or f"evt_{len(self.bodies):03d}"
        records = {path: record_digest(row) for path, row in changed.items()}
        event = Event(
            id=id_, type=type_, at="2026-01-01T00:00:00.000Z", actor=actor, tenant="ten_x", subject="s", policy=1,
            details={**details, "records": records} if records else details,
        )  # fmt: skip
        self.bodies.append(encode(event))
        return id_

    def people(self, **tenants: str) -> None:
        """Members are m…, engineers e…, anybody else has no role that matters."""
        for who, tenant in tenants.items():
            roles = ["committee"] if who.startswith("m") else ["engineer"]
            row = {"id": who, "tenant": tenant, "roles": roles, "state": "active"}
            self.tell_rows("principal.create", "system", {}, {f"principals/{who}": row})

    def open_cap(self, scope: str, subject: str, delta: int = 100) -> None:
        """A cap of epsilon 1000 whose conversion takes half of delta."""
        told = {
            "scope": scope, "subject": subject, "epsilon": "1000", "delta": str(delta), "conversion": "50",
            "frontier": FRONTIER, "spent": {"eps_p": "0", "rho": "0", "delta": "1"},
        }  # fmt: skip
        row = {
            "scope": scope, "subject": subject, "epsilon": 1000, "delta": delta, "conversion": 50, "frontier": FRONTIER,
            "spent_eps_p": 0, "spent_rho": 0, "spent_delta": 1,
        }  # fmt: skip
        self.tell_rows("cap.open", "system", {"cap": told}, {f"caps/{scope}/{subject}": row})

    def add_dataset(self, dataset: str = "ds_1", name: str = "a.b", population: str = "pop_1") -> None:
        """A dataset of the bureau, with a version and its cap."""
        row = {"id": dataset, "tenant": "bureau", "name": name, "population": population}
        self.tell_rows("dataset.add", "s1", {"dataset": dataset}, {f"datasets/{dataset}": row})
        version = f"ver_{dataset.removeprefix('ds_')}"
        row = {"id": version, "tenant": "bureau", "dataset": dataset}
        self.tell_rows("ingest.commit", "system", {"dataset": dataset}, {f"versions/{version}": row})

    def submit(self) -> None:
        """The engineer e1 applies."""
        row = {"id": "app_1", "tenant": "company", "principal": "e1", "terms": TERMS, "state": "in_review"}
        digest = record_digest(TERMS)
        self.tell("application.submit", "e1", {"application": "app_1", "terms": digest}, applications__app_1=row)

    def voice(self, type_: str, who: str, round_: str, approve: bool = True) -> None:
        """A vote or a consent."""
        details = {"application": "app_1", "round": round_, "approve": approve}
        row = {"application": "app_1", "round": round_, "principal": who, "approve": approve}
        self.tell_rows(type_, who, details, {f"votes/app_1/{round_}/{who}": row})

    def grant(self, **otherwise: Any) -> None:
        """The application becomes a grant."""
        told = {
            "grant": "grt_1", "application": "app_1", "terms": record_digest(TERMS), "votes_needed": 2,
            "consents_needed": ["a.b"], "caps": [["grant", "grt_1"]],
        }  # fmt: skip
        row = {"id": "grt_1", "tenant": "company", "application": "app_1", "terms": TERMS, "state": "active"}
        approved = self.rows["applications/app_1"] | {"state": "approved"}
        self.tell("grant.create", "m2", told | otherwise, grants__grt_1=row, applications__app_1=approved)

    def charge(
        self, query: str, eps_p: int = 0, rho: int = 0, delta: int = 0, step: str = "main", **otherwise: Any
    ) -> None:
        """A charge to all caps, with its ledger rows; the first one also with its query."""
        cost, caps = {"eps_p": eps_p, "rho": rho, "delta": delta}, otherwise.get("caps", CAPS)
        id_ = f"evt_{len(self.bodies):03d}"
        changed: dict[str, dict[str, Any]] = {}
        for scope, subject in caps:
            cap = dict(self.rows[f"caps/{scope}/{subject}"])
            for counter, amount in cost.items():
                cap[f"spent_{counter}"] += amount
            changed[f"caps/{scope}/{subject}"] = cap
            row = {"request": query, "step": step, "scope": scope, "subject": subject, **cost, "event": id_}
            changed[f"ledger/{query}/{step}/{scope}/{subject}"] = row
        asked = {
            "id": query, "tenant": "company", "principal": "e1", "grant": "grt_1", "population": "pop_1",
            "version": "ver_1", "event": id_, "state": "charged",
        }  # fmt: skip
        if step == "main" or "asked" in otherwise:
            changed[f"queries/{query}"] = asked | otherwise.pop("asked", {})
        told = {
            "query": query, "grant": "grt_1", "step": step, "cost": {k: str(v) for k, v in cost.items()},
            "caps": caps, "plan": "00" * 32, "rung_ms": 250,
        }  # fmt: skip
        self.tell_rows("query.charge", "e1", told | otherwise, changed, id_=id_)

    def end(self, type_: str, state: str) -> None:
        """The grant ends."""
        self.tell(type_, "system", {"grant": "grt_1"}, grants__grt_1=self.rows["grants/grt_1"] | {"state": state})

    def checkpoint(self, size: int | None = None) -> str:
        """The signed note over the first events."""
        leaves = [leaf_hash(body) for body in self.bodies[:size]]
        return sign_note(checkpoint_text(NAME, len(leaves), root(leaves)), NAME, PRIVATE)

    def bundle(self) -> dict[str, Any]:
        """What the auditor fetches."""
        entries = [
            {"index": index, "body": base64.b64encode(body).decode(), "leaf": leaf_hash(body).hex()}
            for index, body in enumerate(self.bodies)
        ]
        records = {path: plain(row) for path, row in self.rows.items()}
        return {"v": 1, "checkpoint": self.checkpoint(), "entries": entries, "records": records}


def before_grant(**people: str) -> Story:
    """Caps, people, an application, and its consent."""
    story = Story()
    story.people(**({"e1": "company", "m1": "city", "m2": "city", "m3": "city", "s1": "bureau"} | people))
    story.add_dataset()
    for scope, subject in CAPS:
        story.open_cap(scope, subject)
    story.submit()
    story.voice("application.consent", "s1", "consent:a.b")
    return story


def granted() -> Story:
    """All that, two votes, and the grant."""
    story = before_grant()
    story.voice("application.vote", "m1", "review")
    story.voice("application.vote", "m2", "review")
    story.grant()
    return story


def honest() -> Story:
    """A whole life: granted, charged in both counters, expired."""
    story = granted()
    story.charge("qry_1", eps_p=500, delta=2)
    story.charge("qry_2", rho=400)
    story.tell("answer.read", "e1", {})
    story.end("grant.expire", "expired")
    return story
