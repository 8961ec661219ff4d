"""Settings: where they come from, what they refuse, and that the documents tell of every one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sandbox.crypto.suite import INTL
from sandbox.errors import RequestError
from sandbox.settings import Settings, checked, load

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def home(folder: Path, text: str) -> Path:
    (folder / "settings.toml").write_text(text, "utf-8")
    return folder


def test_a_file_is_enough(tmp_path: Path) -> None:
    settings = load(home(tmp_path, 'log_name = "sandbox/x"\nport = 9000\nsources = ["/srv/a", "b"]\n'))
    assert settings.port == 9000
    assert settings.sources == (Path("/srv/a"), Path("b"))
    assert settings.root_key == Path("keys/root.key")


def test_a_variable_beats_the_file_and_a_flag_beats_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home(tmp_path, 'log_name = "sandbox/x"\nport = 9000\n')
    monkeypatch.setenv("SANDBOX_PORT", "9001")
    assert load(folder).port == 9001
    assert load(folder, port=9002).port == 9002
    assert load(folder, port=None).port == 9001


def test_the_clients_variables_are_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SANDBOX_KEY", "sbx_")
    monkeypatch.setenv("SANDBOX_KEY_OPERATOR", "sbx_")
    load(home(tmp_path, 'log_name = "sandbox/x"\n'))


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ('log_name = "x"\nprot = 1\n', "prot"),
        ('log_name = "x"\nport = "high"\n', "port"),
        ('log_name = "x"\nport = 70000\n', "port"),
        ('log_name = "a b"\n', "log_name"),
        ('log_name = "a+b"\n', "log_name"),
        ("port = 1\n", "log_name"),
        ('log_name = "x"\nlog_level = "loud"\n', "log_level"),
        ('log_name = "x"\nbody_limit = 1\n', "body_limit"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not(tmp_path: Path, text: str, setting: str) -> None:
    with pytest.raises(RequestError) as caught:
        load(home(tmp_path, text))
    assert caught.value.code == "settings_invalid"
    assert caught.value.params["setting"] == setting
    assert "high" not in str(caught.value)


def test_a_broken_file_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        load(home(tmp_path, 'log_name = "x"\nport = = 1\n'))
    assert caught.value.code == "settings_unreadable"
    assert caught.value.position is not None
    assert caught.value.position.line == 2


def test_a_variable_that_is_not_the_json_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_SOURCES", "/srv/a")
    with pytest.raises(RequestError) as caught:
        checked({"log_name": "x"}, "settings.toml")
    assert caught.value.params["setting"] == "sources"
    assert caught.value.code == "variable_invalid"
    assert caught.value.params["variable"] == "SANDBOX_SOURCES"


def test_a_wrong_variable_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_PORT", "high")
    with pytest.raises(RequestError) as caught:
        load(home(tmp_path, 'log_name = "x"\n'))
    assert caught.value.code == "variable_invalid"
    assert caught.value.params["variable"] == "SANDBOX_PORT"
    assert "high" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SANDBOX_PROT", "SANDBOX_PORT"),
        ("SANDBOX_DATABSE", "SANDBOX_DATABASE"),
        ("SANDBOX_WITNESS", "SANDBOX_WITNESSES"),
        ("SANDBOX_S3_ACCESSKEY", "SANDBOX_S3_ACCESS_KEY"),
        ("SANDBOX_TRUSTED_PROXY", "SANDBOX_TRUSTED_PROXIES"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(RequestError) as caught:
        load(home(tmp_path, 'log_name = "x"\n'))
    assert caught.value.code == "variable_unknown"
    assert caught.value.params == {"variable": variable, "nearest": meant}


def test_variables_of_other_programs_are_let_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SANDBOX_CRASH_AT", "SANDBOX_LOAD", "SANDBOX_ON", "SANDBOX_DEBUG", "SANDBOX_SERVICE_HOST", "SANDBOX_HOME"):
        monkeypatch.setenv(name, "none")
    load(home(tmp_path, 'log_name = "x"\n'))


def test_no_home_no_settings(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        load(tmp_path / "none")
    assert caught.value.code == "home_missing"


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(home(tmp_path, 'log_name = "x"\n'))
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_the_digest_tells_two_settings_apart() -> None:
    one, other = checked({"log_name": "x"}, "-"), checked({"log_name": "x", "threads": 1}, "-")
    assert one.digest(INTL.digest) == checked({"log_name": "x"}, "-").digest(INTL.digest)
    assert one.digest(INTL.digest) != other.digest(INTL.digest)
    assert one.digest(INTL.digest) == one.model_copy(update={"port": 0, "host": "::1"}).digest(INTL.digest)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("city.cn", False)],
)
def test_loopback(host: str, local: bool) -> None:
    assert checked({"log_name": "x", "host": host}, "-").loopback() is local


def documented() -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return {name: default for name, default, _ in rows}


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert list(documented()) == list(Settings.model_fields)


def test_documented_defaults_are_the_defaults() -> None:
    defaults = checked({"log_name": "x"}, "-").model_dump(mode="json")
    for name, told in documented().items():
        if name == "log_name":
            continue
        default = defaults[name]
        assert told == ("none" if default is None else f"`{json.dumps(default)}`"), name
