"""One city for the flow tests: the real app over HTTP, data ingested, one grant."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import City, city
from tests.trips import some_rows


@pytest.fixture(scope="session")
def town() -> Iterator[City]:
    with tempfile.TemporaryDirectory() as folder, city(Path(folder)) as it:
        it.load(some_rows())
        it.grant()
        yield it
