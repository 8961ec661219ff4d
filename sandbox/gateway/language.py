"""Language: which of the two languages a caller's Accept-Language prefers; English when it says nothing."""

from __future__ import annotations

from sandbox.messages import Language


def preferred(header: str) -> Language:
    """`zh` when the header weighs any Chinese above English.

    Source: RFC 9110, section 12.5.4 (weights; the first of equals wins).
    """
    best: tuple[float, Language] = (0.0, "en")
    for part in header[:1000].split(","):
        tag, _, weight = part.strip().partition(";")
        language = {"zh": "zh", "en": "en", "*": "en"}.get(tag.strip().lower().split("-")[0])
        quality = _quality(weight)
        if language is not None and quality > best[0]:
            best = (quality, "zh" if language == "zh" else "en")
    return best[1]


def _quality(weight: str) -> float:
    _, _, value = weight.strip().partition("=")
    if not value:
        return 1.0
    try:
        number = float(value)
    except ValueError:
        return 0.0
    return number if 0.0 <= number <= 1.0 else 0.0
