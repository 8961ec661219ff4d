"""The kernel: nothing is answered from what is missing, changed, swapped, or outside its declared facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.errors import IntegrityFailed
from sandbox.objects.opened import OpenedFiles
from sandbox.query.kernel.compute import needed_columns, statement
from sandbox.query.kernel.engines import Engine
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


def refused(pipeline: Pipeline, known: Known, sql: str = SQL) -> str:
    pipeline.bench = dataclasses.replace(pipeline.bench, opened=OpenedFiles(pipeline.objects))
    with pytest.raises(IntegrityFailed) as caught:
        pipeline.exact(known, sql)
    return caught.value.code


def object_file(pipeline: Pipeline, known: Known, tier: int) -> Path:
    """Where the object folder keeps one file of the version."""
    key = next(f.key for f in known.version.files if f.tier == tier)
    (found,) = [p for p in (pipeline.folder / "objects").rglob(key.rsplit("/", 1)[1]) if known.version.id in str(p)]
    return found


@promise("P2.3")
def test_a_missing_swapped_truncated_or_flipped_object_is_refused(pipeline: Pipeline) -> None:
    known, _ = pipeline.ingest(some_rows())
    file, other = object_file(pipeline, known, 0), object_file(pipeline, known, 1)
    whole = file.read_bytes()
    file.chmod(0o600)
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for content in (bytes(changed), whole[:-1], whole + b"x", other.read_bytes(), b""):
        file.unlink()
        file.write_bytes(content)
        assert refused(pipeline, known) in {"object_corrupt", "object_truncated"}
    file.unlink()
    assert refused(pipeline, known) in {"object_missing", "object_corrupt"}
    file.write_bytes(whole)
    pipeline.bench = dataclasses.replace(pipeline.bench, opened=OpenedFiles(pipeline.objects))
    assert pipeline.exact(known, SQL)[1].sum() != 0


@promise("P2.3")
def test_every_tier_of_the_plan_is_needed_once(pipeline: Pipeline) -> None:
    known, _ = pipeline.ingest(some_rows())
    files = known.version.files
    for broken in (files[1:], (*files, files[0])):
        version = dataclasses.replace(known.version, files=tuple(broken))
        assert refused(pipeline, dataclasses.replace(known, version=version)) == "version_incomplete"


@promise("P3.5")
def test_values_outside_their_declared_bounds_are_not_summed(pipeline: Pipeline) -> None:
    """The check rests on the sealed file, not on trust in the ingest that wrote it."""
    known, _ = pipeline.ingest(some_rows())
    columns = tuple(
        dataclasses.replace(c, lower=-10, upper=10) if c.name == "delay" else c for c in known.spec.columns
    )
    narrowed = dataclasses.replace(known, spec=dataclasses.replace(known.spec, columns=columns))
    assert refused(pipeline, narrowed) == "values_out_of_bounds"
    assert refused(pipeline, narrowed, "SELECT avg(delay * 2 + hour) FROM city.trips") == "values_out_of_bounds"


@promise("P5.3")
def test_a_key_outside_its_declared_domain_is_not_shown(pipeline: Pipeline) -> None:
    known, _ = pipeline.ingest(some_rows())
    columns = tuple(dataclasses.replace(c, domain=("A", "B")) if c.name == "line" else c for c in known.spec.columns)
    assert refused(pipeline, dataclasses.replace(known, spec=dataclasses.replace(known.spec, columns=columns))) == (
        "key_outside_domain"
    )


def test_the_ordinal_is_read_where_units_are_counted() -> None:
    assert "ordinal" in needed_columns(plan_of("SELECT count(DISTINCT rider), count(*) FROM city.trips"))
    assert "ordinal" not in needed_columns(plan_of("SELECT count(*) FROM city.trips"))


@promise("P3.1")
def test_no_text_of_the_user_reaches_the_engine() -> None:
    sql = 'SELECT count(*) AS "x; DROP TABLE y --" FROM city.trips AS "q\'q" WHERE line = \'it\'\'s\' OR note LIKE \'%;%\''
    written = statement(plan_of(sql))
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
