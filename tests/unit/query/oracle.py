"""What each accepted function means, in Python: an oracle for expressions over a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Values = Mapping[str, Any]


def half(x: Fraction | int, digits: int = 0) -> Fraction:
    """Rounded half away from zero."""
    x = Fraction(x)
    return Fraction(int(abs(x) * Fraction(10) ** digits + Fraction(1, 2)) * (1 if x >= 0 else -1)) / Fraction(10) ** digits


def cut(a: int, b: int) -> int:
    q = abs(a) // abs(b)
    return q if (a >= 0) == (b > 0) else -q


def bucket(x: Fraction | int, low: int, high: int, n: int) -> int:
    return 0 if x < low else n + 1 if x >= high else int((Fraction(x) - low) * n / (high - low)) + 1


def monday(d: date) -> date:
    return d - timedelta(days=d.weekday())


def start(d: date, months: int) -> date:
    return d.replace(month=(d.month - 1) // months * months + 1, day=1)


def at_day(d: date) -> datetime:
    return datetime(d.year, d.month, d.day, tzinfo=UTC)


def at_clock(t: datetime, seconds: int) -> datetime:
    whole = (t - EPOCH) // timedelta(seconds=1)
    return EPOCH + timedelta(seconds=whole // seconds * seconds)


def on(*names: str) -> Callable[[Callable[..., Any]], Callable[[Values], Any]]:
    """A function of these columns that is NULL where one of them is."""

    def of(f: Callable[..., Any]) -> Callable[[Values], Any]:
        return lambda row: None if any(row[n] is None for n in names) else f(*(row[n] for n in names))

    return of


def logic(name: str, a: bool | None, b: bool | None) -> bool | None:
    decisive = name == "or"
    if decisive in {a, b}:
        return decisive
    return None if None in {a, b} else not decisive


ORACLE: Final[dict[str, Callable[[Values], Any]]] = {
    "big + 1": on("big")(lambda x: x + 1), "big - big * 3": on("big")(lambda x: -2 * x), "big * big": on("big")(lambda x: x * x),
    "-big": on("big")(lambda x: -x), "abs(-big)": on("big")(abs), "abs(big * 4)": on("big")(lambda x: abs(4 * x)),
    "sign(big)": on("big")(lambda x: (x > 0) - (x < 0)), "sign(fare)": on("fare")(lambda x: (x > 0) - (x < 0)),
    "fare + delay / 2": on("fare", "delay")(lambda x, y: x + cut(y, 2)), "fare * fare - 0.001": on("fare")(lambda x: x * x - Fraction(1, 1000)),
    "fare / 3": on("fare")(lambda x: x / 3), "fare / -0.7": on("fare")(lambda x: x / Fraction(-7, 10)),
    "big / 7": on("big")(lambda x: cut(x, 7)), "big / -1": on("big")(lambda x: -x), "delay / -7": on("delay")(lambda x: cut(x, -7)),
    "big % 7": on("big")(lambda x: int(math.fmod(x % 7 - 7 * (x < 0 and x % 7 != 0), 7))),
    "mod(delay, -7)": on("delay")(lambda x: x - cut(x, -7) * -7), "delay % 1": on("delay")(lambda _: 0),
    "floor(fare)": on("fare")(math.floor), "ceil(fare)": on("fare")(math.ceil), "ceiling(fare / 7)": on("fare")(lambda x: math.ceil(x / 7)),
    "floor(fare * -1.5)": on("fare")(lambda x: math.floor(x * Fraction(-3, 2))), "floor(big)": on("big")(lambda x: x),
    "round(fare)": on("fare")(half), "round(fare, 1)": on("fare")(lambda x: half(x, 1)), "round(fare, 5)": on("fare")(lambda x: x),
    "round(delay, -2)": on("delay")(lambda x: half(x, -2)), "round(big, -9)": on("big")(lambda x: half(x, -9)),
    "round(fare / 3, 2)": on("fare")(lambda x: half(x / 3, 2)), "cast(fare as integer)": on("fare")(half),
    "cast(fare / 7 as bigint)": on("fare")(lambda x: half(x / 7)), "cast(fare as numeric)": on("fare")(lambda x: x),
    "width_bucket(fare, 0, 10, 4)": on("fare")(lambda x: bucket(x, 0, 10, 4)),
    "width_bucket(delay, -7, 1300, 10)": on("delay")(lambda x: bucket(x, -7, 1300, 10)),
    "width_bucket(big, 0, 3, 7)": on("big")(lambda x: bucket(x, 0, 3, 7)),
    "greatest(delay, hour, fare)": lambda r: max(v for v in (r["delay"], r["hour"], r["fare"]) if v is not None),
    "least(fare, big)": lambda r: min((v for v in (r["fare"], r["big"]) if v is not None), default=None),
    "coalesce(delay, fare, 0.5)": lambda r: next(v for v in (r["delay"], r["fare"], Fraction(1, 2)) if v is not None),
    "nullif(delay, 0)": on("delay")(lambda x: x or None), "nullif(fare, 1.5)": on("fare")(lambda x: None if x == Fraction(3, 2) else x),
    "case when delay > 0 then fare when paid then 1 end":
        lambda r: r["fare"] if (r["delay"] or 0) > 0 else 1 if r["paid"] else None,
    "case note when '' then 0 when 'A' then 1 else -0.5 end": lambda r: {"": 0, "A": 1}.get(r["note"], Fraction(-1, 2)),
    "cast(paid as integer)": on("paid")(int), "cast(delay as boolean)": on("delay")(bool), "cast(big as text)": on("big")(str),
    "cast(paid as text)": on("paid")(lambda x: str(x).lower()),
    # texts
    "length(note)": on("note")(len), "note || '/' || line": on("note", "line")(lambda a, b: f"{a}/{b}"),
    "substring(note, 2, 3)": on("note")(lambda s: s[1:4]), "substring(note, 1, 2)": on("note")(lambda s: s[:2]),
    "substring(note, 1, 0)": on("note")(lambda _: ""), "substring(note, 999999, 5)": on("note")(lambda _: ""),
    "starts_with(note, 'e')": on("note")(lambda s: s.startswith("e")), "note like 'a%b_c'": on("note")(lambda s: s == "a%b_c"),
    "note like '%'": on("note")(lambda _: True), "note like '_'": on("note")(lambda s: len(s) == 1),
    "note like '%\u0301'": on("note")(lambda s: s.endswith("\u0301")), "note < 'a'": on("note")(lambda s: s.encode() < b"a"),
    "note = 'é'": on("note")(lambda s: s == "é"), "note in ('', 'A', 'ß')": on("note")(lambda s: s in {"", "A", "ß"}),
    # logic
    "paid and delay > 0": lambda r: logic("and", r["paid"], None if r["delay"] is None else r["delay"] > 0),
    "paid or delay > 0": lambda r: logic("or", r["paid"], None if r["delay"] is None else r["delay"] > 0),
    "not paid": on("paid")(lambda x: not x), "paid is true": lambda r: r["paid"] is True, "paid is not false": lambda r: r["paid"] is not False,
    "(delay > 0) is null": lambda r: r["delay"] is None, "delay is distinct from hour": lambda r: r["delay"] != r["hour"],
    "note is not distinct from line": lambda r: r["note"] == r["line"], "delay between -7 and 7": on("delay")(lambda x: -7 <= x <= 7),
    "delay not in (0, 1.5, 7)": on("delay")(lambda x: x not in {0, 7}), "fare >= 1.495": on("fare")(lambda x: x >= Fraction(1495, 1000)),
    # dates
    "extract(year from day)": on("day")(lambda d: d.year), "extract(quarter from day)": on("day")(lambda d: (d.month + 2) // 3),
    "extract(month from day)": on("day")(lambda d: d.month), "extract(day from day)": on("day")(lambda d: d.day),
    "extract(doy from day)": on("day")(lambda d: d.timetuple().tm_yday), "extract(dow from day)": on("day")(lambda d: d.isoweekday() % 7),
    "extract(isodow from day)": on("day")(lambda d: d.isoweekday()), "extract(week from day)": on("day")(lambda d: d.isocalendar().week),
    "date_part('year', at)": on("at")(lambda t: t.year), "extract(hour from at)": on("at")(lambda t: t.hour),
    "extract(minute from at)": on("at")(lambda t: t.minute), "extract(second from at)": on("at")(lambda t: t.second),
    "extract(week from at)": on("at")(lambda t: t.isocalendar().week), "extract(dow from at)": on("at")(lambda t: t.isoweekday() % 7),
    "date_trunc('year', day)": on("day")(lambda d: start(d, 12)), "date_trunc('quarter', day)": on("day")(lambda d: start(d, 3)),
    "date_trunc('month', day)": on("day")(lambda d: start(d, 1)), "date_trunc('week', day)": on("day")(monday),
    "date_trunc('day', day)": on("day")(lambda d: d), "date_trunc('month', at)": on("at")(lambda t: at_day(start(t.date(), 1))),
    "date_trunc('week', at)": on("at")(lambda t: at_day(monday(t.date()))), "date_trunc('day', at)": on("at")(lambda t: at_day(t.date())),
    "date_trunc('hour', at)": on("at")(lambda t: at_clock(t, 3600)), "date_trunc('minute', at)": on("at")(lambda t: at_clock(t, 60)),
    "cast(at as date)": on("at")(lambda t: t.date()), "cast(day as timestamp)": on("day")(at_day),
    "day - date '2000-01-01'": on("day")(lambda d: (d - date(2000, 1, 1)).days),
    "day > '1999-12-31'": on("day")(lambda d: d > date(1999, 12, 31)), "at < timestamp '1970-01-01 00:00:00.5'": on("at")(lambda t: t <= EPOCH),
    "near + interval '2 weeks'": on("near")(lambda d: d + timedelta(days=14)),
    "soon - interval '90 minutes'": on("soon")(lambda t: t - timedelta(minutes=90)),
}  # fmt: skip
"""What each expression means, in Python."""
