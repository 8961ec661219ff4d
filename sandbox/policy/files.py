"""Where the policy's files lie: inside the package when installed from a wheel, beside it in a checkout."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from sandbox.errors import IntegrityFailed

MODEL = "model.conf"
ROLES = "roles.csv"

_PACKAGE = Path(__file__).resolve().parents[1]


def policies_folder(package: Path = _PACKAGE) -> Path:
    """The folder with `model.conf` and `roles.csv`.

    `package` is the folder of the installed `sandbox`: a wheel carries `sandbox/policies`, a checkout has `policies`
    next to `sandbox`.

    Raises:
        IntegrityFailed: `policies_missing`, neither place has them; nothing is decided without rules.
    """
    for folder in (package / "policies", package.parent / "policies"):
        if (folder / MODEL).is_file() and (folder / ROLES).is_file():
            return folder
    raise IntegrityFailed("policies_missing", folder=str(package.parent / "policies"))


def read_rules(file: Path) -> Iterator[tuple[int, list[str]]]:
    """The rules of a policy file as (line, cells), cells stripped; empty lines and # comments are left out.

    Raises:
        IntegrityFailed: `policies_missing`, the file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise IntegrityFailed("policies_missing", folder=str(file.parent)) from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, [cell.strip() for cell in next(csv.reader([line]))]
