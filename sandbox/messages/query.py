"""Texts of the query part's errors: what is wrong, and the nearest thing that works."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "aggregate_in_row": (
        "{function} cannot stand inside a row's expression. Use it in SELECT, HAVING or ORDER BY.",
        "{function} 不能出现在行级表达式中。请在 SELECT、HAVING 或 ORDER BY 中使用。",
    ),
    "aggregate_star": (
        "{function}(*) has no meaning. Name a column: {function}(x).",
        "{function}(*) 没有意义。请写出列名：{function}(x)。",
    ),
    "aggregate_type": (
        "{function} takes a number and was given a {found}. COUNT takes any column.",
        "{function} 需要数值，而给出的是 {found}。COUNT 可用于任意列。",
    ),
    "answer_not_ready": (
        "The answer is not there yet. Ask for it again in a moment.",
        "答案尚未就绪，请稍后再取。",
    ),
    "answer_unknown": ("There is no such answer of yours.", "没有属于您的此答案。"),
    "budget_missing": (
        "Say what to spend: an epsilon (such as 1), a preset, or an accuracy with `within`.",
        "请说明要花费的预算：epsilon（例如 1）、预算档，或用 within 指定精度。",
    ),
    "budget_range": (
        "An epsilon lies between {smallest} and {largest}.",
        "epsilon 应在 {smallest} 与 {largest} 之间。",
    ),
    "budget_twice": (
        "Give either an epsilon or an accuracy with `within`, not both.",
        "epsilon 与 within 精度只能二选一。",
    ),
    "column_not_grouped": (
        "Column {column} is neither grouped nor aggregated. Add it to GROUP BY, or take its COUNT, SUM or AVG.",
        "列 {column} 既未分组也未聚合。请加入 GROUP BY，或使用 COUNT、SUM、AVG。",
    ),
    "column_without_bounds": (
        "Column {column} has no declared bounds, so its values cannot be used. Its owner may declare them.",
        "列 {column} 未声明上下界，无法使用其数值。可请数据源单位声明。",
    ),
    "dataset_public": (
        "{dataset} is a public table: download it with `sandbox dataset download {dataset}`, free of charge.",
        "{dataset} 是公开表：请用 `sandbox dataset download {dataset}` 免费下载。",
    ),
    "distinct_not_unit": (
        "COUNT(DISTINCT …) counts the privacy unit only: COUNT(DISTINCT {unit}).",
        "COUNT(DISTINCT …) 目前只支持隐私单位：COUNT(DISTINCT {unit})。",
    ),
    "distinct_unit_filtered": (
        "COUNT(DISTINCT {unit}) is answered for the whole table only, without WHERE and GROUP BY. COUNT(*) takes both.",
        "COUNT(DISTINCT {unit}) 仅支持整表，不能带 WHERE 或 GROUP BY。COUNT(*) 两者皆可。",
    ),
    "expression_divisor": (
        "{function} needs a constant other than 0 on its right. Multiply instead, or divide aggregates.",
        "{function} 的右侧必须是非 0 常数。可改用乘法，或对聚合结果做除法。",
    ),
    "expression_extract": (
        "Cannot take {part} of this. Known parts: {known}.",
        "无法提取 {part}。可用的部分：{known}。",
    ),
    "expression_function": (
        "{function} is not among the functions that may see a row. See docs/sql.md for those that may.",
        "{function} 不在允许用于行的函数之列。可用函数见 docs/sql.md。",
    ),
    "expression_like": (
        "LIKE takes a text column and a constant pattern without backslashes, such as name LIKE 'A%'.",
        "LIKE 需要文本列和不含反斜杠的常量模式，例如 name LIKE 'A%'。",
    ),
    "expression_mixed": (
        "{function} was given values of different types: {found}. Compare like with like, as TIMESTAMP '2013-01-31'.",
        "{function} 的参数类型不一致：{found}。日期写作 DATE '2013-01-31'，时刻写作 TIMESTAMP '2013-01-31 08:00:00'。",
    ),
    "expression_modulo": ("% takes whole numbers only.", "% 仅支持整数。"),
    "expression_moment": (
        "This is not a {kind}. Write dates as '2013-01-31' and timestamps as '2013-01-31 12:00:00'.",
        "这不是有效的 {kind}。日期写作 '2013-01-31'，时间戳写作 '2013-01-31 12:00:00'。",
    ),
    "expression_overflows": (
        "By the declared bounds this could exceed 126 bits. Use smaller factors.",
        "按声明的上下界，该表达式可能超出 126 位。请使用更小的系数。",
    ),
    "expression_round": (
        "{function} takes a constant number of digits from -9 to 9, as in ROUND(x, 2).",
        "{function} 的位数须为 -9 至 9 的常量，例如 ROUND(x, 2)。",
    ),
    "expression_moment_range": (
        "By its declared bounds this {function} may leave the years 1 to 9999.",
        "按已声明的界限，此 {function} 的结果可能超出公元 1 年至 9999 年。",
    ),
    "expression_substring": (
        "SUBSTRING(x, from, count) takes whole constants up to {limit}, and a count of at least 0.",
        "SUBSTRING(x, from, count) 的 from 与 count 须为不超过 {limit} 的整数常量，且 count 不小于 0。",
    ),
    "expression_too_large": (
        "Written out, this expression has more than {limit} parts. Shorten it.",
        "该表达式展开后超过 {limit} 个部分。请缩短。",
    ),
    "expression_type": (
        "{function} needs a {expected} and was given a {found}.",
        "{function} 需要 {expected}，而给出的是 {found}。",
    ),
    "formula_constant": (
        "Only numbers may stand beside aggregates here.",
        "此处与聚合并列的常量只能是数字。",
    ),
    "formula_function": (
        "{function} does not work on aggregates. + - * / ROUND, ABS, COALESCE, comparisons, AND, OR and NOT do.",
        "{function} 不能用于聚合结果。可用：+ - * /、ROUND、ABS、COALESCE、比较、AND、OR、NOT。",
    ),
    "formula_round": (
        "ROUND's second argument is a whole number from -15 to 15.",
        "ROUND 的第二个参数应为 -15 到 15 的整数。",
    ),
    "key_expression": (
        "GROUP BY takes plain columns (or their positions). Filter with WHERE, or group by the column itself.",
        "GROUP BY 只接受列名（或其序号）。请用 WHERE 过滤，或按列本身分组。",
    ),
    "key_in_formula": (
        "Column {column} cannot be mixed with aggregates. Select it beside them, or filter it in WHERE.",
        "列 {column} 不能与聚合混在一个表达式中。请单独选择，或在 WHERE 中过滤。",
    ),
    "key_not_public": (
        "Column {column} has no declared domain, so its values may not appear as groups. Columns that may: {known}.",
        "列 {column} 未声明值域，其取值不能作为分组出现。可用的列：{known}。",
    ),
    "key_outside_domain": (
        "A stored key lies outside its declared domain. Nothing was answered.",
        "存储的键值超出声明的值域，未返回任何结果。",
    ),
    "plan_version_unknown": (
        "The stored plan has version {version}, which this release cannot read.",
        "已存计划的版本 {version} 无法由本版本读取。",
    ),
    "position_unknown": (
        "{clause} names a position that the SELECT list does not have: it has {items} entries.",
        "{clause} 引用的序号不存在：SELECT 列表共有 {items} 项。",
    ),
    "log_not_published": (
        "The log could not be published for {seconds} seconds, so nothing is charged now; try again later.",
        "日志已超过 {seconds} 秒未能发布，暂停扣费；未执行任何操作，请稍后重试。",
    ),
    "query_no_answer": (
        (
            "The query was charged and gives no answer. The operator sees why in the log; asking again is a new "
            "charge. The third such query of a company in a population stops its grants there; the committee can give "
            "new ones."
        ),
        (
            "查询已扣费但没有答案。运营方可在日志中查看原因；再次提问将重新计费。"
            "同一企业在同一人群中第三个无答案的查询将停用其在该人群的许可，委员会可重新授权。"
        ),
    ),
    "query_overrun": (
        "The answer was not ready at its moment; nothing is released.",
        "答案未能在规定时刻就绪，不输出任何结果。",
    ),
    "query_without_aggregate": (
        "The query asks for no aggregate. Add COUNT(*), COUNT(x), SUM(x) or AVG(x).",
        "查询没有聚合。请加入 COUNT(*)、COUNT(x)、SUM(x) 或 AVG(x)。",
    ),
    "rows_unsorted": (
        "Stored rows are not sorted by unit and ordinal. Nothing was answered; run: sandbox doctor HOME",
        "存储行未按单位与序号排序，未返回任何结果；请运行 sandbox doctor HOME。",
    ),
    "rows_not_an_edge": (
        "{rows} rows a unit is not among the declared edges: {edges}.",
        "每个单位 {rows} 行不在已声明的分层边界之列：{edges}。",
    ),
    "too_many_cells": (
        "The answer would have {cells} cells; at most {limit} are given. Leave out keys or columns.",
        "答案将有 {cells} 个单元格，最多 {limit} 个。请减少分组键或列。",
    ),
    "too_many_files": (
        "This query would read {found} files of each bucket; at most {limit} can be open. Name fewer tables.",
        "此查询在每个桶中需读取 {found} 个文件，最多可打开 {limit} 个。请减少引用的表。",
    ),
    "too_many_groups": (
        "The grouping has {groups} declared groups; at most {limit} are answered. Leave a key out.",
        "该分组共有 {groups} 个声明的组，最多 {limit} 个。请减少分组键。",
    ),
    "too_many_outputs": (
        "The query selects {found} columns; at most {limit} are answered.",
        "查询选择了 {found} 列，最多 {limit} 列。",
    ),
    "unit_column_hidden": (
        "{column} identifies the privacy unit: no expression may see it. COUNT(DISTINCT {column}) counts units.",
        "{column} 标识隐私单位，表达式不可引用。COUNT(DISTINCT {column}) 可统计单位数。",
    ),
    "unknown_column": (
        "{dataset} has no column {column}. `sandbox dataset show {dataset}` lists its columns.",
        "{dataset} 没有列 {column}。`sandbox dataset show {dataset}` 可列出各列。",
    ),
    "unknown_column_near": (
        "{dataset} has no column {column}. Did you mean {nearest}?",
        "{dataset} 没有列 {column}。是否想用 {nearest}？",
    ),
    "values_exceed_bound": (
        "Values lie outside {bound}, the bound proved for them. Nothing was answered; run: sandbox doctor HOME",
        "存在超出已证明上界 {bound} 的值，未返回任何结果；请运行 sandbox doctor HOME。",
    ),
    "values_out_of_bounds": (
        "Stored values of {column} lie outside their declared bounds. Nothing was answered.",
        "列 {column} 的存储值超出声明的上下界，未返回任何结果。",
    ),
    "version_incomplete": (
        "A file of this version is missing or belongs to another version. Nothing was answered.",
        "该版本缺少文件或文件属于其他版本，未返回任何结果。",
    ),
    "where_not_boolean": (
        "A condition is needed after WHERE and HAVING, and {found} was given. Compare it with something.",
        "WHERE 与 HAVING 之后需要条件，而给出的是 {found}。请写成比较。",
    ),
    "within_needs_totals": (
        "An accuracy is asked of COUNT and SUM. Add one of them, or give an epsilon for averages alone.",
        "精度只能针对 COUNT 与 SUM。请加入其一；仅有平均值时请给出 epsilon。",
    ),
    "within_share_keys": (
        "An accuracy in percent needs keys with a declared domain, and {column} has none. Spend an epsilon instead.",
        "按百分比指定精度要求分组键有声明的取值域，而 {column} 没有。请改用 epsilon。",
    ),
    "within_share_totals": (
        "An accuracy in percent is for COUNT and SUM alone, each shown as it is. Spend an epsilon for the others.",
        "按百分比指定精度仅适用于直接输出的 COUNT 与 SUM。其他聚合请改用 epsilon。",
    ),
    "within_without_cap": (
        "An accuracy in percent needs a cap on what may be spent: add an epsilon (--at-most 1) or a preset.",
        "按百分比指定精度须给出花费上限：请加上 epsilon（--at-most 1）或预算档。",
    ),
    "within_range": ("An accuracy is a positive number.", "精度应为正数。"),
    "answer_malformed": (
        "A stored answer cannot be read. Nothing was shown; the operator's doctor says more.",
        "存储的答案无法读取，未显示任何内容；运营方可用 doctor 查看详情。",
    ),
    "bounding_unfit": (
        "This question cannot be bounded by {form}. Leave the choice to the planner, or ask counts and sums by group.",
        "此问题不能以 {form} 方式限界。请由规划器选择，或改为分组计数与求和。",
    ),
    "column_ambiguous": (
        "Several tables here have a column {column}. Write which: table.{column}.",
        "此处有多个表含列 {column}。请写明：表名.{column}。",
    ),
    "delta_missing": (
        "The grant has no delta left, which private keys need. Group by a column with a declared domain.",
        "该授权已无剩余 delta，而私有键需要 delta。请按已声明值域的列分组。",
    ),
    "distinct_count_only": (
        "{function}(DISTINCT …) is not answered; COUNT(DISTINCT x) is.",
        "不支持 {function}(DISTINCT …)；可使用 COUNT(DISTINCT x)。",
    ),
    "expression_pattern": (
        "A pattern with several wildcards has at most {limit} characters. Shorten it.",
        "含多个通配符的模式最多 {limit} 个字符。请缩短。",
    ),
    "expression_text_too_long": (
        "A text here would be joined from more than {limit} stored ones. Join fewer.",
        "此处的文本将由超过 {limit} 个存储文本拼接而成。请减少拼接。",
    ),
    "join_public_expression": (
        "A public table is joined on its columns as they are: ON expression = public.column.",
        "公开表只能按其原始列连接：ON 表达式 = 公开表.列。",
    ),
    "expression_cast": (
        "Not every {found} can become a {kind}. Numbers become integers or numerics, timestamps become dates.",
        "{found} 在此无法转换为 {kind}：并非每个取值都可转换。数值可转为整数或小数，时间戳可转为日期。",
    ),
    "expression_width_bucket": (
        "WIDTH_BUCKET(x, low, high, n) takes constants low < high and 1 to 10,000 buckets.",
        "WIDTH_BUCKET(x, low, high, n) 需要常量 low < high，且桶数为 1 至 10,000。",
    ),
    "formula_whole": (
        "HISTOGRAM, APPROX_TOP_K and lists of quantiles stand alone in SELECT; other aggregates may be computed with.",
        "HISTOGRAM、APPROX_TOP_K 与分位数列表只能单独出现在 SELECT 中；其他聚合可参与计算。",
    ),
    "histogram_form": (
        "HISTOGRAM(x, low, high, bins) takes constants: low < high, 1 to 1,000 bins, each at least one step of x wide.",
        "HISTOGRAM(x, low, high, bins) 需要常量：low < high，1 至 1,000 个区间，每个区间至少为 x 的一个步长。",
    ),
    "join_condition": (
        "ON takes equalities between the two tables, such as a.code = b.code; put other conditions into WHERE.",
        "连接条件须为两表之间的等式，例如 ON a.code = b.code；LEFT JOIN 不能含其他条件。其余条件请写入 WHERE。",
    ),
    "join_fans_out": (
        "This join could make more than {limit} rows of one unit. Join on more columns, or aggregate per unit.",
        "按声明上限，该连接可能使单个单位产生超过 {limit} 行。请增加连接列，或先按单位聚合。",
    ),
    "join_left_public": (
        "A public table cannot stand left of a LEFT JOIN with a protected one. Turn the join around, or use JOIN.",
        "公开表不能位于与受保护表的 LEFT JOIN 左侧。请调换两侧，或使用 JOIN。",
    ),
    "join_without_unit": (
        "Protected tables are joined on their unit: ON a.unit = b.unit.",
        "受保护表须按其隐私单位连接：ON a.单位 = b.单位。",
    ),
    "key_aggregate": (
        "GROUP BY names an aggregate here. Group by columns and expressions of rows.",
        "此处 GROUP BY 指向了聚合。请按列或行级表达式分组。",
    ),
    "populations_differ": (
        "These datasets protect different populations and cannot be asked together: {datasets}.",
        "这些数据集属于不同人群，不能一同查询：{datasets}。",
    ),
    "quantile_share": (
        "A quantile is a constant from 0 to 1.",
        "分位数应为 0 到 1 的常数。",
    ),
    "rows_range": (
        "A unit gives at least one row, not {rows}.",
        "每个单位至少计入一行，不能为 {rows}。",
    ),
    "subquery_aggregate": (
        "{function} cannot stand in a subquery. COUNT, SUM, MIN and MAX within the unit can.",
        "{function} 不能用于子查询。单位内可用 COUNT、SUM、MIN、MAX。",
    ),
    "subquery_group": (
        "A subquery with aggregates groups by the unit's column, perhaps with others: GROUP BY unit.",
        "含聚合的子查询须按隐私单位列分组（可附加其他列）：GROUP BY 单位。",
    ),
    "subquery_order": (
        "ORDER BY and LIMIT stand in the outermost query only: which rows they keep would depend on other units.",
        "ORDER BY 与 LIMIT 只能用于最外层查询：其保留的行会依赖其他单位。",
    ),
    "too_many_keys": (
        "GROUP BY takes at most {limit} keys and was given {found}.",
        "GROUP BY 最多 {limit} 个键，实际 {found} 个。",
    ),
    "top_domain": (
        "APPROX_TOP_K needs a column with a declared domain. For others: GROUP BY x ORDER BY count DESC LIMIT k.",
        "APPROX_TOP_K 需要已声明值域的列。其他列请用 GROUP BY x ORDER BY 计数 DESC LIMIT k。",
    ),
    "top_form": (
        "Write APPROX_TOP_K(x, k) with a constant k from 1 to {limit}.",
        "请写作 APPROX_TOP_K(x, k)，k 为 1 至 {limit} 的常数。",
    ),
    "union_columns": (
        "The parts of a UNION ALL have different numbers of columns.",
        "UNION ALL 各部分的列数不同。",
    ),
    "union_outermost": (
        "Each part of this UNION ALL is a release of its own. Ask one by one, or put it into FROM and aggregate.",
        "此 UNION ALL 的每个部分都是一次独立发布。请逐个查询，或将其放入 FROM 后再聚合。",
    ),
    "union_unit": (
        "Column {column} is the unit in one part of the UNION ALL and not in another.",
        "列 {column} 在 UNION ALL 的一部分中是隐私单位，在另一部分中不是。",
    ),
    "unit_in_answer": (
        "{column} names the privacy unit and cannot be grouped by or shown. COUNT(DISTINCT {column}) counts units.",
        "{column} 标识隐私单位，不能用于分组或展示。可用 COUNT(DISTINCT {column}) 计数。",
    ),
    "version_of_several": (
        "A version can be named for one table only; this query reads several.",
        "仅单表查询可指定版本；此查询涉及多个表。",
    ),
}
