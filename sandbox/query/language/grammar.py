"""The narrowed parser: every function is but a name with arguments, types are a closed list, places are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import SqlglotError
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.tokenizer_core import Token, TokenType

from sandbox.errors import Position, RequestError
from sandbox.query.language.accepted import CASTS, INTERVAL_UNITS
from sandbox.query.language.words import MAX_NESTING, Places

START: Final = "start"
"""Where sqlglot itself notes a place, as an offset in the text."""
COLONS: Final = "colons"
"""Notes that a cast was written `x::type`, which binds tighter than anything."""
SPELLED: Final = "spelled"
"""Notes how a type was written."""
MOST_SHOWN: Final = 40
"""Characters of the text at fault that an error repeats."""
TYPED: Final = "typed"
"""Notes that a type stood before its text, as in DATE '2013-01-31'."""


def tree_of(sql: str, tokens: list[Token], places: Places) -> exp.Expr:
    """Parse one statement.

    Raises:
        RequestError: `sql_syntax`, `sql_syntax_at`, `sql_cast_type`, `sql_interval`, `query_too_deep`.
    """
    try:
        trees = _Narrow(places).parse(tokens, sql)
    except RecursionError:
        raise RequestError("query_too_deep", limit=MAX_NESTING) from None
    except SqlglotError as error:
        first = (getattr(error, "errors", None) or [{}])[0]
        line, column = first.get("line") or 1, first.get("col") or 1
        found = str(first.get("highlight") or "")[:MOST_SHOWN]
        where = Position(line=line, column=column)
        if found.strip():
            raise RequestError("sql_syntax_at", found=found.strip(), position=where) from None
        raise RequestError("sql_syntax", position=where) from None
    if len(trees) != 1 or trees[0] is None:
        raise RequestError("sql_syntax", position=places.at(tokens[0].start))
    return trees[0]


def _colons(parser: PostgresParser, this: exp.Expr | None, to: exp.Expr) -> exp.Expr:
    cast = parser.expression(exp.Cast(this=this, to=to))
    cast.meta[COLONS] = True
    return cast


class _Narrow(PostgresParser):
    """A parser without sqlglot's hundreds of known functions, whose rewriting would hide what was written."""

    OPTIONAL_ALIAS_TOKEN_CTE = False
    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
        name: PostgresParser.FUNCTION_PARSERS[name] for name in ("CAST", "EXTRACT")
    }
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
        "CASE": lambda self: self._parse_case(),
    }
    NO_PAREN_FUNCTIONS: ClassVar[dict[TokenType, Any]] = {}
    COLUMN_OPERATORS: ClassVar[dict[TokenType, Any]] = {TokenType.DOT: None, TokenType.DCOLON: _colons}
    RANGE_PARSERS: ClassVar[dict[TokenType, Callable[..., Any]]] = {
        kind: PostgresParser.RANGE_PARSERS[kind]
        for kind in (TokenType.BETWEEN, TokenType.IN, TokenType.IS, TokenType.LIKE, TokenType.ILIKE)
    }

    PRIMARY_PARSERS: ClassVar[dict[TokenType, Callable[..., Any]]] = {
        **PostgresParser.PRIMARY_PARSERS,
        TokenType.NULL: lambda self, token: self.expression(exp.Null(), token),
        TokenType.TRUE: lambda self, token: self.expression(exp.Boolean(this=True), token),
        TokenType.FALSE: lambda self, token: self.expression(exp.Boolean(this=False), token),
    }

    def __init__(self, places: Places) -> None:
        super().__init__(dialect=Postgres())
        self._places = places

    def _marked(self, start: Token, node: Any) -> Any:
        if isinstance(node, exp.Expr):
            node.meta.setdefault(START, start.start)
        return node

    def _parse_unary(self) -> exp.Expr | None:
        signed = self._curr.token_type in {TokenType.NOT, TokenType.DASH}
        start = self._curr
        node = super()._parse_unary()
        return self._marked(start, node) if signed else node

    def _parse_case(self) -> exp.Expr | None:
        return self._marked(self._prev, super()._parse_case())  # type: ignore[no-any-return]  # what it was given

    def _parse_primary(self) -> exp.Expr | None:
        start = self._curr
        return self._marked(start, super()._parse_primary())  # type: ignore[no-any-return]  # what it was given

    def _parse_cast(self, *args: Any, **kwargs: Any) -> exp.Expr:
        start = self._tokens[self._index - 2]
        return self._marked(start, super()._parse_cast(*args, **kwargs))  # type: ignore[no-any-return]  # as above

    def _parse_extract(self) -> exp.Extract | exp.Anonymous:
        start = self._tokens[self._index - 2]
        return self._marked(start, super()._parse_extract())  # type: ignore[no-any-return]  # as above

    def _parse_limit(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        start, node = self._curr, super()._parse_limit(*args, **kwargs)
        return self._marked(start, node) if isinstance(node, exp.Limit) else node

    def _parse_order(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        start, node = self._curr, super()._parse_order(*args, **kwargs)
        return self._marked(start, node) if isinstance(node, exp.Order) else node

    def _parse_group(self, *args: Any, **kwargs: Any) -> exp.Group | None:
        start, node = self._curr, super()._parse_group(*args, **kwargs)
        return self._marked(start, node)  # type: ignore[no-any-return]  # as above

    def _parse_table(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        start, node = self._curr, super()._parse_table(*args, **kwargs)
        return self._marked(start, node)  # type: ignore[no-any-return]  # as above

    def _parse_join(self, *args: Any, **kwargs: Any) -> exp.Join | None:
        start = self._curr
        return self._marked(start, super()._parse_join(*args, **kwargs))  # type: ignore[no-any-return]  # as above

    def _parse_select_query(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        start, node = self._curr, super()._parse_select_query(*args, **kwargs)
        if start.token_type is TokenType.WITH and node is not None and node.args.get("with_"):
            self._marked(start, node.args["with_"])
        return self._marked(start, node)  # type: ignore[no-any-return]  # as above

    def _parse_interval(self, *_args: Any, **_kwargs: Any) -> exp.Interval | None:
        if self._curr.token_type is not TokenType.INTERVAL or self._next.token_type is not TokenType.STRING:
            return None
        start = self._curr
        self._advance(2)
        node = exp.Interval(this=exp.Literal.string(self._prev.text))
        if self._curr.text.upper() in INTERVAL_UNITS:
            node.set("unit", exp.Var(this=self._curr.text))
            self._advance()
        return self._marked(start, node)  # type: ignore[no-any-return]  # as above

    def _parse_types(self, check_func: bool = False, **_kwargs: Any) -> exp.Expr | None:  # type: ignore[override]  # narrower
        """A type's name: of the closed list where a cast needs one, DATE or TIMESTAMP before a text."""
        word = self._curr.text.lower()
        if check_func:
            if word not in {"date", "timestamp"} or self._next.token_type is not TokenType.STRING:
                return None
        elif self._prev.token_type not in {TokenType.DCOLON, TokenType.ALIAS} or not word[:1].isalpha():
            return None
        elif word not in CASTS or self._next.token_type in {TokenType.L_PAREN, TokenType.L_BRACKET}:
            known = sorted(CASTS)
            raise RequestError("sql_cast_type", type=word, known=known, position=self._places.at(self._curr.start))
        self._advance()
        node = exp.Var(this=CASTS[word].op)
        node.meta[SPELLED] = word
        node.meta[TYPED] = check_func
        return self._marked(self._prev, node)  # type: ignore[no-any-return]  # as above
