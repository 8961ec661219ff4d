"""The choice of a store: what is missing or unsafe in the settings of a bucket is named before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import DependencyFailed, RequestError
from sandbox.objects.choose import open_objects
from sandbox.objects.local import LocalObjects
from sandbox.settings import Settings, checked

S3 = {
    "objects": "s3://city/objects", "s3_endpoint": "127.0.0.1:1", "s3_access_key": "access", "s3_secret_key": "secret",
    "s3_secure": False, "s3_seconds": 1,
}  # fmt: skip


def settings(**more: object) -> Settings:
    return checked({"log_name": "x", **more}, "-")


def test_a_folder_is_below_the_home_unless_it_is_absolute(tmp_path: Path) -> None:
    for place in ("objects", str(tmp_path / "elsewhere")):
        objects = open_objects(tmp_path, settings(objects=place))
        assert isinstance(objects, LocalObjects)
        assert objects._root == tmp_path / place


def test_what_dead_puts_left_is_swept_if_asked(tmp_path: Path) -> None:
    left = tmp_path / "objects" / ".unfinished" / "left"
    left.parent.mkdir(parents=True)
    left.touch()
    open_objects(tmp_path, settings())
    assert left.exists(), "a look changes nothing"
    open_objects(tmp_path, settings(), sweep=True)
    assert not left.exists()


@pytest.mark.parametrize(
    ("place", "bucket"),
    [
        ("s3://city", ("city", "")),
        ("s3://city/", ("city", "")),
        ("s3://city.objects-1/a/b_c", ("city.objects-1", "a/b_c")),
        ("objects", None),
        ("/srv/s3", None),
    ],
)
def test_a_bucket_is_told_from_a_folder(place: str, bucket: tuple[str, str] | None) -> None:
    assert settings(objects=place).bucket() == bucket


@pytest.mark.parametrize(
    "place", ["", "s3://", "s3://C", "s3://city/../x y", "s3://city//x?y", "https://x/y", "s3:///x"]
)
def test_what_is_neither_is_refused(place: str) -> None:
    with pytest.raises(RequestError) as refused:
        settings(objects=place)
    assert (refused.value.code, refused.value.params["setting"]) == ("settings_invalid", "objects")


@pytest.mark.parametrize("name", ["s3_endpoint", "s3_access_key", "s3_secret_key"])
def test_what_a_bucket_needs_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError) as refused:
        open_objects(tmp_path, settings(**{k: v for k, v in S3.items() if k != name}))
    assert (refused.value.code, refused.value.params) == ("s3_setting_missing", {"setting": name})


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "s3.city.cn",
        "https://s3.city.cn:443",
        "s3.city.cn:443/x",
        "a@s3.city.cn:443",
        "s3.city.cn:high",
        ":1",
        "[::1:1",
    ],
)
def test_an_endpoint_is_a_host_and_a_port(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(RequestError) as refused:
        open_objects(tmp_path, settings(**{**S3, "s3_endpoint": endpoint, "s3_secure": True}))
    assert (refused.value.code, refused.value.params) == ("s3_endpoint_refused", {"endpoint": endpoint})


@pytest.mark.parametrize("endpoint", ["10.0.0.1:80", "s3.city.cn:8333", "127.0.0.1.evil.cn:80", "[fd00::1]:80"])
def test_nothing_leaves_the_machine_in_the_clear(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(RequestError) as refused:
        open_objects(tmp_path, settings(**{**S3, "s3_endpoint": endpoint}))
    assert (refused.value.code, refused.value.params) == ("s3_plain_refused", {"endpoint": endpoint})


@pytest.mark.parametrize("endpoint", ["127.0.0.1:1", "localhost:1", "[::1]:1"])
def test_this_machine_may_be_asked_in_the_clear(tmp_path: Path, endpoint: str) -> None:
    (tmp_path / "access").write_text("a")
    (tmp_path / "secret").write_text("b")
    with pytest.raises(DependencyFailed) as refused:
        open_objects(tmp_path, settings(**{**S3, "s3_endpoint": endpoint}))
    assert (refused.value.code, refused.value.params) == ("object_store_failed", {"reason": "unreachable"})


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DependencyFailed) as failed:
        open_objects(tmp_path, settings(**S3))
    assert (failed.value.code, failed.value.params) == ("key_file_failed", {"path": str(tmp_path / "access")})
    with pytest.raises(RequestError) as refused:
        open_objects(tmp_path, settings(**{**S3, "s3_secure": True, "s3_ca": "ca.pem"}))
    assert (refused.value.code, refused.value.params) == ("s3_ca_missing", {"path": str(tmp_path / "ca.pem")})
