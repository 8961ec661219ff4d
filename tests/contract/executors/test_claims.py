"""Claims: whatever dies, stops, wakes up or answers twice, each item's answer is taken once."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import DependencyFailed, IntegrityFailed
from sandbox.executors.claims import MOST_LOSSES, Claims
from sandbox.executors.fleet import Seat
from sandbox.executors.ray import home

WORKERS = ("0.0", "1.0", "2.0")


@given(st.data())
def test_each_item_is_taken_once_in_any_history(data: st.DataObject) -> None:
    """Answers come late, twice, from workers thought dead, and of other requests; what is taken is one for each item."""
    items = data.draw(st.lists(st.integers(0, 20), unique=True, min_size=1, max_size=6))
    claims: Claims[tuple[int, str]] = Claims("mine", items)
    asked: list[tuple[int, str]] = []
    taken: Counter[int] = Counter()
    for _ in range(data.draw(st.integers(0, 40))):
        living = data.draw(st.sets(st.sampled_from(WORKERS)))
        match data.draw(st.sampled_from(["ask", "answer", "lose", "foreign"])):
            case "ask" if living:
                for item in list(claims.open(living)):
                    worker = data.draw(st.sampled_from(sorted(living)))
                    claims.ask(item, worker)
                    asked.append((item, worker))
            case "answer" if asked:
                item, worker = data.draw(st.sampled_from(asked))
                taken[item] += claims.take("mine", item, (item, worker))
            case "lose" if asked:
                claims.lose(*data.draw(st.sampled_from(asked)))
            case "foreign":
                assert not claims.take("another", items[0], (items[0], "0.0"))
                assert not claims.take("mine", 99, (99, "0.0"))
            case _:
                pass
    for item in claims.open([]):
        taken[item] += claims.take("mine", item, (item, "last"))
    assert max(taken.values(), default=0) <= 1
    assert claims.missing == 0
    lost = {item for item in items if not taken[item]}
    with pytest.raises(DependencyFailed, match="worker_lost") if lost else nullcontext():
        assert [item for item, _ in claims.answers()] == items


def test_an_item_that_kills_its_workers_fails_instead_of_killing_all() -> None:
    claims: Claims[str] = Claims("mine", [4, 7])
    for number in range(MOST_LOSSES):
        assert list(claims.open([f"{number}.0"])) == [4, 7]
        claims.ask(7, f"{number}.0")
        claims.lose(7, f"{number}.0")
        claims.lose(7, f"{number}.0")
    assert list(claims.open(["9.0"])) == [4]
    claims.ask(4, "9.0")
    assert claims.take("mine", 4, IntegrityFailed("object_missing", key="4"))
    with pytest.raises(IntegrityFailed, match="object_missing"):
        claims.answers()


@given(st.sets(st.integers(0, 7), min_size=1), st.integers(0, 300))
def test_an_item_stays_where_it_is_while_that_lives_and_only_then_moves(living: set[int], index: int) -> None:
    seats = [Seat(number=n, name=f"{n}.0", actor=None, made=0) for n in sorted(living)]
    chosen = home(index, seats, 8).number
    assert chosen in living
    assert (chosen == index % 8) is (index % 8 in living)


def test_the_items_of_a_dead_seat_are_spread_over_the_others() -> None:
    seats = [Seat(number=n, name=f"{n}.0", actor=None, made=0) for n in (0, 1, 3)]
    moved = Counter(home(index, seats, 4).number for index in range(2, 48, 4))
    assert moved == {0: 4, 1: 4, 3: 4}
