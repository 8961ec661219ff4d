"""Key files nobody else may touch, and wrapped keys that open at one place only."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.crypto.keys import RootKey, create_log_key, load_log_key, unwrap, wrap
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed

CREATORS = [RootKey.create, create_log_key]


def test_a_created_key_is_loaded_again(tmp_path: Path) -> None:
    created = RootKey.create(tmp_path / "root.key")
    assert RootKey.load(tmp_path / "root.key") == created
    private = create_log_key(tmp_path / "log.key")
    assert load_log_key(tmp_path / "log.key") == private
    assert INTL.verify(INTL.public_key(private), INTL.sign(private, b"m"), b"m")


@pytest.mark.parametrize("create", CREATORS)
def test_a_key_file_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path, create: Callable[[Path], object]) -> None:
    before = os.umask(0)
    try:
        create(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("create", CREATORS)
def test_a_key_is_never_overwritten(tmp_path: Path, create: Callable[[Path], object]) -> None:
    create(tmp_path / "key")
    content = (tmp_path / "key").read_bytes()
    with pytest.raises(Conflict, match="key_file_exists"):
        create(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o610, 0o601, 0o644, 0o777])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    RootKey.create(tmp_path / "root.key")
    create_log_key(tmp_path / "log.key")
    (tmp_path / "root.key").chmod(mode)
    (tmp_path / "log.key").chmod(mode)
    with pytest.raises(IntegrityFailed, match="root_key_mode"):
        RootKey.load(tmp_path / "root.key")
    with pytest.raises(IntegrityFailed, match="log_key_mode") as refused:
        load_log_key(tmp_path / "log.key")
    assert refused.value.params["mode"] == f"{mode:04o}"


def test_one_kind_of_key_does_not_pass_for_the_other(tmp_path: Path) -> None:
    RootKey.create(tmp_path / "root.key")
    with pytest.raises(IntegrityFailed, match="key_file_malformed"):
        load_log_key(tmp_path / "root.key")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 32,
        b"sandbox-root-key intl AAAA\n",
        b"sandbox-root-key intl !\n",
        b"sandbox-root-key gm " + b"A" * 44,
    ],
)
def test_a_damaged_key_file_is_named_and_its_content_is_not(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "root.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(IntegrityFailed, match="key_file_malformed") as refused:
        RootKey.load(path)
    assert refused.value.params == {"path": str(path)}


def test_a_missing_place_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DependencyFailed, match="key_file_failed"):
        RootKey.load(tmp_path / "none.key")
    with pytest.raises(DependencyFailed, match="key_file_failed"):
        RootKey.create(tmp_path / "none" / "root.key")


def test_a_write_that_fails_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DependencyFailed, match="key_file_failed"):
        RootKey.create(tmp_path / "root.key")
    assert list(tmp_path.iterdir()) == []


def test_a_key_shows_itself_nowhere() -> None:
    root = RootKey(secret=b"secretsecretsecretsecretsecretse")
    assert "secret" not in repr(root)
    assert "secret" not in str(root)


def test_wrapped_keys_open_under_their_key_at_their_place() -> None:
    root = RootKey(secret=INTL.random(32))
    population, version = INTL.random(32), INTL.random(32)
    wrapped = root.wrap(population, "pop_1")
    assert population not in wrapped
    assert root.unwrap(wrapped, "pop_1") == population
    assert unwrap(INTL, population, wrap(INTL, population, version, "ver_1"), "ver_1") == version


def test_a_wrapped_key_does_not_open_elsewhere_or_changed() -> None:
    root = RootKey(secret=INTL.random(32))
    wrapped = root.wrap(bytes(32), "pop_1")
    with pytest.raises(IntegrityFailed, match="sealed_open_failed"):
        root.unwrap(wrapped, "pop_2")
    with pytest.raises(IntegrityFailed, match="wrapping_key_differs"):
        RootKey(secret=INTL.random(32)).unwrap(wrapped, "pop_1")
    for place in range(len(wrapped)):
        changed = wrapped[:place] + bytes([wrapped[place] ^ 1]) + wrapped[place + 1 :]
        with pytest.raises(IntegrityFailed, match=r"wrapping_key_differs|sealed_open_failed"):
            root.unwrap(changed, "pop_1")
    with pytest.raises(IntegrityFailed, match="wrapping_key_differs"):
        root.unwrap(b"", "pop_1")


def test_a_credential_of_the_service_may_have_the_mask_of_its_access_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd shows it as 0440 to a service that is not root; the folder is the service's alone."""
    RootKey.create(tmp_path / "root.key")
    (tmp_path / "root.key").chmod(0o440)
    with pytest.raises(IntegrityFailed):
        RootKey.load(tmp_path / "root.key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    RootKey.load(tmp_path / "root.key")
    (tmp_path / "root.key").chmod(0o444)
    with pytest.raises(IntegrityFailed):
        RootKey.load(tmp_path / "root.key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "other"))
    (tmp_path / "root.key").chmod(0o440)
    with pytest.raises(IntegrityFailed):
        RootKey.load(tmp_path / "root.key")
