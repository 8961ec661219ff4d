"""The transition tables: every state has a way out or is an end, and every move has an owner and a known event."""

from __future__ import annotations

import pytest

from sandbox.audit.event import EVENT_TYPES
from sandbox.committee.applications import APPLICATION, GRANT
from sandbox.machine import Machine
from sandbox.policy.decisions import ROLE_NAMES
from sandbox.policy.lifecycles import DATASET, QUERY, REMOVAL, VERSION

TABLES = [APPLICATION, GRANT, QUERY, DATASET, VERSION, REMOVAL]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_state_is_an_end_or_has_a_way_out_to_one(table: Machine) -> None:
    ways = {state: {t.target for t in table.transitions if state in t.sources} for state in table.states}
    ending = set(table.ends)
    for _ in table.states:
        ending |= {state for state, targets in ways.items() if targets & ending}
    assert ending == set(table.states)
    assert not any(ways[end] for end in table.ends)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_state_can_be_reached(table: Machine) -> None:
    reached = {table.start}
    for _ in table.states:
        reached |= {t.target for t in table.transitions if reached & set(t.sources)}
    assert reached == set(table.states)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_moves_have_owners_and_known_events(table: Machine) -> None:
    for move in table.transitions:
        assert move.owner in {*ROLE_NAMES, "duty", "gateway"}
        assert move.event is None or move.event in EVENT_TYPES
    moves = [(source, t.action) for t in table.transitions for source in t.sources]
    assert len(moves) == len(set(moves))
