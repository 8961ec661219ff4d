"""The description: what each operation may answer, status by status, in the OpenAPI file that clients are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI

from sandbox.gateway.problems import MEDIA_TYPE
from sandbox.schemas import Problem

PROBLEM: Final[dict[str, Any]] = {"model": Problem}
"""For a route's own `responses`: a refusal that its shape does not tell of, as a 404 without a name in the path."""

_REFUSALS: Final[Mapping[int, str]] = {
    400: "The request is not understood, or refused for what it says.",
    401: "No key, or one that is not known.",
    403: "The caller is known and may not do this.",
    404: "It does not exist, or its existence may not be told.",
    408: "The request took too long to arrive.",
    409: "The state of the thing forbids it, or an idempotency key was used for something else.",
    413: "The request is over a limit on size.",
    429: "The caller asks too often, or has too much under way.",
    503: "Something that the gateway needs fails, or too much is under way; nothing is half done.",
}
_HEADERS: Final[Mapping[int, str]] = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
_ALWAYS: Final = frozenset({403, 503})
"""What the door may say to anybody: that it answers its proxies alone, and that something fails."""


class Described(FastAPI):
    """An application that describes its refusals one by one, so that an answer nobody described is a fault."""

    def openapi(self) -> dict[str, Any]:
        """The description; made once."""
        if self.openapi_schema is None:
            found = super().openapi()
            found["components"]["responses"] = {f"Refused{s}": _refusal(s) for s in _REFUSALS}
            for path, methods in found["paths"].items():
                for method, operation in methods.items():
                    _describe(path, method, operation)
        return super().openapi()


def _describe(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("default", None)
    own = {int(s) for s, response in responses.items() if _is_problem(response)}
    for status in sorted(own | refusals(path, method, operation)):
        named = {"$ref": f"#/components/responses/Refused{status}"}
        response = responses.get(str(status))
        if response is None or status in own:
            responses[str(status)] = named
        else:
            response["content"][MEDIA_TYPE] = _CONTENT


def refusals(path: str, method: str, operation: Mapping[str, Any]) -> frozenset[int]:
    """The statuses of refusals that an operation's shape brings with it."""
    found = set(_ALWAYS)
    if not path.startswith("/health/"):
        found |= {413, 429}
    if "security" in operation:
        found.add(401)
    parameters = operation.get("parameters", [])
    if parameters or "requestBody" in operation:
        found.add(400)
    if method == "post" or any(p["in"] == "path" for p in parameters):
        found.add(404)
    if method == "post":
        found.add(409)
    if "requestBody" in operation:
        found.add(408)
    return frozenset(found)


_CONTENT: Final = {"schema": {"$ref": "#/components/schemas/Problem"}}


def _is_problem(response: Mapping[str, Any]) -> bool:
    return bool(response.get("content", {}).get("application/json") == _CONTENT)


def _refusal(status: int) -> dict[str, Any]:
    refused: dict[str, Any] = {"description": _REFUSALS[status], "content": {MEDIA_TYPE: _CONTENT}}
    if status in _HEADERS:
        refused["headers"] = {_HEADERS[status]: {"required": True, "schema": {"type": "string"}}}
    return refused
