"""YAML with places: every value knows its file, line and column, and nothing of YAML's cleverness is let in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import yaml

from sandbox.errors import Position, RequestError, TooLarge
from sandbox.names import nearest

MOST_BYTES: Final = 2_000_000
MOST_DEPTH: Final = 12
MOST_ITEMS: Final = 10_000
"""Values of one list, so also of a domain."""

_INTEGER: Final = re.compile(r"[+-]?\d[\d_]{0,30}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?\d[\d_]{0,30}(\.\d{1,30})?([eE][+-]?\d{1,2})?", re.ASCII)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Spot:
    """A value in a YAML text: its node, its file, and its name such as `columns.docvis.bounds`."""

    node: yaml.Node
    file: str
    name: str

    def at(self) -> Position:
        """Where it begins."""
        return _position(self.node.start_mark, self.file)

    def wrong(self, code: str, **params: str | int | list[str] | None) -> RequestError:
        """An error of this code at this place, with the name of the value in `where`."""
        return RequestError(code, position=self.at(), where=self.name or self.file, **params)

    def is_mapping(self) -> bool:
        """True for names with values."""
        return isinstance(self.node, yaml.MappingNode)

    def pairs(self) -> dict[str, Spot]:
        """The values of a mapping by name, in order.

        Raises:
            RequestError: `manifest_type`, or `manifest_key_twice`.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong("manifest_type", expected="mapping")
        found: dict[str, Spot] = {}
        for key, value in self.node.value:
            name = _scalar(key)
            if name is None:
                raise Spot(key, self.file, self.name).wrong("manifest_type", expected="name")
            if name in found:
                raise Spot(key, self.file, self.name).wrong("manifest_key_twice", key=name)
            found[name] = Spot(value, self.file, f"{self.name}.{name}" if self.name else name)
        return found

    def fields(self, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Spot]:
        """The values of a mapping whose names are known.

        Raises:
            RequestError: `manifest_key_unknown` with the nearest known name, or `manifest_key_missing`.
        """
        found = self.pairs()
        known = [*required, *optional]
        for key, _ in self.node.value:
            if key.value not in known:
                near = nearest(key.value, known)
                spot = Spot(key, self.file, self.name)
                raise spot.wrong("manifest_key_unknown", key=key.value, nearest=near, known=known)
        for name in required:
            if name not in found:
                raise self.wrong("manifest_key_missing", key=name)
        return found

    def items(self) -> list[Spot]:
        """The values of a list.

        Raises:
            RequestError: `manifest_type`.
        """
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong("manifest_type", expected="list")
        return [Spot(node, self.file, f"{self.name}[{i}]") for i, node in enumerate(self.node.value)]

    def text(self, most: int = 1000) -> str:
        """A text that is not empty.

        Raises:
            RequestError: `manifest_type`, or `manifest_text_long`.
        """
        value = _scalar(self.node)
        if not value:
            raise self.wrong("manifest_type", expected="text")
        if len(value) > most:
            raise self.wrong("manifest_text_long", limit=most)
        return value

    def integer(self, low: int, high: int) -> int:
        """A whole number within limits; `1_000_000` is read as people mean it.

        Raises:
            RequestError: `manifest_type`, or `manifest_number_range`.
        """
        value = _scalar(self.node) or ""
        if not _INTEGER.fullmatch(value):
            raise self.wrong("manifest_type", expected="integer")
        number = int(value.replace("_", ""))
        if not low <= number <= high:
            raise self.wrong("manifest_number_range", low=low, high=high)
        return number

    def decimal(self) -> Decimal:
        """A number, exactly as written.

        Raises:
            RequestError: `manifest_type`.
        """
        value = _scalar(self.node) or ""
        if not _DECIMAL.fullmatch(value):
            raise self.wrong("manifest_type", expected="number")
        return Decimal(value.replace("_", ""))

    def flag(self) -> bool:
        """True or false.

        Raises:
            RequestError: `manifest_type`.
        """
        value = (_scalar(self.node) or "").lower()
        if value not in {"true", "false"}:
            raise self.wrong("manifest_type", expected="true/false")
        return value == "true"

    def choice(self, options: Sequence[str]) -> str:
        """One of some words.

        Raises:
            RequestError: `manifest_choice` with the nearest of them.
        """
        value = _scalar(self.node) or ""
        if value not in options:
            raise self.wrong("manifest_choice", found=value[:80], nearest=nearest(value, options), known=list(options))
        return value


def read(text: str, file: str) -> Spot:
    """The root of a YAML text.

    Raises:
        TooLarge: `manifest_too_large`.
        RequestError: `manifest_syntax`, `manifest_empty`, `manifest_anchor`, `manifest_tag`, `manifest_too_deep`,
            `manifest_list_too_long`, each with its place.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise TooLarge("manifest_too_large", file=file, limit=MOST_BYTES)
    try:
        _check_events(text, file)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        raise RequestError("manifest_syntax", position=_position(mark, file) if mark else None, file=file) from None
    except (yaml.YAMLError, UnicodeError):
        raise RequestError("manifest_syntax", position=_first_unprintable(text, file), file=file) from None
    if node is None:
        raise RequestError("manifest_empty", position=Position(line=1, column=1, file=file), file=file)
    return Spot(node, file, "")


def place_of(text: str, file: str, path: Sequence[str]) -> Position:
    """Where the value at a path of keys stands, or the last value that the path leads to.

    Raises:
        RequestError, TooLarge: as `read`.
    """
    spot = read(text, file)
    for key in path:
        below = spot.pairs() if spot.is_mapping() else {}
        if key not in below:
            break
        spot = below[key]
    return spot.at()


def _check_events(text: str, file: str) -> None:
    """Refuse what a declaration does not need, before anything is built of it: the stream stops at the first."""
    sizes: list[int] = []
    for event in yaml.parse(text, Loader=_LOADER):
        at = _position(event.start_mark, file)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise RequestError("manifest_anchor", position=at, file=file)
        if getattr(event, "tag", None) is not None:
            raise RequestError("manifest_tag", position=at, file=file)
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and sizes:
            sizes[-1] += 1
            if sizes[-1] > 2 * MOST_ITEMS:
                raise RequestError("manifest_list_too_long", position=at, file=file, limit=MOST_ITEMS)
        if isinstance(event, yaml.CollectionStartEvent):
            sizes.append(MOST_ITEMS if isinstance(event, yaml.SequenceStartEvent) else 0)
            if len(sizes) > MOST_DEPTH:
                raise RequestError("manifest_too_deep", position=at, file=file, limit=MOST_DEPTH)
        if isinstance(event, yaml.CollectionEndEvent):
            sizes.pop()


def _scalar(node: yaml.Node) -> str | None:
    """A scalar's text as written (so `NO` stays `NO`), None for an empty one."""
    if not isinstance(node, yaml.ScalarNode) or (node.style is None and node.value in {"", "~", "null"}):
        return None
    return str(node.value)


def _position(mark: Any, file: str) -> Position:
    return Position(line=mark.line + 1, column=mark.column + 1, file=file)


def _first_unprintable(text: str, file: str) -> Position:
    """Where the first character stands that YAML does not allow."""
    bad = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    before = text[: bad.start()] if bad else ""
    return Position(line=before.count("\n") + 1, column=len(before) - before.rfind("\n"), file=file)
