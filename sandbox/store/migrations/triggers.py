"""Triggers that refuse to rewrite the log, the ledger and what is spent: against accidents, not the owner."""

from __future__ import annotations

from typing import Final


def _refuse(name: str, when: str, text: str) -> str:
    return f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{text}'); END"


FIRST: Final[tuple[str, ...]] = (
    # An event's only change is that the sequencer gives it a place, once, and a place that is free: REPLACE would
    # delete the row that has it, and fires no DELETE trigger.
    _refuse(
        "events_only_numbered",
        "BEFORE UPDATE ON events WHEN OLD.idx IS NOT NULL OR NEW.idx IS NULL OR NEW.id IS NOT OLD.id "
        "OR NEW.at IS NOT OLD.at OR NEW.type IS NOT OLD.type OR NEW.tenant IS NOT OLD.tenant "
        "OR NEW.subject IS NOT OLD.subject OR NEW.body IS NOT OLD.body OR NEW.leaf IS NOT OLD.leaf "
        "OR EXISTS (SELECT 1 FROM events AS e WHERE e.idx = NEW.idx)",
        "events are never changed",
    ),
    _refuse("events_never_deleted", "BEFORE DELETE ON events", "events are never deleted"),
    _refuse(
        "events_never_replaced",
        "BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id OR idx = NEW.idx)",
        "events are never replaced",
    ),
    _refuse("ledger_never_changed", "BEFORE UPDATE ON ledger", "charges are never changed"),
    _refuse("ledger_never_deleted", "BEFORE DELETE ON ledger", "charges are never deleted"),
    _refuse(
        "ledger_never_replaced",
        "BEFORE INSERT ON ledger WHEN EXISTS (SELECT 1 FROM ledger WHERE request = NEW.request AND step = NEW.step "
        "AND scope = NEW.scope AND subject = NEW.subject)",
        "charges are never replaced",
    ),
    # Nothing is refunded, and no cap goes away with what was spent under it.
    _refuse(
        "caps_never_refunded",
        "BEFORE UPDATE ON caps WHEN NEW.spent_eps_p < OLD.spent_eps_p OR NEW.spent_rho < OLD.spent_rho "
        "OR NEW.spent_delta < OLD.spent_delta",
        "what is spent stays spent",
    ),
    _refuse("caps_never_deleted", "BEFORE DELETE ON caps", "caps are never deleted"),
    _refuse(
        "caps_never_replaced",
        "BEFORE INSERT ON caps WHEN EXISTS (SELECT 1 FROM caps WHERE scope = NEW.scope AND subject = NEW.subject)",
        "caps are never replaced",
    ),
)
"""What revision 0001 creates. Frozen: a later revision drops and creates its own."""

SECOND: Final[tuple[str, ...]] = (
    "DROP TRIGGER events_only_numbered",
    "DROP TRIGGER events_never_replaced",
    _refuse(
        "events_never_replaced",
        "BEFORE INSERT ON events WHEN EXISTS "
        "(SELECT 1 FROM events WHERE id = NEW.id OR idx = NEW.idx OR seq = NEW.seq)",
        "events are never replaced",
    ),
    _refuse(
        "events_only_numbered",
        "BEFORE UPDATE ON events WHEN OLD.idx IS NOT NULL OR NEW.idx IS NULL OR NEW.id IS NOT OLD.id "
        "OR NEW.at IS NOT OLD.at OR NEW.type IS NOT OLD.type OR NEW.tenant IS NOT OLD.tenant "
        "OR NEW.subject IS NOT OLD.subject OR NEW.body IS NOT OLD.body OR NEW.leaf IS NOT OLD.leaf "
        "OR NEW.seq IS NOT OLD.seq OR EXISTS (SELECT 1 FROM events AS e WHERE e.idx = NEW.idx)",
        "events are never changed",
    ),
    _refuse("tiles_never_changed", "BEFORE UPDATE ON tiles", "tiles are never changed"),
    _refuse("tiles_never_deleted", "BEFORE DELETE ON tiles", "tiles are never deleted"),
)
"""What revision 0002 changes on SQLite."""


def _function(name: str, condition: str, text: str) -> str:
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {condition} THEN RAISE EXCEPTION '{text}'; END IF; RETURN NEW; END $$"
    )


def _guard(name: str, when: str, table: str) -> str:
    return f"CREATE TRIGGER {name} BEFORE {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"


_POSTGRESQL: Final = (
    (
        "events_only_numbered",
        "UPDATE",
        "events",
        (
            "OLD.idx IS NOT NULL OR NEW.idx IS NULL OR (NEW.id, NEW.at, NEW.type, NEW.tenant, NEW.subject, NEW.body, "
            "NEW.leaf, NEW.seq) IS DISTINCT FROM (OLD.id, OLD.at, OLD.type, OLD.tenant, OLD.subject, OLD.body, "
            "OLD.leaf, OLD.seq)"
        ),
        "events are never changed",
    ),
    ("events_never_deleted", "DELETE", "events", "true", "events are never deleted"),
    ("ledger_never_changed", "UPDATE OR DELETE", "ledger", "true", "charges are never changed"),
    (
        "caps_never_refunded",
        "UPDATE",
        "caps",
        "NEW.spent_eps_p < OLD.spent_eps_p OR NEW.spent_rho < OLD.spent_rho OR NEW.spent_delta < OLD.spent_delta",
        "what is spent stays spent",
    ),
    ("caps_never_deleted", "DELETE", "caps", "true", "caps are never deleted"),
    ("tiles_never_changed", "UPDATE OR DELETE", "tiles", "true", "tiles are never changed"),
)

_EMPTIED: Final = ("events", "ledger", "caps", "tiles")

SECOND_POSTGRESQL: Final[tuple[str, ...]] = (
    *(
        statement
        for name, when, table, condition, text in _POSTGRESQL
        for statement in (_function(name, condition, text), _guard(name, when, table))
    ),
    # Row triggers do not see a table that is emptied at once.
    _function("never_emptied", "true", "what is written is never emptied"),
    *(
        f"CREATE TRIGGER {table}_never_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT "
        "EXECUTE FUNCTION never_emptied()"
        for table in _EMPTIED
    ),
)
"""What revision 0002 creates on PostgreSQL, where nothing can replace a row without an update or a delete."""
