"""The committee's values: what is applied for, what was said of it, and the grant it became."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.flow import GrantTerms
from sandbox.policy.grants import Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is applied for, and granted as it was applied for. `epsilon` in units of 1e-12, times as RFC 3339 text."""

    scenario: str
    purpose: str
    datasets: tuple[str, ...]
    actions: tuple[str, ...]
    epsilon: int
    preset: str | None
    starts_at: str
    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A company's application for one scenario."""

    id: str
    tenant: str
    principal: str
    terms: Terms
    state: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A member's vote (`review`) or an owner's consent (`consent:<dataset>`)."""

    application: str
    round: str
    principal: str
    tenant: str
    approve: bool
    reason: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An approved application."""

    id: str
    tenant: str
    application: str
    terms: Terms
    state: str
    created_at: str

    @property
    def held(self) -> Held:
        """As a decision looks at it."""
        terms = GrantTerms(
            id=self.id, tenant=self.tenant, purpose=self.terms.purpose, datasets=self.terms.datasets,
            actions=self.terms.actions, starts_at=self.terms.starts_at, expires_at=self.terms.expires_at,
        )  # fmt: skip
        return Held(terms=terms, state=self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """What the committee must know of a dataset; a public one has no population."""

    id: str
    name: str
    owner: str
    consent: bool
    population: str | None
    state: str = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationFacts:
    """What the committee must know of a population. `epsilon` and `delta` are its cap's, in ledger units."""

    id: str
    name: str
    n_ids: int
    epsilon: int
    delta: int
