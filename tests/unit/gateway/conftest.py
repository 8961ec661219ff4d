"""One living gateway for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.gateway.living import Living, living, loaded


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with living(tmp_path_factory.mktemp("gateway")) as found:
        yield found


@pytest.fixture(scope="package")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with loaded(tmp_path_factory.mktemp("loaded")) as found:
        yield found
