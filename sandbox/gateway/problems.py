"""Problems: every error as RFC 9457 JSON with a code, typed params, and its text in both languages."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import HTTPException
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse

from sandbox.errors import NotFound, RequestError, SandboxError
from sandbox.gateway.language import preferred
from sandbox.messages import both, render

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = "5"
"""Seconds after which another try makes sense."""
_SOON: Final[Mapping[str, str]] = {"receipt_not_ready": "1"}
_log = logging.getLogger("sandbox.gateway")

TITLES: Final[Mapping[int, str]] = {
    400: "title_request", 401: "title_unauthenticated", 403: "title_denied", 404: "title_not_found",
    405: "title_request", 408: "title_too_slow", 409: "title_conflict", 413: "title_too_large", 429: "title_too_many",
    503: "title_failed",
}  # fmt: skip


class WrongMethod(SandboxError):
    """The address takes other methods."""

    status = 405


class InternalFailure(SandboxError):
    """Something that nobody foresaw; its story is in the log under the request's id."""

    status = 503


def problem(error: SandboxError, *, accept_language: str, instance: str) -> JSONResponse:
    """The response for an error.

    Source: RFC 9457, Problem Details for HTTP APIs.
    """
    language = preferred(accept_language)
    text = both(error.code, error.params)
    body: dict[str, Any] = {
        "type": f"urn:sandbox:problem:{error.code}",
        "title": render(TITLES.get(error.status, "title_request"), {}, language),
        "status": error.status,
        "code": error.code,
        "params": error.params,
        "detail": text[language],
        "text": text,
        "instance": instance,
    }
    if (place := error.position) is not None:
        body["position"] = {"line": place.line, "column": place.column, "file": place.file}
    headers = {"Content-Language": language, "Cache-Control": "no-store"}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in {429, 503} or error.code in _SOON:
        headers["Retry-After"] = _SOON.get(error.code, RETRY_AFTER)
    return JSONResponse(body, status_code=error.status, media_type=MEDIA_TYPE, headers=headers)


def from_validation(errors: Sequence[Mapping[str, Any]]) -> RequestError:
    """A `request_invalid` with the first wrong field, the rule it breaks and that rule's limit; never the value."""
    first = errors[0]
    kind = str(first.get("type", "other"))
    field = _path(first.get("loc", ()))
    if kind in {"json_invalid", "model_attributes_type", "dict_type"} and field in {"", "-"}:
        return RequestError("request_not_json")
    rule = next((rule for rule, kinds in _RULES.items() if kind in kinds or kind.endswith(kinds)), "other")
    return RequestError("request_invalid", field=field, rule=rule, limit=_limit(first.get("ctx") or {}))


def _limit(context: Mapping[str, Any]) -> str | None:
    for name, sign in _LIMITS.items():
        if name in context:
            # Pydantic tells a decimal limit as Python writes it.
            return f"{sign} {_DECIMAL.sub(_INSIDE, str(context[name]))}".strip()
    return None


_DECIMAL: Final = re.compile(r"Decimal\('(.*)'\)")
_INSIDE: Final = r"\1"

_RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "missing": ("missing",),
    "unknown": ("extra_forbidden",),
    "finite": ("finite_number",),
    "range": ("greater_than", "greater_than_equal", "less_than", "less_than_equal"),
    "length": ("too_long", "too_short"),
    "choice": ("literal_error", "enum"),
    "form": ("pattern_mismatch", "decimal_max_places", "decimal_whole_digits", "decimal_max_digits"),
    "one_of": ("one_of",),
    "type": ("_type", "_parsing", "_parsing_size", "int_from_float", "string_unicode"),
}

_LIMITS: Final[Mapping[str, str]] = {
    "ge": "≥", "gt": ">", "le": "≤", "lt": "<", "max_length": "≤", "min_length": "≥", "expected": "", "fields": "",
    "decimal_places": "≤",
}  # fmt: skip


def _path(loc: Sequence[str | int]) -> str:
    # The first part says body, query, path or header; union branches add names of types, which mean nothing outside.
    parts = list(loc[1:]) if loc and loc[0] in {"body", "query", "path", "header"} else list(loc)
    if parts and loc[0] == "body" and isinstance(parts[0], int):
        return "-"
    return ".".join(str(part) for part in parts if not str(part).startswith("|"))[:120] or "-"


class Carried(HTTPException):
    """An error of ours on its way through FastAPI's reading of a body, which lets only its own exceptions pass."""

    def __init__(self, error: SandboxError) -> None:
        super().__init__(error.status)
        self.error = error


_STATUS: Final[Mapping[int, tuple[type[SandboxError], str]]] = {
    404: (NotFound, "route_unknown"),
    405: (WrongMethod, "method_unknown"),
}


def from_http(error: StarletteHTTPException) -> SandboxError:
    """The framework's own refusals (no such route, wrong method, an unreadable body) as errors of ours."""
    if isinstance(error, Carried):
        return error.error
    kind, code = _STATUS.get(error.status_code, (RequestError, "request_not_json"))
    return kind(code)


def internal(error: BaseException, instance: str) -> SandboxError:
    """An `internal_failure`; the log keeps the kind of the exception and its places, never its text.

    Privacy: texts of drivers quote cells, so none is written anywhere (P7.2).
    """
    frames = [(f.f_code, line) for f, line in traceback.walk_tb(error.__traceback__)]
    places = [f"{c.co_filename.rpartition('/')[2]}:{line} {c.co_name}" for c, line in frames]
    _log.error("internal failure %s: %s at %s", instance, type(error).__qualname__, " < ".join(places[:-9:-1]))
    return InternalFailure("internal_failure", instance=instance)


