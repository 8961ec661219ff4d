"""Policies are found in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import IntegrityFailed
from sandbox.policy.files import policies_folder, read_rules


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.conf").write_text("x")
    (folder / "roles.csv").write_text("x")
    return folder


def test_found_inside_the_package_as_a_wheel_has_them(tmp_path: Path) -> None:
    inside = fill(tmp_path / "sandbox" / "policies")
    fill(tmp_path / "policies")
    assert policies_folder(tmp_path / "sandbox") == inside


def test_found_beside_the_package_as_a_checkout_has_them(tmp_path: Path) -> None:
    beside = fill(tmp_path / "policies")
    assert policies_folder(tmp_path / "sandbox") == beside
    assert (policies_folder() / "decisions.csv").is_file()


def test_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    for ask in (lambda: policies_folder(tmp_path / "sandbox"), lambda: list(read_rules(tmp_path / "roles.csv"))):
        with pytest.raises(IntegrityFailed) as caught:
            ask()
        assert caught.value.code == "policies_missing"
