"""What all readers of the tree share: places, refusals, names, and the account that shows what sqlglot dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from sandbox.errors import Param, Position, RequestError
from sandbox.query.language.grammar import START
from sandbox.query.language.words import SIGNS, Places, fold

SILENT: Final = frozenset({"(", ")", "[", "]", ",", ".", "as", "inner", "outer", "asc", "nulls", "first", "last"})
"""Words that change nothing in the tree, or whose effect the tree holds without them."""
SAME: Final[Mapping[str, tuple[str, ...]]] = {
    "!=": ("<>",), "isnull": ("is", "null"), "notnull": ("is", "not", "null"),
}  # fmt: skip
RESERVED: Final = frozenset({
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "both", "case", "cast", "check",
    "collate", "column", "constraint", "create", "current_catalog", "current_date", "current_role", "current_time",
    "current_timestamp", "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except",
    "false", "fetch", "for", "foreign", "from", "grant", "group", "having", "in", "initially", "intersect", "into",
    "lateral", "leading", "limit", "localtime", "localtimestamp", "not", "null", "offset", "on", "only", "or",
    "order", "placing", "primary", "references", "returning", "select", "session_user", "some", "symmetric", "table",
    "then", "to", "trailing", "true", "union", "unique", "user", "using", "variadic", "when", "where", "window",
    "with",
})  # fmt: skip
"""PostgreSQL's reserved words: a name of that spelling is quoted there, and means something else when it is not."""


class Reading:
    """Counts each word of the text that some part of the tree stands for.

    sqlglot is lenient: it skips, reorders and completes what PostgreSQL refuses (TOP, a missing THEN, a second WITH).
    A word that nothing in our tree accounts for, or the other way about, ends the query.
    """

    def __init__(self, tokens: Sequence[Token], places: Places) -> None:
        self._tokens = tokens
        self._places = places
        self._seen: Counter[str] = Counter()

    def note(self, *words: str) -> None:
        """These words of the text are accounted for."""
        self._seen.update(words)

    def at(self, node: exp.Expr) -> Position:
        """The first place that the node, or else something inside or around it, has in the text."""
        here: exp.Expr | None = node
        while here is not None:
            starts = [n.meta[START] for n in here.walk() if START in n.meta]
            if starts:
                return self._places.at(min(starts))
            here = here.parent
        return self._places.at(self._tokens[0].start)

    def refuse(self, node: exp.Expr, code: str, **params: Param) -> RequestError:
        """The error, at the node's place."""
        return RequestError(code, position=self.at(node), **params)

    def identifier(self, node: exp.Expr) -> str:
        """A name as PostgreSQL folds it."""
        name = str(node.this)
        if node.args.get("quoted"):
            self.note(f'"{name}')
            return name
        folded = fold(name)
        if folded in RESERVED:
            raise self.refuse(node, "sql_name", name=folded)
        self.note(folded)
        return folded

    def defined(self, node: exp.Expr) -> str:
        """A name of a table, or an alias: without a dot, which would look like a schema."""
        name = self.identifier(node)
        if "." in name:
            raise self.refuse(node, "sql_name", name=name)
        return name

    def settle(self) -> None:
        """Compare the account with the text.

        Raises:
            RequestError: `sql_word`, at the first word that nothing stands for.
        """
        left = Counter(self._seen)
        for token, word in self._words():
            left[word] -= 1
            if left[word] < 0:
                raise RequestError("sql_word", word=token.text, position=self._places.at(token.start))
        missing = next((w for w, n in left.items() if n and w not in SILENT), None)
        if missing is not None:
            last = self._tokens[-1]
            raise RequestError("sql_word_missing", word=missing.upper(), position=self._places.at(last.start))

    def _words(self) -> Iterator[tuple[Token, str]]:
        point = False
        for i, token in enumerate(self._tokens):
            kind, text = token.token_type, token.text
            if kind is TokenType.STRING:
                yield token, f"'{text}"
            elif kind is TokenType.IDENTIFIER:
                yield token, f'"{text}'
            elif kind is TokenType.NUMBER:
                yield token, f"0.{text}" if point else text
            else:
                plain = fold(" ".join(text.split()))
                # A point that begins a number is part of it; between names it is a sign.
                point = plain == "." and (i == 0 or self._tokens[i - 1].text in SIGNS - {")"})
                for word in SAME.get(plain, (plain,)):
                    if word not in SILENT:
                        yield token, word
                continue
            point = False
