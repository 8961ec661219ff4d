"""Shapes of applications, votes and grants."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sandbox.schemas.wire import Epsilon, Id, Name, Wire


class ApplicationAsk(Wire):
    """One scenario, one application. One of `preset` (strict, standard, research) and `epsilon`; times in RFC 3339."""

    scenario: str
    purpose: str
    datasets: Annotated[list[str], Field(max_length=1000)]
    actions: Annotated[list[str], Field(max_length=1000)]
    preset: Id | None = None
    epsilon: Epsilon | None = None
    starts_at: Id | None = None
    expires_at: Id


class ConsentAsk(Wire):
    """A data owner's word on its dataset."""

    dataset: Name
    approve: bool
    reason: str = ""


class VoteAsk(Wire):
    """A committee member's vote."""

    approve: bool
    reason: str = ""


class Vote(Wire):
    """A vote or a consent that was given."""

    round: str
    principal: str
    tenant: str
    approve: bool
    reason: str
    at: str


class Terms(Wire):
    """What was applied for, or granted. `epsilon` as a decimal, times as RFC 3339."""

    scenario: str
    purpose: str
    datasets: list[str]
    actions: list[str]
    preset: str | None
    epsilon: str
    starts_at: str
    expires_at: str


class Application(Wire):
    """An application with its terms and what was said on it."""

    id: str
    tenant: str
    principal: str
    state: str
    terms: Terms
    votes: list[Vote]
    grant: str | None
    created_at: str


class Budget(Wire):
    """A cap's epsilon and delta, what was spent in its counters, and what is left pure and Gaussian (decimals)."""

    epsilon: str
    delta: str
    spent_pure: str
    spent_rho: str
    spent_delta: str
    left_pure: str
    left_rho: str


class Grant(Wire):
    """A grant: terms, state, budget."""

    id: str
    tenant: str
    application: str
    state: str
    terms: Terms
    created_at: str
    budget: Budget
