"""What the language accepts: one table of constructs, operators, functions, aggregates, casts and parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Both: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One thing that may be written: its name, form and meaning, the operator it becomes, how many arguments it takes.

    `example` is a query, or an expression over the columns of `EXAMPLE`.
    """

    name: str
    form: str
    meaning: Both
    example: str
    op: str = ""
    least: int = 1
    most: int = 1
    constants: tuple[int, ...] = ()
    """Which arguments must be plain constants."""


MAX_QUANTILES: Final = 9
"""So many quantiles one list may hold: each takes a share of the budget."""

EXAMPLE: Final = "SELECT {aggregate} FROM transport.flights f WHERE {condition}"


def _f(  # noqa: PLR0917  # a table's row, read by column
    name: str, form: str, en: str, zh: str, example: str, least: int = 1, most: int = 1, *, op: str = "",
    constants: tuple[int, ...] = (),
) -> Accepted:  # fmt: skip
    """One row of the table."""
    return Accepted(
        name=name, form=form, meaning=(en, zh), example=example, op=op or name, least=least, most=most,
        constants=constants,
    )  # fmt: skip


def _table(*rows: Accepted) -> Mapping[str, Accepted]:
    return {row.name: row for row in rows}


FUNCTIONS: Final = _table(
    _f("abs", "ABS(x)", "the size without its sign", "绝对值", "abs(delay) > 5"),
    _f("ceil", "CEIL(x)", "the smallest whole number not below x", "向上取整", "ceil(delay) > 5"),
    _f("ceiling", "CEILING(x)", "as CEIL", "同 CEIL", "ceiling(delay) > 5", op="ceil"),
    _f("coalesce", "COALESCE(x, y, …)", "the first that is not NULL", "第一个非 NULL 的值", "coalesce(delay, 0) > 5",
       1, 100),
    _f("date_part", "DATE_PART('part', x)", "as EXTRACT", "同 EXTRACT", "date_part('year', day) = 2013", 2, 2,
       op="extract", constants=(0,)),
    _f("date_trunc", "DATE_TRUNC('part', x)", "the beginning of the year, quarter, month, week, day, hour or minute",
       "所在年、季、月、周、日、时或分的起点", "date_trunc('month', day) = DATE '2013-01-01'", 2, 2, constants=(0,)),
    _f("floor", "FLOOR(x)", "the largest whole number not above x", "向下取整", "floor(delay) > 5"),
    _f("greatest", "GREATEST(x, y, …)", "the largest, NULLs left out", "最大值，忽略 NULL", "greatest(delay, 0) > 5",
       1, 100),
    _f("least", "LEAST(x, y, …)", "the smallest, NULLs left out", "最小值，忽略 NULL", "least(delay, 60) > 5", 1, 100),
    _f("length", "LENGTH(x)", "how many characters", "字符数", "length(carrier) = 2"),
    _f("lower", "LOWER(x)", "in lower case", "转为小写", "lower(carrier) = 'aa'"),
    _f("mod", "MOD(x, n)", "as x % n", "同 x % n", "mod(delay, 5) = 0", 2, 2, op="%"),
    _f("nullif", "NULLIF(x, y)", "x, or NULL where it is y", "x 等于 y 时为 NULL，否则为 x", "nullif(delay, 0) > 5",
       2, 2),
    _f("round", "ROUND(x [, digits])", "rounded", "四舍五入", "round(delay) > 5", 1, 2, constants=(1,)),
    _f("sign", "SIGN(x)", "-1, 0 or 1", "符号：-1、0 或 1", "sign(delay) = 1"),
    _f("starts_with", "STARTS_WITH(x, 'text')", "whether x begins with the text", "是否以该文本开头",
       "starts_with(carrier, 'A')", 2, 2, constants=(1,)),
    _f("substring", "SUBSTRING(x, from, count)", "count characters from the from-th on, both constants",
       "从第 from 个字符起取 count 个，两者为常数", "substring(carrier, 1, 1) = 'A'", 3, 3, constants=(1, 2)),
    _f("trim", "TRIM(x)", "without blanks at both ends", "去掉首尾空格", "trim(carrier) = 'AA'"),
    _f("upper", "UPPER(x)", "in upper case", "转为大写", "upper(carrier) = 'AA'"),
    _f("width_bucket", "WIDTH_BUCKET(x, low, high, n)",
       "the number of x's bin among n equal bins; 0 below, n + 1 above",
       "x 在 n 个等宽区间中的序号；低于下界为 0，高于上界为 n + 1", "width_bucket(delay, 0, 100, 10) = 3", 4, 4,
       constants=(1, 2, 3)),
)  # fmt: skip

AGGREGATES: Final = _table(
    _f("count", "COUNT(*), COUNT(x), COUNT(DISTINCT x)", "rows, rows where x is not NULL, different values of x",
       "行数、x 非 NULL 的行数、x 的不同取值数", "count(DISTINCT carrier)", 0, 1),
    _f("sum", "SUM(x)", "the total", "总和", "sum(delay) FILTER (WHERE delay > 0)"),
    _f("avg", "AVG(x)", "the mean", "平均值", "avg(delay)"),
    _f("variance", "VARIANCE(x)", "as VAR_SAMP", "同 VAR_SAMP", "variance(delay)", op="var_samp"),
    _f("var_samp", "VAR_SAMP(x)", "the sample's variance", "样本方差", "var_samp(delay)"),
    _f("var_pop", "VAR_POP(x)", "the population's variance", "总体方差", "var_pop(delay)"),
    _f("stddev", "STDDEV(x)", "as STDDEV_SAMP", "同 STDDEV_SAMP", "stddev(delay)", op="stddev_samp"),
    _f("stddev_samp", "STDDEV_SAMP(x)", "the sample's standard deviation", "样本标准差", "stddev_samp(delay)"),
    _f("stddev_pop", "STDDEV_POP(x)", "the population's standard deviation", "总体标准差", "stddev_pop(delay)"),
    _f("min", "MIN(x)", "an extreme low quantile, marked as one", "极低分位数（会注明）", "min(delay)"),
    _f("max", "MAX(x)", "an extreme high quantile, marked as one", "极高分位数（会注明）", "max(delay)"),
    _f("median", "MEDIAN(x)", "the middle value (ours; as PERCENTILE_CONT(0.5))",
       "中位数（本系统提供；同 PERCENTILE_CONT(0.5)）",
       "median(delay)"),
    _f("percentile_cont", "PERCENTILE_CONT(q | ARRAY[q, …]) WITHIN GROUP (ORDER BY x), q from 0 to 1, up to nine",
       "the value at that rank, among candidates; of an array the list of them, each paid as if written alone",
       "该秩处的候选取值；数组则返回其列表，各自计费，q 为 0 到 1 的常数，至多九个",
       "percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY delay)", 1, MAX_QUANTILES),
    _f("percentile_disc", "PERCENTILE_DISC(q | ARRAY[q, …]) WITHIN GROUP (ORDER BY x), q from 0 to 1, up to nine",
       "as PERCENTILE_CONT", "同 PERCENTILE_CONT",
       "percentile_disc(0.9) WITHIN GROUP (ORDER BY delay)", 1, MAX_QUANTILES),
    _f("histogram", "HISTOGRAM(x, low, high, bins)", "counts in equal bins from low to high, the last with high (ours)",
       "从 low 到 high 等宽分箱的计数，末箱含上端（本系统提供）", "histogram(delay, 0, 100, 10)", 4, 4,
       constants=(1, 2, 3)),
    _f("approx_top_k", "APPROX_TOP_K(x, k)", "the k most frequent values (ours)", "出现最多的 k 个值（本系统提供）",
       "approx_top_k(carrier, 3)", 2, 2, constants=(1,)),
)  # fmt: skip
QUANTILES: Final = frozenset({"percentile_cont", "percentile_disc"})

ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("nvl", "ifnull"), "COALESCE"), **dict.fromkeys(("if", "iif", "decode"), "CASE"),
    **dict.fromkeys(("substr", "left", "right"), "SUBSTRING"), **dict.fromkeys(("concat", "concat_ws"), "||"),
    **dict.fromkeys(("len", "char_length", "character_length"), "LENGTH"), **dict.fromkeys(("btrim", "ltrim"), "TRIM"),
    **dict.fromkeys(("quantile", "approx_quantile", "mode"), "PERCENTILE_CONT"), "mean": "AVG", "std": "STDDEV",
    **dict.fromkeys(("year", "month", "day", "hour"), "EXTRACT"), "to_char": "DATE_TRUNC", "date": "CAST",
    **dict.fromkeys(("approx_count_distinct", "uniq"), "COUNT"), "try_cast": "CAST", "top_k": "APPROX_TOP_K",
}  # fmt: skip
"""Names that other systems use, with what does the same here."""

OPERATORS: Final = _table(
    *(_f(s, f"x {s} y", en, zh, f"delay {s} 5", 2, 2) for s, en, zh in (
        ("=", "equal", "等于"), ("<>", "not equal, also !=", "不等于，也可写 !="), ("<", "below", "小于"),
        ("<=", "at most", "不大于"), (">", "above", "大于"), (">=", "at least", "不小于"))),
    *(_f(s, f"x {s} y", en, zh, f"delay {s} 5 > 1", 2, 2) for s, en, zh in (
        ("+", "sum; a date or timestamp plus an INTERVAL", "加；日期或时间加 INTERVAL"), ("*", "product", "乘"),
        ("-", "difference; a date or timestamp less an INTERVAL", "减；日期或时间减 INTERVAL"),
        ("/", "quotient", "除"), ("%", "remainder", "取余"))),
    _f("||", "x || y", "one text after the other", "文本拼接", "carrier || '!' = 'AA!'", 2, 2, op="concat"),
    _f("neg", "-x", "the opposite", "取负", "-delay > 5"),
    _f("and", "x AND y", "both", "与", "delay > 5 AND delay < 9", 2, 4_000),
    _f("or", "x OR y", "either", "或", "delay > 5 OR delay < 1", 2, 4_000),
    _f("not", "NOT x", "not", "非", "NOT delay > 5"),
    _f("in", "x [NOT] IN (constants)", "one of them", "属于列表", "carrier NOT IN ('AA', 'UA')", 2, 1_001),
    _f("between", "x [NOT] BETWEEN a AND b", "from a to b", "介于 a 与 b 之间（含）", "delay BETWEEN 1 AND 5", 3, 3),
    _f("like", "x [NOT] LIKE 'pattern'", "matches; % any text, _ one character", "匹配模式；% 任意文本，_ 一个字符",
       "carrier LIKE 'A%'", 2, 2),
    _f("ilike", "x [NOT] ILIKE 'pattern'", "as LIKE, whatever the case", "同 LIKE，不分大小写", "carrier ILIKE 'a%'",
       2, 2),
    _f("is null", "x IS [NOT] NULL", "missing", "为空", "delay IS NOT NULL"),
    _f("is true", "x IS [NOT] TRUE", "true and not missing", "为真", "(delay > 5) IS TRUE"),
    _f("is false", "x IS [NOT] FALSE", "false and not missing", "为假", "(delay > 5) IS NOT FALSE"),
    _f("is distinct from", "x IS DISTINCT FROM y", "unlike, NULL being a value", "不同（NULL 视为值）",
       "delay IS DISTINCT FROM 5", 2, 2),
    _f("is not distinct from", "x IS NOT DISTINCT FROM y", "alike, NULL being a value", "相同（NULL 视为值）",
       "delay IS NOT DISTINCT FROM 5", 2, 2),
    _f("case", "CASE WHEN … THEN … [ELSE …] END, CASE column WHEN …", "the first that holds", "第一个成立的分支",
       "CASE WHEN delay > 5 THEN 1 ELSE 0 END = 1", 2, 4_000),
    _f("extract", "EXTRACT(part FROM x)", "a part of a date or timestamp", "日期或时间的一部分",
       "extract(year FROM day) = 2013"),
    _f("cast", "CAST(x AS type), x::type", "another type", "类型转换", "delay::numeric > 5"),
)  # fmt: skip

CASTS: Final[Mapping[str, Accepted]] = {
    name: _f(name, f"CAST(x AS {name.upper()})", op, zh, f"CAST(delay AS {name}) IS NULL", op=op)
    for op, zh, names in (
        ("integer", "32 位整数", ("integer", "int", "int4")), ("bigint", "64 位整数", ("bigint", "int8")),
        ("numeric", "定点数", ("numeric", "decimal")), ("double", "双精度数", ("double precision", "float8")),
        ("text", "文本", ("text", "varchar")), ("boolean", "布尔", ("boolean", "bool")), ("date", "日期", ("date",)),
        ("timestamp", "时间戳", ("timestamp",)),
    )
    for name in names
}  # fmt: skip

PARTS: Final = ("year", "quarter", "month", "week", "day", "doy", "dow", "isodow", "hour", "minute", "second")
TRUNCATED: Final = ("year", "quarter", "month", "week", "day", "hour", "minute")
INTERVAL_UNITS: Final[Mapping[str, int]] = {"WEEK": 604_800, "DAY": 86_400, "HOUR": 3_600, "MINUTE": 60, "SECOND": 1}
"""Seconds of the units whose length never changes; months and years are refused."""

CONSTRUCTS: Final = _table(
    _f("select", "SELECT items FROM table [alias]", "keys and aggregates of a table", "表的分组键与聚合",
       "SELECT carrier, count(*) AS flights FROM transport.flights GROUP BY carrier"),
    _f("where", "WHERE condition", "the rows that count", "行过滤", "SELECT count(*) FROM flights WHERE delay > 5"),
    _f("group by", "GROUP BY keys, positions or aliases", "one row for each key", "分组",
       "SELECT date_trunc('month', day) AS m, count(*) FROM flights GROUP BY m"),
    _f("having", "HAVING condition", "on the answer", "对结果过滤",
       "SELECT carrier, count(*) FROM flights GROUP BY 1 HAVING count(*) > 100"),
    _f("order by", "ORDER BY … [ASC | DESC] [NULLS FIRST | LAST]", "on the answer", "对结果排序",
       "SELECT carrier, count(*) AS n FROM flights GROUP BY carrier ORDER BY n DESC NULLS LAST"),
    _f("limit", "LIMIT n", "the first n rows of the answer", "结果的前 n 行",
       "SELECT carrier, count(*) FROM flights GROUP BY carrier ORDER BY 2 LIMIT 5"),
    _f("filter", "aggregate FILTER (WHERE condition)", "only these rows count", "聚合内过滤",
       "SELECT count(*) FILTER (WHERE delay > 5) FROM flights"),
    _f("subquery", "FROM (SELECT …) alias", "rows made from rows, or one row for each unit", "子查询",
       "SELECT sum(d) FROM (SELECT abs(delay) AS d FROM flights) x"),
    _f("star", "SELECT *, t.* in a subquery", "all columns", "子查询中的全部列",
       "SELECT count(*) FROM (SELECT * FROM flights WHERE delay > 5) x"),
    _f("with", "WITH name AS (SELECT …), …", "a named subquery", "命名子查询",
       "WITH late AS (SELECT * FROM flights WHERE delay > 5) SELECT count(*) FROM late"),
    _f("union all", "SELECT … UNION ALL SELECT …", "the rows of both", "合并行",
       "SELECT count(*) FROM (SELECT delay FROM flights UNION ALL SELECT delay FROM trips) x"),
    _f("inner join", "[INNER] JOIN table ON … | USING (…)", "pairs that match", "内连接",
       "SELECT count(*) FROM flights f JOIN carriers c ON f.carrier = c.code"),
    _f("left join", "LEFT [OUTER] JOIN table ON … | USING (…)", "pairs, and rows without one", "左连接",
       "SELECT count(*) FROM flights LEFT OUTER JOIN carriers USING (carrier)"),
    _f("date", "DATE '…'", "a date", "日期常量", "SELECT count(*) FROM flights WHERE day >= DATE '2013-01-31'"),
    _f("timestamp", "TIMESTAMP '…'", "a moment", "时间常量",
       "SELECT count(*) FROM flights WHERE at < TIMESTAMP '2013-01-31 12:00:00'"),
    _f("interval", "INTERVAL 'n unit'", "weeks, days, hours, minutes or seconds", "周、天、时、分或秒的时长",
       "SELECT count(*) FROM flights WHERE day < DATE '2013-01-31' + INTERVAL '2 weeks'"),
)  # fmt: skip

NOT_ACCEPTED: Final[tuple[tuple[str, str], ...]] = (
    ("SELECT count(*) FROM a RIGHT JOIN b USING (x)", "sql_join_kind"), ("SELECT count(*) FROM a, b", "sql_join_comma"),
    ("SELECT a FROM t UNION SELECT a FROM u", "sql_union_distinct"),
    ("SELECT a FROM t EXCEPT SELECT a FROM u", "sql_set_operation"),
    ("SELECT DISTINCT a FROM t", "sql_distinct"), ("SELECT sum(a) OVER () FROM t", "sql_window"),
    ("SELECT count(*) FROM t LIMIT 5 OFFSET 5", "sql_offset"),
    ("SELECT count(*) FROM (SELECT a FROM t LIMIT 5) x", "sql_inner_order"),
    ("SELECT count(*) FROM t WHERE a = (SELECT max(b) FROM u)", "sql_scalar_subquery"),
    ("SELECT count(*) FROM t WHERE a IN (SELECT b FROM u)", "sql_subquery_condition"),
    ("WITH RECURSIVE r AS (SELECT a FROM t) SELECT count(*) FROM r", "sql_recursive"),
    ("SELECT count(*) FROM t GROUP BY ROLLUP (a)", "sql_grouping_sets"),
    ("SELECT count(*) FROM t TABLESAMPLE BERNOULLI (5)", "sql_sample"),
    ("SELECT count(*) FROM (VALUES (1)) x", "sql_values"),
    ("SELECT count(*) FROM generate_series(1, 9)", "sql_table_function"),
    ("SELECT count(*) FROM t WHERE day > now()", "sql_now"),
    ("SELECT count(*) FROM t WHERE name ~ 'a'", "sql_operator"),
)  # fmt: skip
