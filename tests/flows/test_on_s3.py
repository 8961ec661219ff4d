"""A house whose objects lie in a bucket: ingest, questions, the doctor; and what people see when the bucket fails."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cli.doctor import examine
from tests.flows.test_first_question import FIRST
from tests.house import City, city
from tests.promises import promise
from tests.servers.proxy import Fault, Proxy, proxy
from tests.servers.seaweed import Seaweed, key_files, shared
from tests.trips import MANIFEST, some_rows

PREFIX = "city/one"


@pytest.fixture(scope="module")
def server() -> Seaweed:
    return shared()


@pytest.fixture(scope="module")
def between(server: Seaweed) -> Iterator[Proxy]:
    with proxy(server.endpoint) as board:
        yield board


def settings_of(folder: Path, server: Seaweed, endpoint: str) -> dict[str, object]:
    access, secret = key_files(folder / "keys")
    return {
        "objects": f"s3://{server.bucket()}/{PREFIX}", "s3_endpoint": endpoint, "s3_secure": False,
        "s3_access_key": str(access), "s3_secret_key": str(secret), "s3_seconds": 6,
    }  # fmt: skip


@pytest.fixture(scope="module")
def town(server: Seaweed, between: Proxy) -> Iterator[City]:
    with (
        tempfile.TemporaryDirectory() as folder,
        city(Path(folder), settings=settings_of(Path(folder), server, between.endpoint)) as it,
    ):
        it.load(some_rows())
        it.grant()
        yield it


def lying(town: City, server: Seaweed) -> list[str]:
    bucket = town.house.settings.bucket()
    assert bucket is not None
    found = server.client().list_objects(bucket[0], recursive=True)
    return sorted(str(o.object_name).removeprefix(f"{PREFIX}/") for o in found)


def test_data_and_answers_lie_in_the_bucket(town: City, between: Proxy, server: Seaweed) -> None:
    between.calm()
    answer = town.ask("SELECT count(*) FROM city.trips", "in-a-bucket", epsilon="0.2")
    assert answer.status_code == 200, answer.text
    there = lying(town, server)
    assert f"v1/answers/{answer.json()['id']}" in there
    assert sorted(town.house.objects.list("v1/")) == [key for key in there if key.startswith("v1/")]
    assert sum(key.startswith("v1/ver_") for key in there) > 1
    assert list((town.house.home / "objects").iterdir()) == []


def test_a_small_file_is_fetched_by_one_request(town: City, between: Proxy) -> None:
    house = town.house
    town.ok(
        "POST", "/v1/queries", {"sql": "SELECT count(*) FROM city.trips", "epsilon": "0.1"}, Idempotency_Key="warmed-up"
    )
    house.opened.close()
    between.calm()
    town.ok(
        "POST",
        "/v1/queries",
        {"sql": "SELECT sum(fare) FROM city.trips", "epsilon": "0.1"},
        Idempotency_Key="counted-1",
    )
    got = Counter(
        asked.path.partition("?")[0] for asked in between.asked if asked.method == "GET" and "/b0" in asked.path
    )
    assert got
    assert set(got.values()) == {1}


def test_the_doctor_reads_the_bucket(town: City, between: Proxy) -> None:
    between.calm()
    assert [f.check for f in examine(town.house.home) if f.what is not None and f.check != "disk"] == []
    between.fault(Fault.EXPIRED)
    wrong = {f.check: f.what for f in examine(town.house.home) if f.what is not None}
    assert {"objects", "versions"} <= set(wrong)
    assert "ExpiredToken" in str(wrong["objects"])


def test_credentials_that_expire_in_mid_ingest_are_named(town: City, between: Proxy, server: Seaweed) -> None:
    between.calm()
    before = lying(town, server)
    between.fault(Fault.EXPIRED, when=lambda asked: asked.method == "PUT" and "manifest" in asked.path)
    failed = town.load(some_rows(), MANIFEST.replace("city.trips", "city.more"), file="trips.csv")
    assert failed["state"] == "failed"
    assert failed["error"]["code"] == "object_store_refused"
    between.calm()
    assert lying(town, server) == before


def test_a_store_that_is_down_is_no_answer_and_no_hang(town: City, between: Proxy) -> None:
    between.calm()
    town.house.opened.close()
    between.fault(Fault.DROP)
    answer = town.ask("SELECT count(*) FROM city.trips", "while-down", epsilon="0.1")
    assert (answer.status_code, answer.json()["code"]) == (503, "query_no_answer")
    between.calm()
    assert town.ask("SELECT count(*) FROM city.trips", "up-again", epsilon="0.1").status_code == 200


@promise("P7.1")
def test_no_module_is_loaded_after_the_charge(tmp_path: Path, server: Seaweed) -> None:
    with city(tmp_path, settings=settings_of(tmp_path, server, server.endpoint)) as town:
        town.load(some_rows(5))
        town.grant()
        me = town.ok("GET", "/v1/me")
    done = subprocess.run(
        [sys.executable, "-c", FIRST, str(tmp_path / "home"), me["id"], me["tenant"]], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
