"""The Python client: questions in SQL, answers as Arrow tables whose metadata holds price, bounds and log entry."""

from __future__ import annotations

import io
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx2

from sandbox.client.http import Http, ProblemError

if TYPE_CHECKING:
    import pyarrow as pa


class Client:
    """A gateway as one principal sees it.

    >>> with Client("http://127.0.0.1:8321", "sbx_…") as client:              # doctest: +SKIP
    ...     table = client.query("SELECT count(*) FROM health.nhefs", epsilon="0.5")
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, transport: httpx2.BaseTransport | None = None
    ) -> None:
        """Address and key default to SANDBOX_URL and SANDBOX_KEY.

        Raises:
            ProblemError: `url_missing`, `key_not_set`, `url_invalid` or `url_insecure`.
        """
        self.http = Http(url, key, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    def query(
        self,
        sql: str,
        *,
        epsilon: str | float | Decimal | None = None,
        preset: Literal["strict", "standard", "research"] | None = None,
        within: str | float | None = None,
        grant: str | None = None,
        purpose: str | None = None,
        rows: int | None = None,
        bounding: Literal["ingest", "rows", "groups", "clip"] | None = None,
        groups: int | None = None,
        per_group: int | None = None,
        version: int | None = None,
        idempotency_key: str | None = None,
    ) -> pa.Table:
        """Ask, pay, and get the noisy table; per number the columns `<label>`, `<label>_low` and `<label>_high`.

        One of `epsilon`, `preset` and `within` (an absolute error at 95 %); with `within="5%"`, a part of each number,
        one of the others as the most that it may cost. `grant` may be left out when exactly one fits; `rows`,
        `bounding`, `groups` and `per_group` say how one unit's influence is bounded, instead of the planner's choice;
        `version` is a version's number, instead of the newest. An idempotency key is made and kept over this call's
        own retries, so nothing is paid twice; give your own to be safe over a crash of this program.

        Raises:
            ProblemError: the gateway's problem; `code`, `status` and `text` say which.

        Privacy: charges the grant, the datasets and the population for what the price in the metadata says.
        """
        body = _ask(
            sql, epsilon=epsilon, preset=preset, within=within, grant=grant, purpose=purpose, rows=rows,
            bounding=bounding, groups=groups, per_group=per_group, version=version,
        )  # fmt: skip
        stream = self.http.post_arrow("/v1/queries", body, idempotency_key=idempotency_key or new_idempotency_key())
        return _table(stream)

    def explain(
        self,
        sql: str,
        *,
        epsilon: str | float | Decimal | None = None,
        preset: Literal["strict", "standard", "research"] | None = None,
        within: str | float | None = None,
        grant: str | None = None,
        purpose: str | None = None,
        rows: int | None = None,
        bounding: Literal["ingest", "rows", "groups", "clip"] | None = None,
        groups: int | None = None,
        per_group: int | None = None,
        version: int | None = None,
    ) -> dict[str, Any]:
        """Plan, bounds, price, expected error and rung of a question; free, and no row is looked at.

        Raises:
            ProblemError: the gateway's problem.
        """
        body = _ask(
            sql, epsilon=epsilon, preset=preset, within=within, grant=grant, purpose=purpose, rows=rows,
            bounding=bounding, groups=groups, per_group=per_group, version=version,
        )  # fmt: skip
        explained: dict[str, Any] = self.http.post("/v1/queries", {**body, "explain": True})
        return explained

    def answer(self, query_id: str) -> pa.Table:
        """An answer that was paid for, again and free.

        Raises:
            ProblemError: the gateway's problem.
        """
        return _table(self.http.get_arrow(f"/v1/answers/{query_id}"))


def new_idempotency_key() -> str:
    """A fresh key under which a question is paid for once."""
    return uuid.uuid4().hex


def _ask(sql: str, **options: Any) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    # As text, a NaN reaches the gateway, which says what is wrong with it in both languages.
    return {"sql": sql, **given, **{name: str(given[name]) for name in ("epsilon", "within") if name in given}}


def _table(stream: bytes) -> pa.Table:
    import pyarrow as pa  # a fifth of a second, which a verb on the command line need not wait for
    import pyarrow.ipc

    try:
        return pyarrow.ipc.open_stream(io.BytesIO(stream)).read_all()
    except pa.ArrowInvalid:
        raise ProblemError("gateway_strange", status=0, params={"status": 200}) from None
