"""Which grant a query stands on when none is named, and which refusal is the most telling."""

from __future__ import annotations

from tests.policies.cases import PURPOSE, held, query


def chosen(context: object) -> str | None:
    grant = context["grant"]  # type: ignore[index]
    return grant.id if grant else None


def test_the_only_one_that_fits_is_taken() -> None:
    assert chosen(query(held(1, state="expired"), held(2), held(3, purpose="other"))) == "grt_2"


def test_several_that_fit_are_listed() -> None:
    context = query(held(1), held(2), held(3, state="revoked"), purpose=None)
    assert chosen(context) is None
    assert context["candidates"] == ("grt_1", "grt_2")


def test_a_named_one_is_taken_whatever_its_state() -> None:
    assert chosen(query(held(1), held(2, state="revoked"), asked="grt_2")) == "grt_2"
    assert chosen(query(held(1), asked="grt_9")) is None


def test_the_nearest_miss_is_in_force_first_then_of_the_purpose_then_newest() -> None:
    over = held(3, state="expired")
    elsewhere = held(1, purpose="other")
    assert chosen(query(elsewhere, over, purpose=PURPOSE)) == "grt_1"
    assert chosen(query(held(1, state="expired", purpose="other"), held(2, state="expired"), over)) == "grt_3"
    assert chosen(query(held(1, datasets=("a.b",)))) is None
