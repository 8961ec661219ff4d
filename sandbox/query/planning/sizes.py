"""How many rows a relation can have, of one unit and in all, from declared facts; and whether it is read row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sandbox.plans import Filter, Lookup, Measure, Meet, PerUnit, Project, Relation, Scan, Stack, Table

SHOWN: Final = 100_000
"""Private keys that an answer shows, at most."""
NUMBERS: Final = 2_000_000
"""Exact integers that measures over private keys may take in all: some seconds of noise, and 16 MB."""


def most_shown(measures: Sequence[Measure]) -> int:
    """Private keys that an answer with these measures shows, at most: those with the most noisy votes.

    How many keys there are is known only from the rows; with this, neither time nor memory of what comes after the
    keys depends on it.
    """
    return min(SHOWN, max(1, NUMBERS // max(1, sum(m.width for m in measures))))


def most_rows(relation: Relation, tables: Sequence[Table]) -> int:
    """Rows of one unit, at most: R_max of its tables (P2.5) or their cuts, as joins and unions multiply them."""
    match relation:
        case Scan():
            r_max = tables[relation.table].spec.r_max
            return r_max if relation.rows is None else min(relation.rows, r_max)
        case Filter() | Project():
            return most_rows(relation.of, tables)
        case Lookup():
            return most_rows(relation.of, tables) * relation.most
        case Stack():
            return sum(most_rows(p, tables) for p in relation.parts)
        case Meet():
            return most_rows(relation.left, tables) * most_rows(relation.right, tables)
        case PerUnit():
            return most_rows(relation.of, tables) if relation.keys else 1


def all_rows(relation: Relation, tables: Sequence[Table]) -> int:
    """Rows in all, at most: N_max of its tables, as joins and unions multiply them."""
    match relation:
        case Scan():
            return tables[relation.table].spec.n_max
        case Filter() | Project() | PerUnit():
            return all_rows(relation.of, tables)
        case Lookup():
            return all_rows(relation.of, tables) * relation.most
        case Stack():
            return sum(all_rows(p, tables) for p in relation.parts)
        case Meet():
            return all_rows(relation.left, tables) * most_rows(relation.right, tables)


def scans_of(relation: Relation) -> tuple[Scan, ...]:
    """Every scan in it, in order of the text."""
    match relation:
        case Scan():
            return (relation,)
        case Stack():
            return tuple(s for p in relation.parts for s in scans_of(p))
        case Meet():
            return (*scans_of(relation.left), *scans_of(relation.right))
        case _:
            return scans_of(relation.of)


def is_row_by_row(relation: Relation) -> bool:
    """Whether each stored row yields at most one row, so that a unit can be bounded at ingest (P4.1)."""
    match relation:
        case Scan():
            return True
        case Filter() | Project():
            return is_row_by_row(relation.of)
        case Lookup():
            return relation.most == 1 and is_row_by_row(relation.of)
        case _:
            return False


def keeps_order(relation: Relation) -> bool:
    """Whether its rows come in the order in which they are stored: a join's may come in any."""
    return isinstance(relation, Scan) or (isinstance(relation, Filter | Project) and keeps_order(relation.of))


def is_filtered(relation: Relation) -> bool:
    """Whether rows may be left out before they are counted."""
    match relation:
        case Filter():
            return True
        case Lookup():
            return not relation.outer or is_filtered(relation.of)
        case Project():
            return is_filtered(relation.of)
        case _:
            return False
