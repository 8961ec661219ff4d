"""The words of a query: sizes, signs and words are judged one by one, before any parser runs."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from sandbox.errors import Position, RequestError, TooLarge

MAX_BYTES: Final = 100_000
MAX_TOKENS: Final = 4_000
MAX_NESTING: Final = 30
"""Parentheses, brackets and CASEs within each other: sqlglot goes up to thirty calls deep for each of them, and Python
stops at a thousand."""

SIGNS: Final = frozenset({
    "(", ")", "[", "]", ",", ".", ";", "+", "-", "*", "/", "%", "=", "<", ">", "<=", ">=", "<>", "!=", "||", "::",
})  # fmt: skip
TEXT_FORMS: Final = frozenset({
    TokenType.BYTE_STRING, TokenType.BIT_STRING, TokenType.HEX_STRING, TokenType.NATIONAL_STRING,
    TokenType.UNICODE_STRING, TokenType.HEREDOC_STRING, TokenType.RAW_STRING,
})  # fmt: skip
CLAUSES: Final[Mapping[TokenType, int]] = {
    TokenType.FROM: 1, TokenType.WHERE: 2, TokenType.GROUP_BY: 3, TokenType.HAVING: 4, TokenType.ORDER_BY: 5,
    TokenType.LIMIT: 6,
}  # fmt: skip
ENDS: Final = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.COMMA, TokenType.UNION})
BEGINS: Final = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.SELECT})
PARAMETERS: Final = frozenset({TokenType.PARAMETER, TokenType.PLACEHOLDER, TokenType.COLON})
NAMES: Final = frozenset({TokenType.IDENTIFIER, TokenType.STRING, TokenType.NUMBER})

Refusal: TypeAlias = tuple[str, dict[str, str]]

ALWAYS: Final[Mapping[str, Refusal]] = {
    "OFFSET": ("sql_offset", {}), "FETCH": ("sql_fetch", {}), "WINDOW": ("sql_window", {}),
    "INTERSECT": ("sql_set_operation", {"kind": "INTERSECT"}), "EXCEPT": ("sql_set_operation", {"kind": "EXCEPT"}),
    "LATERAL": ("sql_join_kind", {"kind": "LATERAL"}), "NATURAL": ("sql_join_kind", {"kind": "NATURAL"}),
    "CROSS": ("sql_join_kind", {"kind": "CROSS"}), "FULL": ("sql_join_kind", {"kind": "FULL"}),
    "SIMILAR TO": ("sql_operator", {"operator": "SIMILAR TO"}), "OVERLAPS": ("sql_operator", {"operator": "OVERLAPS"}),
    "FOR": ("sql_clause", {"clause": "FOR"}), "INTO": ("sql_clause", {"clause": "INTO"}),
    "RETURNING": ("sql_clause", {"clause": "RETURNING"}), "TABLESAMPLE": ("sql_sample", {}),
    "GROUPING SETS": ("sql_grouping_sets", {"clause": "GROUPING SETS"}),
    "CURRENT_DATE": ("sql_now", {"function": "CURRENT_DATE"}),
    "CURRENT_TIME": ("sql_now", {"function": "CURRENT_TIME"}),
    "CURRENT_TIMESTAMP": ("sql_now", {"function": "CURRENT_TIMESTAMP"}),
    "LOCALTIME": ("sql_now", {"function": "LOCALTIME"}), "LOCALTIMESTAMP": ("sql_now", {"function": "LOCALTIMESTAMP"}),
}  # fmt: skip
"""Reserved words of PostgreSQL: unless quoted or behind a dot, each can only be its construct."""

BEFORE_PAREN: Final[Mapping[str, Refusal]] = {
    "OVER": ("sql_window", {}), "VALUES": ("sql_values", {}), "EXISTS": ("sql_subquery_condition", {"form": "EXISTS"}),
    "ANY": ("sql_subquery_condition", {"form": "ANY"}), "SOME": ("sql_subquery_condition", {"form": "SOME"}),
    "ALL": ("sql_subquery_condition", {"form": "ALL"}), "ROLLUP": ("sql_grouping_sets", {"clause": "ROLLUP"}),
    "CUBE": ("sql_grouping_sets", {"clause": "CUBE"}), "NOW": ("sql_now", {"function": "NOW"}),
    "GROUPING": ("sql_grouping_sets", {"clause": "GROUPING"}),
}  # fmt: skip
"""Words that are names elsewhere and mean their construct before a parenthesis."""

SECOND: Final[Mapping[tuple[str, str], Refusal]] = {
    ("SELECT", "DISTINCT"): ("sql_distinct", {}), ("WITH", "RECURSIVE"): ("sql_recursive", {}),
}  # fmt: skip
FIRST: Final[Mapping[tuple[str, str], Refusal]] = {
    ("RIGHT", "JOIN"): ("sql_join_kind", {"kind": "RIGHT"}), ("RIGHT", "OUTER"): ("sql_join_kind", {"kind": "RIGHT"}),
}  # fmt: skip
WRITES: Final = frozenset({("INSERT", "INTO"), ("DELETE", "FROM"), ("MERGE", "INTO")})


class Places:
    """Turns character offsets into lines and columns, both from 1."""

    def __init__(self, sql: str) -> None:
        self._starts = [0] + [i + 1 for i, c in enumerate(sql) if c == "\n"]

    def at(self, offset: int) -> Position:
        """The place of the character with that offset."""
        line = bisect.bisect_right(self._starts, offset)
        return Position(line=line, column=offset - self._starts[line - 1] + 1)


def words_of(sql: str, places: Places) -> list[Token]:
    """The words of one statement, without its closing semicolon.

    Raises:
        TooLarge: `query_too_long`, `query_too_many_tokens`.
        RequestError: `query_empty`, `query_too_deep`, `sql_…`.
    """
    if len(sql.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise TooLarge("query_too_long", limit=MAX_BYTES)
    for i, c in enumerate(sql):
        if (c < " " and c not in "\t\n\r") or "\ud800" <= c <= "\udfff":
            raise RequestError("sql_control_character", position=places.at(i))
    try:
        tokens: list[Token] = sqlglot.tokenize(sql, read="postgres")
    except SqlglotError:
        raise RequestError("sql_syntax", position=Position(line=1, column=1)) from None
    if len(tokens) > MAX_TOKENS:
        raise TooLarge("query_too_many_tokens", limit=MAX_TOKENS, found=len(tokens))
    tokens = _single(tokens, places)
    _statement(tokens, places)
    _depth(tokens, places)
    _clauses(tokens, places)
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else None
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        found = _sign(before, token, after) or _word(before, token, after)
        if found:
            raise RequestError(found[0], position=places.at(token.start), **found[1])
    return tokens


def fold(name: str) -> str:
    """PostgreSQL's folding of names that are not quoted: ASCII alone changes (in a UTF-8 database)."""
    return "".join(c.lower() if c.isascii() else c for c in name)


def _single(tokens: list[Token], places: Places) -> list[Token]:
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens = tokens[:-1]
    if not tokens:
        raise RequestError("query_empty")
    for i, token in enumerate(tokens):
        if token.token_type is TokenType.SEMICOLON and i:
            after = next((t for t in tokens[i:] if t.token_type is not TokenType.SEMICOLON), token)
            raise RequestError("sql_several_statements", position=places.at(after.start))
    return tokens


def _statement(tokens: Sequence[Token], places: Places) -> None:
    first = next((t for t in tokens if t.token_type is not TokenType.L_PAREN), tokens[0])
    if first.token_type is TokenType.VALUES:
        raise RequestError("sql_values", position=places.at(first.start))
    if first.token_type not in {TokenType.SELECT, TokenType.WITH}:
        kind = first.text.split()[0].upper() if first.text.split() else first.text
        raise RequestError("sql_statement", kind=kind, position=places.at(first.start))


def _depth(tokens: Sequence[Token], places: Places) -> None:
    steps = {
        TokenType.L_PAREN: 1, TokenType.L_BRACKET: 1, TokenType.CASE: 1,
        TokenType.R_PAREN: -1, TokenType.R_BRACKET: -1, TokenType.END: -1,
    }  # fmt: skip
    depth = 0
    for token in tokens:
        depth += steps.get(token.token_type, 0)
        if depth > MAX_NESTING:
            raise RequestError("query_too_deep", limit=MAX_NESTING, position=places.at(token.start))


def _clauses(tokens: Sequence[Token], places: Places) -> None:
    """Clauses come once and in their order, commas and AS between things: sqlglot takes them anyhow."""
    reached = [0]
    for i, token in enumerate(tokens):
        after, kind = (tokens[i + 1].token_type if i + 1 < len(tokens) else None), token.token_type
        last = tokens[i - 1].token_type if i else None
        apart = kind in {TokenType.COMMA, TokenType.ALIAS}
        if apart and (after in ENDS or after in CLAUSES or after is None or last in BEGINS or last in CLAUSES):
            raise RequestError("sql_syntax", position=places.at(token.start))
        if kind is TokenType.L_PAREN:
            reached.append(0)
        elif kind is TokenType.R_PAREN and len(reached) > 1:
            reached.pop()
        elif kind in {TokenType.SELECT, TokenType.UNION}:
            reached[-1] = 0
        elif kind in CLAUSES and last not in {TokenType.DOT, TokenType.DISTINCT}:
            if CLAUSES[kind] <= reached[-1]:
                raise RequestError("sql_clause_order", clause=token.text.upper(), position=places.at(token.start))
            reached[-1] = CLAUSES[kind]


def _sign(before: Token | None, token: Token, after: Token | None) -> Refusal | None:
    """Signs and kinds of constants that PostgreSQL has and this language has not, or that only other dialects have."""
    kind, text = token.token_type, token.text
    if kind in TEXT_FORMS or kind in PARAMETERS:
        return "sql_text_form" if kind in TEXT_FORMS else "sql_parameter", {}
    if kind in NAMES:
        return _constant(before, token, after)
    if kind is TokenType.L_BRACKET and not (before and before.text.upper() == "ARRAY"):
        return "sql_operator", {"operator": "[ ]"}
    if text not in SIGNS and not (text[:1].isalpha() or text[:1] == "_"):
        return "sql_operator", {"operator": text}
    return None


def _constant(before: Token | None, token: Token, after: Token | None) -> Refusal | None:
    """Two texts in a row, letters glued to a number, an empty name: some systems read them, each its own way."""
    kind = token.token_type
    if kind is TokenType.STRING and before and before.token_type is TokenType.STRING:
        return "sql_text_form", {}
    glued = after is not None and after.start == token.end + 1 and after.token_type not in NAMES
    if kind is TokenType.NUMBER and glued and after is not None and (after.text[:1].isalnum() or after.text[:1] == "_"):
        return "sql_number", {}
    return ("sql_name", {"name": ""}) if kind is TokenType.IDENTIFIER and not token.text else None


def _word(before: Token | None, token: Token, after: Token | None) -> Refusal | None:
    """Words that can only begin a construct which is not answered."""
    if token.token_type in NAMES or (before and before.token_type is TokenType.DOT):
        return None
    word, last = token.text.upper(), before.text.upper() if before else ""
    following = after.text.upper() if after else ""
    if (word, following) in WRITES:
        return "sql_statement", {"kind": word}
    if word == "UNION" and following != "ALL":
        return "sql_union_distinct", {}
    if (last, word) in SECOND or (word, following) in FIRST:
        return SECOND.get((last, word)) or FIRST[word, following]
    if word in BEFORE_PAREN and following == "(" and last not in {"UNION", "AS", "WITH", ","}:
        return BEFORE_PAREN[word]
    return ALWAYS.get(word)
