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
        "{function} was given values of different types: {found}. Compare like with like; a date is '2013-01-31'.",
        "{function} 的参数类型不一致：{found}。请比较同类值；日期写作 '2013-01-31'。",
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
        "{function} works on aggregates, not on rows: ROUND(AVG(x), 1).",
        "{function} 只能用于聚合结果，不能用于行：ROUND(AVG(x), 1)。",
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
    "query_empty": ("The query is empty. Write a SELECT.", "查询为空。请写一条 SELECT 语句。"),
    "query_in_list": (
        "IN takes at most {limit} items and was given {found}. Use BETWEEN, or several queries.",
        "IN 最多 {limit} 项，实际 {found} 项。请改用 BETWEEN 或拆分查询。",
    ),
    "log_not_published": (
        "The log could not be published for {seconds} seconds, so nothing is charged now; try again later.",
        "日志已超过 {seconds} 秒未能发布，暂停扣费；未执行任何操作，请稍后重试。",
    ),
    "query_no_answer": (
        "The query was charged and gives no answer. The operator sees why in the log; asking again is a new charge.",
        "查询已扣费但没有答案。运营方可在日志中查看原因；再次提问将重新计费。",
    ),
    "query_overrun": (
        "The answer was not ready at its moment; nothing is released.",
        "答案未能在规定时刻就绪，不输出任何结果。",
    ),
    "query_too_deep": (
        "The query nests deeper than {limit} levels. Flatten it.",
        "查询嵌套超过 {limit} 层。请简化。",
    ),
    "query_too_long": ("The query is longer than {limit} bytes. Shorten it.", "查询超过 {limit} 字节。请缩短。"),
    "query_too_many_tokens": (
        "The query has {found} words and signs; at most {limit} are read. Shorten it; IN takes at most 1000 items.",
        "查询含 {found} 个词法单元，最多 {limit} 个。请缩短；IN 最多 1000 项。",
    ),
    "query_without_aggregate": (
        "The query asks for no aggregate. Add COUNT(*), COUNT(x), SUM(x) or AVG(x).",
        "查询没有聚合。请加入 COUNT(*)、COUNT(x)、SUM(x) 或 AVG(x)。",
    ),
    "rows_not_an_edge": (
        "{rows} rows a unit is not among the declared edges: {edges}.",
        "每个单位 {rows} 行不在已声明的分层边界之列：{edges}。",
    ),
    "sql_aggregate_arguments": ("{function} takes one argument.", "{function} 只接受一个参数。"),
    "sql_case_operand": (
        "CASE x WHEN takes a plain column for x. Write CASE WHEN … = … THEN … END instead.",
        "CASE x WHEN 中的 x 只能是列名。请改写为 CASE WHEN … = … THEN … END。",
    ),
    "sql_cast": (
        "Casts are not needed: values have their declared types. DATE '…' and TIMESTAMP '…' constants work.",
        "无需类型转换：各列已有声明的类型。可使用 DATE '…' 与 TIMESTAMP '…' 常量。",
    ),
    "sql_clause": (
        "{clause} is not supported. SELECT … FROM … WHERE … GROUP BY … HAVING … ORDER BY … LIMIT is.",
        "不支持 {clause}。支持 SELECT … FROM … WHERE … GROUP BY … HAVING … ORDER BY … LIMIT。",
    ),
    "sql_control_character": (
        "The query holds a control character here. Remove it.",
        "查询在此处含有控制字符。请删除。",
    ),
    "sql_distinct": (
        "SELECT DISTINCT is not supported. GROUP BY gives each key once.",
        "不支持 SELECT DISTINCT。GROUP BY 会使每个键只出现一次。",
    ),
    "sql_distinct_aggregate": (
        "DISTINCT inside an aggregate takes one column: COUNT(DISTINCT unit).",
        "聚合中的 DISTINCT 只接受一列：COUNT(DISTINCT 单位列)。",
    ),
    "sql_expression": (
        "{construct} is not supported here. Comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, CASE and arithmetic are.",
        "此处不支持 {construct}。支持比较、AND、OR、NOT、IN、BETWEEN、LIKE、CASE 与算术。",
    ),
    "sql_filter": (
        "FILTER is not supported. SUM(CASE WHEN … THEN 1 ELSE 0 END) counts the same rows.",
        "不支持 FILTER。SUM(CASE WHEN … THEN 1 ELSE 0 END) 可得到相同计数。",
    ),
    "sql_function": (
        "{function} is not supported. Aggregates: COUNT, SUM, AVG; on rows: ABS, LOWER, UPPER, EXTRACT and more.",
        "不支持 {function}。聚合：COUNT、SUM、AVG；行函数：ABS、LOWER、UPPER、LENGTH、COALESCE、EXTRACT。",
    ),
    "sql_grouping_sets": (
        "{clause} is not supported in GROUP BY. Ask one query for each grouping.",
        "GROUP BY 不支持 {clause}。请为每种分组各提一个查询。",
    ),
    "sql_join": (
        "Joins are not supported: a query reads one dataset. Public tables can be downloaded and joined to the answer.",
        "不支持连接：一个查询只读一个数据集。公开表可下载后与答案连接。",
    ),
    "sql_limit": ("LIMIT takes a whole number of at most 18 digits.", "LIMIT 需要不超过 18 位的整数。"),
    "sql_no_table": (
        "The query names no dataset. Add FROM and a dataset's name.",
        "查询没有数据集。请加上 FROM 与数据集名。",
    ),
    "sql_number": (
        "This number is too large or too fine: at most 18 digits before and after the point.",
        "该数字过大或过细：小数点前后各最多 18 位。",
    ),
    "sql_offset": (
        "OFFSET is not supported. LIMIT is; the whole answer costs the same.",
        "不支持 OFFSET。支持 LIMIT；取全部答案价格相同。",
    ),
    "sql_parameter": ("Parameters are not supported. Write the value itself.", "不支持参数。请直接写出值。"),
    "sql_several_statements": (
        "One statement at a time: remove what follows the first.",
        "一次只能有一条语句：请删除第一条之后的内容。",
    ),
    "sql_star": (
        "Rows are never shown, so * cannot be selected. Ask for aggregates: SELECT COUNT(*) FROM …",
        "不展示明细行，不能选择 *。请使用聚合：SELECT COUNT(*) FROM …",
    ),
    "sql_statement": (
        "{kind} is not a question. Only SELECT is answered.",
        "{kind} 不是查询。只回答 SELECT。",
    ),
    "sql_subquery": (
        "Subqueries are not supported. Write the condition in WHERE, with constants.",
        "不支持子查询。请在 WHERE 中用常量写出条件。",
    ),
    "sql_syntax": ("This is not valid SQL near here.", "此处附近的 SQL 语法有误。"),
    "sql_table_function": (
        "Only a registered dataset may stand after FROM. `sandbox dataset list` shows them.",
        "FROM 之后只能是已登记的数据集。`sandbox dataset list` 可列出。",
    ),
    "sql_union": ("UNION is not supported. Ask one query for each part.", "不支持 UNION。请分别提问。"),
    "sql_unknown_table": (
        "{table} is not the dataset after FROM. Leave the qualifier out.",
        "{table} 不是 FROM 后的数据集。请去掉限定名。",
    ),
    "sql_window": ("Window functions are not supported. GROUP BY is.", "不支持窗口函数。支持 GROUP BY。"),
    "sql_with": (
        "WITH is not supported. Write one SELECT over one dataset.",
        "不支持 WITH。请写单个数据集上的一条 SELECT。",
    ),
    "too_many_cells": (
        "The answer would have {cells} cells; at most {limit} are given. Leave out keys or columns.",
        "答案将有 {cells} 个单元格，最多 {limit} 个。请减少分组键或列。",
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
    "values_out_of_bounds": (
        "Stored values of {column} lie outside their declared bounds. Nothing was answered.",
        "列 {column} 的存储值超出声明的上下界，未返回任何结果。",
    ),
    "version_incomplete": (
        "A file of this version is missing or belongs to another version. Nothing was answered.",
        "该版本缺少文件或文件属于其他版本，未返回任何结果。",
    ),
    "where_not_boolean": (
        "WHERE needs a condition and was given a {found}. Compare it with something.",
        "WHERE 需要条件，而给出的是 {found}。请写成比较。",
    ),
    "within_needs_totals": (
        "An accuracy is asked of COUNT and SUM. Add one of them, or give an epsilon for averages alone.",
        "精度只能针对 COUNT 与 SUM。请加入其一；仅有平均值时请给出 epsilon。",
    ),
    "within_range": ("An accuracy is a positive number.", "精度应为正数。"),
}
