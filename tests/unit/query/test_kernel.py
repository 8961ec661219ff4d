"""The kernel: nothing is answered from what is missing, changed, swapped, or outside its declared facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import IntegrityFailed
from sandbox.objects.opened import OpenedFiles
from sandbox.plans import Table
from sandbox.query.kernel import statement
from sandbox.query.kernel.engines import Engine
from sandbox.query.kernel.relation_sql import Own
from sandbox.query.kernel.task import Task
from sandbox.query.planning.plan import Known
from tests.privacy.pipeline import Pipeline
from tests.promises import promise
from tests.trips import some_rows
from tests.unit.query.plans import plan_of

SQL = "SELECT line, count(*), sum(delay) FROM city.trips GROUP BY line"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path)
    yield made
    made.close()


def table_of(known: Known) -> Table:
    return known.tables["city.trips"]


def changed(known: Known, **facts: Any) -> Known:
    """The same files under other declared facts, or another list of files."""
    table = table_of(known)
    version = facts.pop("version", table.version)
    table = dataclasses.replace(table, spec=dataclasses.replace(table.spec, **facts), version=version)
    return dataclasses.replace(known, tables={"city.trips": table})


def task_of(sql: str, **asked: Any) -> Task:
    plan = plan_of(sql, **asked)
    return Task(
        stage="values", tables=plan.tables, public=plan.public, population_id="pop_1", population_key=b"",
        relation=plan.relation, keys=plan.keys, measures=plan.measures, bound=plan.bound,
    )  # fmt: skip


def refused(pipeline: Pipeline, known: Known, sql: str = SQL) -> str:
    pipeline.bench = dataclasses.replace(pipeline.bench, opened=OpenedFiles(pipeline.objects))
    with pytest.raises(IntegrityFailed) as caught:
        pipeline.exact(known, sql)
    return caught.value.code


def object_file(pipeline: Pipeline, known: Known, tier: int) -> Path:
    """Where the object folder keeps one file of the version."""
    key = next(f.key for f in table_of(known).version.files if f.tier == tier)
    (found,) = [p for p in (pipeline.folder / "objects").rglob(key.rsplit("/", 1)[1]) if table_of(known).version.id in str(p)]
    return found


@promise("P2.3")
def test_a_missing_swapped_truncated_or_flipped_object_is_refused(pipeline: Pipeline) -> None:
    known, _ = pipeline.ingest(some_rows())
    file, other = object_file(pipeline, known, 0), object_file(pipeline, known, 1)
    whole = file.read_bytes()
    file.chmod(0o600)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (bytes(flipped), whole[:-1], whole + b"x", other.read_bytes(), b""):
        file.unlink()
        file.write_bytes(content)
        assert refused(pipeline, known) in {"object_corrupt", "object_truncated"}
    file.unlink()
    assert refused(pipeline, known) in {"object_missing", "object_corrupt"}
    file.write_bytes(whole)
    pipeline.bench = dataclasses.replace(pipeline.bench, opened=OpenedFiles(pipeline.objects))
    assert pipeline.exact(known, SQL)[1][1].any()


@promise("P2.3")
def test_every_tier_of_the_plan_is_needed_once(pipeline: Pipeline) -> None:
    known, _ = pipeline.ingest(some_rows())
    version = table_of(known).version
    for broken in (version.files[1:], (*version.files, version.files[0])):
        assert refused(pipeline, changed(known, version=dataclasses.replace(version, files=tuple(broken)))) == "version_incomplete"


@promise("P3.5")
def test_values_outside_their_declared_bounds_are_not_summed(pipeline: Pipeline) -> None:
    """The check rests on the sealed file, not on trust in the ingest that wrote it."""
    known, _ = pipeline.ingest(some_rows())
    columns = tuple(
        dataclasses.replace(c, lower=-10, upper=10) if c.name == "delay" else c for c in table_of(known).spec.columns
    )
    narrowed = changed(known, columns=columns)
    for sql in (
        SQL,
        "SELECT avg(delay * 2 + hour) FROM city.trips",
        "SELECT median(delay) FROM city.trips WHERE hour > 3",
        "SELECT line, count(DISTINCT delay) FROM city.trips GROUP BY line",
        "SELECT avg(s) FROM (SELECT rider, sum(delay) AS s FROM city.trips GROUP BY rider) AS x",
    ):
        assert refused(pipeline, narrowed, sql) == "values_out_of_bounds"


@promise("P5.3")
@pytest.mark.parametrize("where", ["", " WHERE hour > 3"])
def test_a_key_outside_its_declared_domain_is_not_shown(pipeline: Pipeline, where: str) -> None:
    known, _ = pipeline.ingest(some_rows())
    columns = tuple(
        dataclasses.replace(c, domain=("A", "B")) if c.name == "line" else c for c in table_of(known).spec.columns
    )
    sql = f"SELECT line, count(*), sum(delay) FROM city.trips{where} GROUP BY line"
    assert refused(pipeline, changed(known, columns=columns), sql) == "key_outside_domain"


def test_only_what_the_plan_reads_is_opened() -> None:
    assert statement.stored_columns(task_of("SELECT count(*) FROM city.trips"), 0) == set()
    sql = "SELECT x.h, count(*) FROM (SELECT hour AS h, fare, note FROM city.trips WHERE paid) AS x GROUP BY x.h"
    read = statement.stored_columns(task_of(sql), 0)
    assert read == {"hour", "paid"}, "columns of a subquery that nothing reads stay closed"


@promise("P3.1")
@pytest.mark.parametrize("asked", [{"rows": 10}, {"rows": 3}])
def test_no_text_of_the_user_reaches_the_engine(asked: dict[str, int]) -> None:
    sql = (
        'SELECT line AS "x; DROP TABLE y --", count(*) FROM (SELECT *, hour AS "DROP \'" FROM city.trips AS "q\'q") AS "DROP" '
        "WHERE line = 'it''s' OR note LIKE '%;%' GROUP BY line"
    )
    task = task_of(sql, **asked)
    for written in (statement.additive(task), statement.rows(task, Own(unit=True, order=True)), statement.rows(task, Own(), keyed=False)):
        assert "DROP" not in written
        assert "q'q" not in written
        assert "'it''s'" in written


@promise("P3.4")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/leak'",
        "ATTACH '/tmp/leak.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "SELECT * FROM read_parquet('/proc/self/fd/0')",
        "SELECT getenv('HOME')",
    ],
)
def test_the_engine_reaches_nothing_but_what_it_is_lent(sql: str) -> None:
    engine = Engine()
    try:
        with pytest.raises(Exception, match=r"(?i)disabled|locked|permission|cannot|not exist|error|configuration|getenv"):
            engine._connection.execute(sql).fetchall()
    finally:
        engine.close()
