"""Callers of a small server: whoever has its share is turned away, and everybody else gets in."""

from __future__ import annotations

import pytest

from sandbox.cli.callers import Room


def entered(room: Room, host: str) -> int:
    count = 0
    while room.enter(host):
        count += 1
    return count


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"),
        ("fe80::1%eth0", "fe80::2%eth0", "2001:db8::1"),
    ],
)
def test_each_caller_has_its_share_and_gets_it_back(one: str, same: str, other: str) -> None:
    room = Room()
    share = entered(room, one)
    assert share > 0
    assert not room.enter(same)
    assert entered(room, other) == share
    room.leave(one)
    assert room.enter(same)
    assert not room.enter(one)


def test_one_has_a_small_part_of_all() -> None:
    room = Room()
    assert sum(entered(room, f"192.0.2.{n}") for n in range(7)) == 7 * entered(room, "192.0.2.100")
