"""Messages: every error code's text in English and Chinese, gathered from the modules of this package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Final, Literal, TypeAlias

Language: TypeAlias = Literal["en", "zh"]

_LONGEST: Final = 200
"""A caller's own word is repeated to them up to this length."""


@cache
def texts() -> Mapping[str, tuple[str, str]]:
    """Every code with its (English, Chinese) template; `code.rule` is the text of a code for one value of `rule`."""
    merged: dict[str, tuple[str, str]] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        merged.update(importlib.import_module(f"{__name__}.{module.name}").TEXTS)
    return merged


def render(code: str, params: Mapping[str, object], language: Language) -> str:
    """The sentence for a code, with its params in place; a code without a text is shown as it is."""
    variant = f"{code}.{params['rule']}" if "rule" in params else code
    both = texts().get(variant) or texts().get(code)
    if both is None:
        return code
    template = both[0] if language == "en" else both[1]
    return template.format_map(_Shown({name: _shown(value, language) for name, value in params.items()}))


def both(code: str, params: Mapping[str, object]) -> dict[str, str]:
    """The sentence in both languages, as problems carry it."""
    return {"en": render(code, params, "en"), "zh": render(code, params, "zh")}


class _Shown(dict[str, str]):
    """Params as text; a param that the raiser did not give is a dash, never an exception."""

    def __missing__(self, key: str) -> str:
        return "-"


def _shown(value: object, language: Language) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return {"en": ("no", "yes"), "zh": ("否", "是")}[language][value]
    if isinstance(value, list | tuple):
        text = (", " if language == "en" else "、").join(_shown(v, language) for v in value) or "-"
    else:
        text = str(value)
    # Control characters would let a caller's word forge lines in a terminal or a log.
    text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
