"""Texts of what the language refuses: the construct, and the nearest thing that works."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "query_empty": ("The query is empty. Write a SELECT.", "查询为空。请写一条 SELECT 语句。"),
    "query_in_list": (
        "IN takes at most {limit} items and was given {found}. Use BETWEEN, or several queries.",
        "IN 最多 {limit} 项，实际 {found} 项。请改用 BETWEEN 或拆分查询。",
    ),
    "query_too_deep": (
        "The query nests deeper than {limit} levels. Flatten it.",
        "查询嵌套超过 {limit} 层。请简化。",
    ),
    "query_too_long": ("The query is longer than {limit} bytes. Shorten it.", "查询超过 {limit} 字节。请缩短。"),
    "query_too_many_ctes": (
        "WITH names {found} subqueries; at most {limit} are read. Leave some out.",
        "WITH 命名了 {found} 个子查询，最多 {limit} 个。请减少。",
    ),
    "query_too_many_tables": (
        "The query reads more than {limit} tables and subqueries. Ask in parts.",
        "查询引用的表与子查询超过 {limit} 个。请拆分。",
    ),
    "query_too_many_tokens": (
        "The query has {found} words and signs; at most {limit} are read. Shorten it; IN takes at most 1000 items.",
        "查询含 {found} 个词法单元，最多 {limit} 个。请缩短；IN 最多 1000 项。",
    ),
    "sql_alias_columns": (
        "An alias takes no list of columns. Name them inside: SELECT x AS name.",
        "别名后不能带列名列表。请在内部命名：SELECT x AS 列名。",
    ),
    "sql_alias_missing": (
        "A subquery after FROM or JOIN needs a name: (SELECT …) AS name.",
        "FROM 或 JOIN 之后的子查询需要别名：(SELECT …) AS 名称。",
    ),
    "sql_case_operand": (
        "CASE x WHEN takes a plain column for x. Write CASE WHEN … = … THEN … END instead.",
        "CASE x WHEN 中的 x 只能是列名。请改写为 CASE WHEN … = … THEN … END。",
    ),
    "sql_cast_type": (
        "{type} is not a type that values can be cast to. Those that are, without a length: {known}.",
        "不能转换为类型 {type}。可用类型（不带长度）：{known}。",
    ),
    "sql_clause": (
        "{clause} is not supported. SELECT … FROM … WHERE … GROUP BY … HAVING … ORDER BY … LIMIT is.",
        "不支持 {clause}。支持 SELECT … FROM … WHERE … GROUP BY … HAVING … ORDER BY … LIMIT。",
    ),
    "sql_clause_order": (
        "{clause} stands twice or too late. The order is FROM, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT.",
        "{clause} 重复或位置过晚。顺序为 FROM、WHERE、GROUP BY、HAVING、ORDER BY、LIMIT。",
    ),
    "sql_constant": ("{function} takes a plain constant here: {form}.", "{function} 在此处需要合适的常量：{form}。"),
    "sql_control_character": (
        "The query holds a control character here. Remove it.",
        "查询在此处含有控制字符。请删除。",
    ),
    "sql_cte_repeated": (
        "WITH names {name} twice. Give each subquery its own name.",
        "WITH 中 {name} 重复命名。请使用不同的名称。",
    ),
    "sql_date_part": (
        "{part} is not a part that works here. These do: {known}.",
        "此处不支持时间部分 {part}。可用：{known}。",
    ),
    "sql_distinct": (
        "SELECT DISTINCT is not supported. GROUP BY gives each key once.",
        "不支持 SELECT DISTINCT。GROUP BY 会使每个键只出现一次。",
    ),
    "sql_distinct_aggregate": (
        "DISTINCT inside an aggregate takes one column: COUNT(DISTINCT x).",
        "聚合中的 DISTINCT 只接受一列：COUNT(DISTINCT x)。",
    ),
    "sql_expression": (
        "{construct} is not supported here. Comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, CASE and arithmetic are.",
        "此处不支持 {construct}。支持比较、AND、OR、NOT、IN、BETWEEN、LIKE、CASE 与算术。",
    ),
    "sql_fetch": ("FETCH is not supported. LIMIT n is.", "不支持 FETCH。请使用 LIMIT n。"),
    "sql_filter_place": (
        "FILTER follows aggregates only: COUNT(*) FILTER (WHERE …). On rows, CASE WHEN … THEN … END works.",
        "FILTER 只能跟在聚合之后：COUNT(*) FILTER (WHERE …)。行级请用 CASE WHEN … THEN … END。",
    ),
    "sql_function": (
        "{function} is not supported here. docs/sql.md lists the aggregates and functions that work.",
        "此处不支持 {function}。可用的聚合与函数见 docs/sql.md。",
    ),
    "sql_function_arguments": (
        "{function} was given too few or too many arguments. Write {form}.",
        "{function} 的参数个数不对。请写作 {form}。",
    ),
    "sql_function_near": (
        "There is no function {function} here. Try {nearest}.",
        "没有函数 {function}。可试用 {nearest}。",
    ),
    "sql_function_unknown": (
        "There is no function {function} here. docs/sql.md lists those that work.",
        "没有函数 {function}。可用函数见 docs/sql.md。",
    ),
    "sql_grouping_sets": (
        "{clause} is not supported in GROUP BY. Ask one query for each grouping.",
        "GROUP BY 不支持 {clause}。请为每种分组各提一个查询。",
    ),
    "sql_inner_order": (
        "{clause} works in the outermost query only. Leave it out here; WHERE chooses rows.",
        "{clause} 只能用于最外层查询。请在此处去掉；可用 WHERE 选取行。",
    ),
    "sql_interval": (
        "An INTERVAL is one whole number and one unit ({known}): INTERVAL '7 days'. For months, write the date itself.",
        "INTERVAL 需为一个整数加一个单位（{known}），例如 INTERVAL '7 days'。涉及月份请直接写出日期。",
    ),
    "sql_join_comma": (
        "Tables cannot be joined by a comma. Write JOIN … ON …, or JOIN … USING (…).",
        "不能用逗号连接表。请写 JOIN … ON … 或 JOIN … USING (…)。",
    ),
    "sql_join_condition": (
        "JOIN needs ON or USING after its table: JOIN t USING (x).",
        "JOIN 的表之后需要 ON 或 USING：JOIN t USING (x)。",
    ),
    "sql_join_kind": (
        "{kind} joins are not supported. INNER JOIN is, and LEFT JOIN with the protected table on the left.",
        "不支持 {kind} 连接。支持 INNER JOIN，以及受保护表在左侧的 LEFT JOIN。",
    ),
    "sql_join_parentheses": (
        "Parentheses around tables are not supported. Write the joins one after the other, or a subquery.",
        "不支持在表外加括号。请依次写出连接，或使用子查询。",
    ),
    "sql_limit": ("LIMIT takes a whole number of at most 18 digits.", "LIMIT 需要不超过 18 位的整数。"),
    "sql_name": (
        "{name} cannot be a name like this. A reserved word needs double quotes; a name has one schema and no point.",
        "{name} 不能这样用作名称。保留字需加双引号；名称最多带一个模式名，且不含点。",
    ),
    "sql_no_items": (
        "SELECT lists nothing. Add keys or aggregates, such as COUNT(*).",
        "SELECT 列表为空。请加入分组键或聚合，例如 COUNT(*)。",
    ),
    "sql_no_table": (
        "The query names no dataset. Add FROM and a dataset's name.",
        "查询没有数据集。请加上 FROM 与数据集名。",
    ),
    "sql_now": (
        "{function} would make the answer depend on when it is asked. Write the date: DATE '2013-01-31'.",
        "{function} 会使答案随提问时刻变化。请写出日期：DATE '2013-01-31'。",
    ),
    "sql_number": (
        "This number is too large or too fine: at most 18 digits before and after the point.",
        "该数字过大或过细：小数点前后各最多 18 位。",
    ),
    "sql_offset": (
        "OFFSET is not supported. LIMIT is; the whole answer costs the same.",
        "不支持 OFFSET。支持 LIMIT；取全部答案价格相同。",
    ),
    "sql_operator": (
        "The operator {operator} is not supported. + - * / % || = <> < <= > >= LIKE, IN and BETWEEN are.",
        "不支持运算符 {operator}。支持 + - * / % || = <> < <= > >= LIKE、IN 与 BETWEEN。",
    ),
    "sql_parameter": ("Parameters are not supported. Write the value itself.", "不支持参数。请直接写出值。"),
    "sql_precedence": (
        "Without parentheses, {construct} does not group with its operands here. Put parentheses around them.",
        "{construct} 与其操作数的结合方式不明确。请给操作数加括号。",
    ),
    "sql_recursive": (
        "WITH RECURSIVE is not supported. WITH is, each name seeing those before it.",
        "不支持 WITH RECURSIVE。支持 WITH，后面的名称可引用前面的。",
    ),
    "sql_sample": (
        "TABLESAMPLE is not supported: it saves no budget. WHERE chooses rows.",
        "不支持 TABLESAMPLE：它不能节省预算。可用 WHERE 选取行。",
    ),
    "sql_scalar_subquery": (
        "A subquery cannot stand for a value: it is an answer of its own. Ask it first, then write the number.",
        "子查询不能当作数值：它本身就是一次回答。请先单独提问，再写入数值。",
    ),
    "sql_set_operation": (
        "{kind} is not supported. Write the condition in WHERE, or JOIN the tables.",
        "不支持 {kind}。请在 WHERE 中写条件，或用 JOIN 连接。",
    ),
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
    "sql_subquery_condition": (
        "{form} takes no subquery or array here. Write IN with constants, or JOIN the other table.",
        "{form} 不支持子查询或数组。请用 IN 加常量，或用 JOIN 连接另一张表。",
    ),
    "sql_syntax_at": (
        "The SQL cannot be read from '{found}' on: a word is misspelled, missing, or too many, there or just before.",
        "SQL 自 '{found}' 起无法解析：此处或其前有拼写错误、缺词或多词。",
    ),
    "sql_syntax": ("This is not valid SQL near here.", "此处附近的 SQL 语法有误。"),
    "sql_table_function": (
        "Only a registered dataset may stand after FROM. `sandbox dataset list` shows them.",
        "FROM 之后只能是已登记的数据集。`sandbox dataset list` 可列出。",
    ),
    "sql_text_form": (
        "Texts are written in one pair of single quotes: 'it''s'. Numbers are decimal.",
        "文本写在一对单引号中：'it''s'。数字用十进制。",
    ),
    "sql_union_distinct": (
        "UNION without ALL is not supported. UNION ALL is; GROUP BY gives each key once.",
        "不支持不带 ALL 的 UNION。支持 UNION ALL；GROUP BY 会使每个键只出现一次。",
    ),
    "sql_unknown_table": (
        "{table} names no table after FROM or JOIN. Write its name or alias.",
        "{table} 不是 FROM 或 JOIN 之后的表。请写表名或别名。",
    ),
    "sql_values": (
        "VALUES is not supported. Name constants in the query, or register a public table and JOIN it.",
        "不支持 VALUES。请在查询中写常量，或登记公开表后用 JOIN 连接。",
    ),
    "sql_window": ("Window functions are not supported. GROUP BY is.", "不支持窗口函数。支持 GROUP BY。"),
    "sql_with_place": (
        "WITH stands before the whole query or in a subquery after FROM, not inside UNION ALL.",
        "WITH 须放在整个查询之前或 FROM 的子查询中，不能放在 UNION ALL 之内。",
    ),
    "sql_within_group": (
        "A quantile is written {form}, ascending, over one value.",
        "分位数写作 {form}，升序，且只按一个值排序。",
    ),
    "sql_word": (
        "{word} is not understood here. Leave it out; docs/sql.md lists what works.",
        "此处无法理解 {word}。请去掉；可用写法见 docs/sql.md。",
    ),
    "sql_word_missing": ("A part of the query lacks its {word}. Add it.", "查询的某处缺少 {word}。请补上。"),
}
