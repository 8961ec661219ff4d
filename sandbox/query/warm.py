"""What a process does before its first question, so that the first takes no longer than the next."""

from __future__ import annotations

import numpy as np

from sandbox.privacy import mechanisms
from sandbox.privacy.mechanisms import Mechanism
from sandbox.query.engines import Engines
from sandbox.query.parse import parse_select


def warm(engines: Engines) -> None:
    """Open the engines, load the libraries' lazy parts, draw noise over zeros; nothing protected is touched."""
    engines.warm()
    parse_select("SELECT count(*) FROM warm WHERE up = 1")
    kinds: tuple[Mechanism, ...] = ("laplace", "gaussian")
    for mechanism in kinds:
        mechanisms.loss(mechanism, sensitivity=1, scale=1.0)
        mechanisms.add_noise(mechanism, scale=1.0, values=np.zeros(1, np.int64))
