"""HTTP to a gateway: one connection pool with the key, problems as exceptions, and retries where they are safe."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final, Self, TypeAlias

import httpx2

from sandbox import __version__
from sandbox.errors import Position
from sandbox.messages import both

Query: TypeAlias = Mapping[str, str | int]

ARROW: Final = "application/vnd.apache.arrow.stream"
_PAUSES: Final = (0.2, 0.6, 1.8)
"""Between the tries of a call that may be sent again; reading alone is tried once more."""
_TRANSIENT: Final = (
    httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError,
)  # fmt: skip


_FINAL: Final = frozenset({"query_no_answer", "home_read_only"})
"""Failures that no second try mends."""
_LONGEST_WAIT: Final = 5.0


class ProblemError(Exception):
    """What the gateway refused, or that it could not be reached (`status` 0), as its problem says."""

    def __init__(
        self,
        code: str,
        *,
        status: int,
        params: Mapping[str, Any] | None = None,
        text: Mapping[str, str] | None = None,
        position: Position | None = None,
        instance: str | None = None,
    ) -> None:
        self.code = code
        self.status = status
        self.params = dict(params or {})
        self.text = dict(text or both(code, self.params))
        self.position = position
        self.instance = instance
        super().__init__(self.text["en"])


class Http:
    """A gateway's address with a key. Use as a context manager, or call `close`."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Address and key are taken from SANDBOX_URL and SANDBOX_KEY when not given.

        Raises:
            ProblemError: `url_missing`, `key_not_set`, `url_invalid`, or `url_insecure`: the key would travel in clear.
        """
        url = (url or os.environ.get("SANDBOX_URL") or "").strip()
        key = (key or os.environ.get("SANDBOX_KEY") or "").strip()
        if not url:
            raise ProblemError("url_missing", status=0)
        if not key:
            raise ProblemError("key_not_set", status=0)
        parsed = _checked(url)
        if not key.isascii() or not key.isprintable():
            raise ProblemError("key_refused", status=401)
        self._sleep = sleep
        here = {f"all://{parsed.netloc.decode('ascii')}": None}
        self._client = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}", "User-Agent": f"data-sandbox/{__version__}"},
            # An answer is held until its rung; how long that is, only the gateway knows.
            timeout=httpx2.Timeout(30.0, read=None),
            transport=transport,
            # A proxy of the environment has no business between this machine and itself.
            mounts=here if transport is None and _local(parsed.host) else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, path: str, **query: str | int | None) -> Any:
        """The JSON at a path.

        Raises:
            ProblemError: the gateway's problem, or `gateway_unreachable`.
        """
        return self._json(self._send("GET", path, query=_given(query)))

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Any:
        """What a POST gives, as JSON. Sent again after a broken connection only under an idempotency key.

        Raises:
            ProblemError: the gateway's problem, or `gateway_unreachable`.
        """
        return self._json(self._send("POST", path, body=body or {}, idempotency_key=idempotency_key))

    def post_arrow(self, path: str, body: Mapping[str, Any], *, idempotency_key: str) -> bytes:
        """What a POST gives, as an Arrow IPC stream."""
        return self._send("POST", path, body=body, idempotency_key=idempotency_key, accept=ARROW).content

    def get_arrow(self, path: str) -> bytes:
        """What lies at a path, as an Arrow IPC stream."""
        return self._send("GET", path, accept=ARROW).content

    @contextmanager
    def download(self, path: str) -> Iterator[tuple[int | None, Iterator[bytes]]]:
        """The bytes at a path as (their number if told, chunks).

        Raises:
            ProblemError: the gateway's problem, or `gateway_unreachable`.
        """
        try:
            # Neither asked for nor unpacked: compressed, few bytes stand for many, and all of them go to a disk.
            with self._client.stream("GET", path, headers={"Accept-Encoding": "identity"}) as response:
                if response.status_code >= 400:
                    response.read()
                    raise _problem(response)
                length = response.headers.get("content-length")
                yield (int(length) if length else None), response.iter_raw()
        except httpx2.TransportError as error:
            raise self._unreachable(error) from None

    def pages(self, path: str, **query: str | int | None) -> Iterator[Any]:
        """Every item of a paged list."""
        while True:
            page = self.get(path, **query)
            yield from page["items"]
            if page["next"] is None:
                return
            query = {**query, "after": page["next"]}

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        accept: str = "application/json",
    ) -> httpx2.Response:
        headers = {"Accept": accept}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        request = self._client.build_request(method, path, params=query, json=body, headers=headers)
        pauses = _PAUSES if idempotency_key is not None else _PAUSES[:1] if method == "GET" else ()
        response = self._answered(request, pauses)
        if response.status_code >= 400:
            raise _problem(response)
        return response

    def _answered(self, request: httpx2.Request, pauses: Sequence[float]) -> httpx2.Response:
        for pause in (*pauses, None):
            try:
                response = self._client.send(request)
            except httpx2.TransportError as error:
                if pause is None or not isinstance(error, _TRANSIENT) or _untrusted(error):
                    raise self._unreachable(error) from None
                self._sleep(pause)
                continue
            if pause is None or not (seconds := _asked_to_wait(response)):
                return response
            self._sleep(max(pause, seconds))
        raise AssertionError  # the last pause is None

    def _unreachable(self, error: BaseException) -> ProblemError:
        params = {"url": str(self._client.base_url)}
        if _untrusted(error):
            return ProblemError("gateway_untrusted", status=0, params=params)
        return ProblemError("gateway_unreachable", status=0, params=params)

    def _json(self, response: httpx2.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise ProblemError("gateway_strange", status=0, params={"status": response.status_code}) from None


def _asked_to_wait(response: httpx2.Response) -> float:
    """Seconds after which a gateway that cannot now wants to be asked again; 0 when another try changes nothing."""
    wanted = response.headers.get("retry-after", "")
    if response.status_code != 503 or not wanted.isdigit() or _problem(response).code in _FINAL:
        return 0.0
    return min(float(wanted), _LONGEST_WAIT)


def _untrusted(error: BaseException | None) -> bool:
    """Whether a failed connection failed for the gateway's certificate."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _given(query: Mapping[str, str | int | None]) -> Query:
    return {name: value for name, value in query.items() if value is not None}


def _checked(url: str) -> httpx2.URL:
    """The address, unless it would send the key in clear over a network."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise ProblemError("url_invalid", status=0, params={"url": url}) from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ProblemError("url_invalid", status=0, params={"url": url})
    if parsed.scheme == "http" and not _local(parsed.host):
        raise ProblemError("url_insecure", status=0, params={"url": url})
    return parsed


def _local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _problem(response: httpx2.Response) -> ProblemError:
    try:
        body = json.loads(response.content)
        place = body.get("position")
        return ProblemError(
            str(body["code"]),
            status=response.status_code,
            params=body.get("params") or {},
            text={"en": str(body["text"]["en"]), "zh": str(body["text"]["zh"])},
            position=Position(line=place["line"], column=place["column"], file=place.get("file")) if place else None,
            instance=body.get("instance"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return ProblemError("gateway_strange", status=response.status_code, params={"status": response.status_code})
