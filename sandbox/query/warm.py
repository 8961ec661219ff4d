"""What a process does before its first question, so that the first takes no longer than the next."""

from __future__ import annotations

import numpy as np

from sandbox.privacy import mechanisms
from sandbox.query.kernel.engines import Engines
from sandbox.query.kernel.labels import positions
from sandbox.query.language.parse import parse_query


def warm(engines: Engines) -> None:
    """Open the engines, load the libraries' lazy parts, draw noise over zeros; nothing protected is touched."""
    table = engines.warm()
    # PyArrow looks for pandas when it first makes an array, and loads all of it if it is there: a second.
    positions(("a", None), table.column("k"))
    table.column("n").to_numpy()
    parse_query("SELECT count(*) FROM warm WHERE up = 1")
    for mechanism in ("laplace", "gaussian"):
        mechanisms.loss(mechanism, sensitivity=1, scale=1.0)
        mechanisms.add_noise(mechanism, scale=1.0, values=np.zeros(1, np.int64))
