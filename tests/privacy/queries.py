"""Queries over every construct, with what plain SQL calls the same."""

from __future__ import annotations

from typing import Final

T: Final = "FROM city.trips"
BINS: Final = "CASE WHEN delay < 0 THEN 'early' WHEN delay <= 600 THEN 'late' ELSE 'never' END"


def w(x: str, low: int, high: int, n: int) -> str:
    """WIDTH_BUCKET in plain words."""
    step = (high - low) // n
    return f"CASE WHEN {x} < {low} THEN 0 WHEN {x} >= {high} THEN {n + 1} ELSE floor(({x} - {low}) / {step}) + 1 END"


SAME: Final = [
    # aggregates
    f"SELECT count(*) {T}",
    f"SELECT count(*), count(delay), sum(delay), avg(delay), sum(fare), avg(fare) {T}",
    f"SELECT var_pop(delay), var_samp(delay), stddev_pop(hour), stddev_samp(hour), variance(hour), stddev(fare) {T}",
    f"SELECT count(DISTINCT rider), count(rider) {T}",
    f"SELECT count(DISTINCT rider) FILTER (WHERE paid), count(*) FILTER (WHERE paid), sum(fare) FILTER (WHERE hour > 12) {T}",
    f"SELECT avg(delay) FILTER (WHERE line = 'A'), count(delay) FILTER (WHERE NOT paid) {T}",
    f"SELECT sum(delay) / count(*), round(avg(fare), 1), count(*) * 2 - 1, abs(sum(-delay)), coalesce(sum(hour), 0) {T}",
    f"SELECT sum(delay) FILTER (WHERE hour > 99), count(*) FILTER (WHERE hour > 99) {T}",
    # keys of every kind
    f"SELECT line, count(*), sum(fare), avg(delay), count(DISTINCT rider) {T} GROUP BY line",
    f"SELECT hour, count(*) {T} GROUP BY hour",
    f"SELECT paid, count(*), avg(fare) {T} GROUP BY paid",
    f"SELECT day, count(*), sum(delay) {T} GROUP BY day",
    f"SELECT line, paid, count(*), sum(hour) {T} GROUP BY 1, 2",
    f"SELECT note, count(*), sum(fare), count(DISTINCT rider) {T} GROUP BY note",
    f"SELECT line, note, count(*), avg(hour) {T} GROUP BY line, note",
    f"SELECT fare, count(*) {T} GROUP BY fare",
    f'SELECT "at", count(*) {T} GROUP BY "at"',
    f"SELECT delay, count(*) {T} GROUP BY delay",
    # computed keys
    f"SELECT {BINS} AS b, count(*), sum(delay) {T} GROUP BY b",
    f"SELECT CASE line WHEN 'A' THEN 1 WHEN 'B' THEN 2 END AS c, count(*) {T} GROUP BY c",
    f"SELECT hour >= 12 AS pm, count(*) {T} GROUP BY pm",
    f"SELECT delay > 0 AS late, count(*) {T} GROUP BY late",
    f"SELECT delay IS NULL AS missing, count(*) {T} GROUP BY missing",
    f"SELECT hour % 6 AS h, count(*) {T} GROUP BY h",
    f"SELECT mod(delay, 7) AS m, count(*) {T} GROUP BY m",
    f"SELECT lower(line) AS l, count(*) {T} GROUP BY l",
    f"SELECT line || '-' || line AS l, count(*) {T} GROUP BY l",
    f"SELECT upper(note) AS n, count(*) {T} GROUP BY n",
    f"SELECT substring(note, 1, 2) AS n, length(note) AS m, count(*) {T} GROUP BY n, m",
    f"SELECT extract(month FROM day) AS m, count(*) {T} GROUP BY m",
    f"SELECT extract(isodow FROM day) AS d, extract(dow FROM day) AS e, count(*) {T} GROUP BY d, e",
    f"SELECT extract(week FROM day) AS d, count(*) {T} GROUP BY d",
    f"SELECT extract(quarter FROM day) AS q, extract(year FROM day) AS y, count(*) {T} GROUP BY q, y",
    f"SELECT extract(doy FROM day) AS q, count(*) {T} GROUP BY q",
    f'SELECT extract(hour FROM "at") AS h, count(*) {T} GROUP BY h',
    f"SELECT greatest(hour, 12) AS g, least(hour, 6) AS l, count(*) {T} GROUP BY g, l",
    f"SELECT coalesce(line, '?') AS l, count(*) {T} GROUP BY l",
    f"SELECT nullif(line, 'B') AS l, count(*) {T} GROUP BY l",
    f"SELECT sign(delay) AS s, abs(hour - 12) AS a, count(*) {T} GROUP BY s, a",
    f"SELECT cast(paid AS integer) AS p, cast(hour AS text) AS h, count(*) {T} GROUP BY p, h",
    # TRUE is 1 to Python: neither keys nor measures may be taken for one another
    f"SELECT cast(hour > 3 AS text) AS a, cast(CASE WHEN hour > 3 THEN 0 WHEN hour <= 3 THEN 1 END AS text) AS b, count(*) {T} GROUP BY a, b",
    f"SELECT sum(CASE WHEN cast(TRUE AS text) = 'true' THEN hour ELSE 0 END), sum(CASE WHEN cast(1 AS text) = 'true' THEN hour ELSE 0 END) {T}",
    f"SELECT extract(hour FROM date_trunc('hour', \"at\")) AS h, extract(hour FROM date_trunc('day', \"at\")) AS d, count(*) {T} GROUP BY h, d",
    # filters
    f"SELECT count(*) {T} WHERE line IN ('A', 'C') AND hour BETWEEN 6 AND 18 AND NOT (delay > 100)",
    f"SELECT count(*) {T} WHERE line NOT IN ('A') OR note LIKE 'Late%'",
    f"SELECT count(*), sum(fare) {T} WHERE note ILIKE 'late%' OR note = '%' OR note LIKE '_'",
    f"SELECT count(*) {T} WHERE starts_with(note, 'Late') OR trim(note) = 'x' OR length(note) > 4",
    f"SELECT count(*) {T} WHERE fare > 12.345 AND fare <> 13 AND fare * 2 < 301.5 AND fare - hour > 1",
    f"SELECT count(*) {T} WHERE paid IS NOT TRUE AND delay IS NOT NULL AND note IS DISTINCT FROM 'x'",
    f"SELECT count(*) {T} WHERE note IS NOT DISTINCT FROM NULL OR (paid AND hour > 3) IS FALSE",
    f"SELECT count(*) {T} WHERE day >= DATE '2013-03-01' AND day < DATE '2013-03-01' + INTERVAL '100 days'",
    f"SELECT count(*) {T} WHERE \"at\" >= TIMESTAMP '2013-05-01 12:00:00' AND \"at\" + INTERVAL '3 hours' < TIMESTAMP '2013-11-01'",
    f"SELECT count(*) {T} WHERE day - DATE '2013-01-01' > 200",
    f"SELECT count(*), sum(CASE WHEN paid THEN fare ELSE 0 END) {T} WHERE coalesce(delay, 0) + hour > 10",
    f"SELECT sum(delay * hour), sum(abs(delay) + 1), sum(-fare), avg(hour * hour), sum(fare * 3) {T} WHERE TRUE",
    f"SELECT sum(floor(fare)), sum(ceil(fare)), sum(round(fare)), sum(round(fare, 1)), sum(sign(delay)) {T}",
    f"SELECT sum(round(delay, -2)), sum(greatest(delay, hour)), sum(least(delay, hour, 5)) {T}",
    f"SELECT sum(delay % 7), sum(cast(fare AS integer)) {T}",
    # answers
    f"SELECT line, count(*) AS n {T} GROUP BY line HAVING count(*) > 20",
    f"SELECT line, count(*) {T} WHERE hour > 2 GROUP BY line HAVING avg(fare) > 80 AND NOT count(*) < 5 OR sum(delay) IS NULL",
    # subqueries and named ones
    f"SELECT count(*), sum(d) FROM (SELECT abs(delay) AS d {T} WHERE hour > 3) AS x WHERE d > 10",
    ("WITH a AS (SELECT * FROM city.trips WHERE paid), b AS (SELECT line, fare * 2 AS f FROM a WHERE hour < 20) "
    "SELECT line, count(*), sum(f), avg(f) FROM b GROUP BY line"),
    f"SELECT p, count(*) FROM (SELECT hour > 11 AS p, line {T}) AS x WHERE line = 'A' GROUP BY p",
    f"SELECT m, count(*) FROM (SELECT extract(month FROM day) AS m {T}) AS x GROUP BY m",
    # aggregates within the unit
    f"SELECT count(*), avg(s), sum(n), sum(m) FROM (SELECT rider, sum(delay) AS s, count(*) AS n, max(hour) AS m {T} GROUP BY rider) AS u",
    f"SELECT n, count(*), sum(s) FROM (SELECT rider, count(*) AS n, sum(fare) AS s {T} GROUP BY rider) AS u GROUP BY n",
    f"WITH u AS (SELECT rider, count(*) AS n, min(delay) AS d {T} GROUP BY rider HAVING count(*) > 2) SELECT count(*), sum(d) FROM u",
    f"SELECT line, count(*), sum(m) FROM (SELECT rider, line, max(delay) AS m {T} WHERE hour > 1 GROUP BY rider, line) AS u GROUP BY line",
    f"SELECT b, count(*) FROM (SELECT rider, sum(delay) > 100 AS b {T} GROUP BY rider) AS u GROUP BY b",
    f"SELECT sum(x) FROM (SELECT rider, count(*) FILTER (WHERE paid) * 2 + count(note) AS x {T} GROUP BY rider) AS u WHERE x > 2",
    f"SELECT n, count(*) FROM (SELECT rider, line, note AS n {T} GROUP BY rider, line, note) AS u GROUP BY n",
    # unions
    f"SELECT count(*), sum(x), avg(x) FROM (SELECT delay AS x {T} UNION ALL SELECT hour {T} WHERE paid) AS u",
    f"SELECT l, count(*) FROM (SELECT line AS l {T} UNION ALL SELECT line FROM city.stays UNION ALL SELECT line {T}) AS u GROUP BY l",
    f"SELECT sum(x) FROM (SELECT fare AS x {T} UNION ALL SELECT hour {T}) AS u",
    # public tables
    f"SELECT z.zone, count(*), sum(z.length), sum(t.delay) {T} t JOIN city.lines z ON t.line = z.code GROUP BY z.zone",
    f"SELECT z.zone, count(*), count(z.length), sum(t.delay) {T} t LEFT JOIN city.lines z ON t.line = z.code GROUP BY z.zone",
    f"SELECT count(*), sum(p.place) {T} t JOIN city.stops p ON t.line = p.line WHERE p.place > 1",
    f"SELECT p.stop, count(*), count(DISTINCT t.rider) {T} t JOIN city.stops p ON t.line = p.line GROUP BY p.stop",
    f"SELECT t.line, count(*), sum(p.place) {T} t LEFT JOIN city.stops p USING (line) GROUP BY t.line".replace(
        "USING (line)", "ON t.line = p.line"
    ),
    f"SELECT count(*) {T} t JOIN city.lines z ON t.line = z.code JOIN city.stops p ON p.line = z.code AND p.place = t.hour",
    (f"SELECT z.zone || '/' || p.stop AS zs, count(*) {T} t JOIN city.lines z ON t.line = z.code "
    "JOIN city.stops p ON p.line = t.line GROUP BY zs"),
    "SELECT count(*) FROM city.lines z JOIN city.trips t ON t.line = z.code",
]  # fmt: skip
"""Queries that mean the same to DuckDB as they are written."""

TWO: Final[dict[str, str]] = {
    f"SELECT delay / 100 AS d, count(*), sum(delay / 7) {T} GROUP BY d": f"SELECT delay // 100 AS d, count(*), sum(delay // 7) {T} GROUP BY d",
    f"SELECT date_trunc('month', day) AS m, count(*) {T} GROUP BY m": f"SELECT date_trunc('month', day)::DATE AS m, count(*) {T} GROUP BY m",
    f"SELECT date_trunc('week', day) AS m, count(*) {T} GROUP BY m": f"SELECT date_trunc('week', day)::DATE AS m, count(*) {T} GROUP BY m",
    f"SELECT date_trunc('quarter', \"at\") AS m, count(*) {T} GROUP BY m": f"SELECT date_trunc('quarter', \"at\") AS m, count(*) {T} GROUP BY m",
    f"SELECT date_trunc('day', \"at\") AS m, count(*) {T} GROUP BY m": f"SELECT date_trunc('day', \"at\") AS m, count(*) {T} GROUP BY m",
    f"SELECT width_bucket(delay, 0, 1200, 4) AS b, count(*) {T} GROUP BY b":
        f"SELECT CASE WHEN delay IS NOT NULL THEN {w('delay', 0, 1200, 4)} END AS b, count(*) {T} GROUP BY b",
    f"SELECT line, histogram(delay, 0, 1000, 4) {T} GROUP BY line":
        f"SELECT line, [count(*) FILTER (WHERE delay >= 0 AND delay < 250), count(*) FILTER (WHERE delay >= 250 AND delay < 500), "
        f"count(*) FILTER (WHERE delay >= 500 AND delay < 750), count(*) FILTER (WHERE delay >= 750 AND delay <= 1000)] {T} GROUP BY line",
    f"SELECT line, median(delay), percentile_disc(0.9) WITHIN GROUP (ORDER BY hour), max(day) {T} GROUP BY line":
        f"SELECT line, quantile_disc(delay, 0.5), quantile_disc(hour, 0.9), quantile_disc(day, 0.99) {T} GROUP BY line",
    f"SELECT line, percentile_cont(ARRAY[0.25, 0.5, 0.9, 0.5]) WITHIN GROUP (ORDER BY delay), median(delay), "
    f"percentile_disc(ARRAY[1, 0.2]) WITHIN GROUP (ORDER BY day), percentile_cont(ARRAY[0.5]) WITHIN GROUP (ORDER BY hour) {T} "
    f"WHERE delay IS NOT NULL AND fare IS NOT NULL GROUP BY line":
        f"SELECT line, quantile_disc(delay, [0.25, 0.5, 0.9, 0.5]), quantile_disc(delay, 0.5), quantile_disc(day, [1, 0.2]), "
        f"quantile_disc(hour, [0.5]) {T} WHERE delay IS NOT NULL AND fare IS NOT NULL GROUP BY line",
    f"SELECT median(delay) FILTER (WHERE paid), min(hour) {T} WHERE hour > 4":
        f"SELECT quantile_disc(delay, 0.5) FILTER (WHERE paid), quantile_disc(hour, 0.01) {T} WHERE hour > 4",
    f"SELECT note, median(delay) {T} GROUP BY note": f"SELECT note, quantile_disc(delay, 0.5) {T} GROUP BY note",
    f"SELECT approx_top_k(line, 3) {T} WHERE hour > 2":
        f"SELECT list(l ORDER BY n DESC) FROM (SELECT line AS l, count(DISTINCT rider) AS n {T} WHERE hour > 2 AND line IS NOT NULL GROUP BY l)",
}  # fmt: skip
"""Queries that DuckDB says in other words."""

FEW: Final = [
    f"SELECT count(*), sum(s.nights), sum(t.fare) {T} t JOIN city.stays s ON t.rider = s.rider",
    f"SELECT t.line, count(*), count(s.nights), sum(s.nights) {T} t LEFT JOIN city.stays s ON t.rider = s.rider AND t.line = s.line GROUP BY t.line",
    f"SELECT s.line, count(*) {T} t LEFT JOIN city.stays s ON t.rider = s.rider GROUP BY s.line",
    f"SELECT count(*), count(DISTINCT a.rider) {T} a JOIN city.trips b ON a.rider = b.rider WHERE a.hour < b.hour",
    f"SELECT count(*) {T} a JOIN city.trips b ON a.rider = b.rider AND a.line = b.line AND a.hour + 1 > b.hour",
    f"SELECT u.n, count(*), avg(t.fare) {T} t JOIN (SELECT rider, count(*) AS n FROM city.stays GROUP BY rider) AS u ON t.rider = u.rider GROUP BY u.n",
    (f"SELECT count(*), sum(a.n * b.m) FROM (SELECT rider, count(*) AS n {T} GROUP BY rider) AS a "
    "JOIN (SELECT rider, sum(nights) AS m FROM city.stays GROUP BY rider) AS b ON a.rider = b.rider"),
    f"SELECT z.zone, count(*), sum(s.nights) {T} t JOIN city.stays s ON t.rider = s.rider JOIN city.lines z ON s.line = z.code GROUP BY z.zone",
    f"SELECT count(DISTINCT note), count(DISTINCT delay), count(DISTINCT day) {T}",
    f"SELECT line, count(DISTINCT note), count(DISTINCT fare) FILTER (WHERE hour > 5) {T} GROUP BY line",
    f"SELECT note, count(DISTINCT delay) {T} GROUP BY note",
]  # fmt: skip
"""Queries whose bounds need units of few rows: tables are cut before they meet, and a unit shows few values of each group."""

ONE: Final = [
    f"SELECT count(DISTINCT line), count(DISTINCT hour), count(DISTINCT paid) {T}",
    f"SELECT line, count(DISTINCT hour), count(DISTINCT extract(month FROM day)) {T} GROUP BY line",
]
"""Of a small domain a unit shows one value."""
