"""Attacks in short: each gets from a broken variant what it is after, and from the real path no more than was paid for."""

from __future__ import annotations

import math

from tests.privacy.attacks import (
    averaging,
    channels,
    differencing,
    fan_out,
    float_bits,
    key_existence,
    overflow,
    preview,
    race,
    reconstruction,
)
from tests.privacy.attacks.desk import Found
from tests.promises import promise


def holds(found: Found, *, broken: float, trials: int = 0) -> None:
    """The broken variant gives at least `broken`; the real path no more than its limit, within what trials can say."""
    slack = 5 * math.sqrt(0.25 / trials) if trials else 0.0
    assert found.broken >= broken, f"the attack does not work: {found}"
    assert found.real <= found.limit + slack, f"figure: {found}"


@promise("P1.2", "P5.1")
def test_a_difference_of_two_counts_hides_a_person() -> None:
    holds(differencing.attack(), broken=0.99, trials=2 * differencing.TRIALS)


@promise("P4.2")
def test_a_join_makes_nobody_louder() -> None:
    holds(fan_out.attack(), broken=0.95, trials=2 * fan_out.TRIALS)


@promise("P5.3")
def test_a_key_of_one_person_is_not_shown() -> None:
    holds(key_existence.attack(), broken=1.0)


@promise("P2.5")
def test_a_sum_that_might_overflow_is_refused_for_everybody() -> None:
    holds(overflow.attack(), broken=1.0)


@promise("P5.2")
def test_no_number_betrays_its_total() -> None:
    holds(float_bits.attack(), broken=0.5)


@promise("P1.2", "P6.1")
def test_under_a_cap_no_population_is_reconstructed() -> None:
    holds(reconstruction.attack(), broken=0.9)


@promise("P7.1", "P7.2")
def test_nothing_but_noise_differs_between_neighbours() -> None:
    holds(channels.attack(), broken=3)


@promise("P6.5")
def test_a_free_preview_follows_no_row() -> None:
    holds(preview.attack(), broken=1.0)


@promise("P6.4")
def test_there_is_nothing_to_average() -> None:
    holds(averaging.attack(), broken=2)


@promise("P6.1", "P6.2")
def test_a_race_spends_no_cap_twice() -> None:
    holds(race.attack(), broken=2)
