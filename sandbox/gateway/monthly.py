"""The month's page, made from the log's events of that month and signed with the log's key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from sandbox.audit.checkpoint import sign_note
from sandbox.audit.event import Event, unchecked
from sandbox.audit.report import report
from sandbox.errors import NotFound, RequestError
from sandbox.store import cosignatures, log
from sandbox.wiring import House

_PAGE: Final = 2000


def page_of(house: House, month: str, told: Callable[[], None]) -> str:
    """The signed page of a month under the newest checkpoint; `told` is called once it is sure that there is one.

    Raises:
        RequestError: `month_malformed`, `month_to_come`, `month_before_log`.
        NotFound: `checkpoint_missing`.
    """
    start, end = _span(month)
    now = house.clock.text()[:7]
    if month > now:
        raise RequestError("month_to_come", month=month, newest=now)
    with house.sessions.reading() as session:
        newest, first = cosignatures.note(session), log.first_at(session)
    if newest is None or first is None:
        raise NotFound("checkpoint_missing")
    if month < first[:7]:
        raise RequestError("month_before_log", month=month, oldest=first[:7])
    told()
    return sign_note(report(_events(house, start, end), month, newest[1]), house.log_name, house.log_key)


def _span(month: str) -> tuple[str, str]:
    """The month's first moment and the next month's, as events tell time."""
    try:
        begin = datetime.strptime(month, "%Y-%m")  # noqa: DTZ007  # months are by UTC, as all times of events
    except ValueError:
        raise RequestError("month_malformed", month=month) from None
    if month != f"{begin:%Y-%m}":
        raise RequestError("month_malformed", month=month)
    year, number = divmod(begin.year * 12 + begin.month, 12)
    return month, f"{year:04d}-{number + 1:02d}"


def _events(house: House, start: str, end: str) -> Iterator[tuple[int, Event]]:
    after = -1
    while True:
        with house.sessions.reading() as session:
            found = log.bodies_between(session, start, end, after, _PAGE)
        yield from ((index, unchecked(body)) for index, body in found)
        if len(found) < _PAGE:
            return
        after = found[-1][0]
