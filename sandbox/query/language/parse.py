"""SQL text to the tree: limits first, sqlglot narrowed, then our own reading, which must account for every word."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sandbox.errors import RequestError
from sandbox.flow import Parsed, Request
from sandbox.query.language.clauses import Clauses
from sandbox.query.language.grammar import tree_of
from sandbox.query.language.syntax import Query, tables_of
from sandbox.query.language.words import MAX_BYTES, MAX_NESTING, Places, words_of

__all__ = ["MAX_BYTES", "parse", "parse_query"]


def parse(request: Request) -> Parsed:
    """Read the names and the shape of what was asked; nothing is looked up.

    Raises:
        TooLarge, RequestError: as `parse_query`.
    """
    query = parse_query(request.sql)
    return Parsed(request=request, datasets=tuple(t.name for t in tables_of(query)), tree=query)


def parse_query(sql: str) -> Query:
    """Read one query; nothing is looked up.

    Raises:
        TooLarge: `query_too_long`, `query_too_many_tokens`.
        RequestError: `sql_…` or `query_…`, with the line and column of what is refused.
    """
    # A stack of its own: whether a deeply nested query is read must not depend on how deep the caller stands.
    with ThreadPoolExecutor(max_workers=1) as own:
        return own.submit(_read, sql).result()


def _read(sql: str) -> Query:
    places = Places(sql)
    tokens = words_of(sql, places)
    reader = Clauses(tokens, places)
    try:
        query = reader.query(tree_of(sql, tokens, places), inner=False)
    except RecursionError:
        raise RequestError("query_too_deep", limit=MAX_NESTING) from None
    reader.settle()
    return query
