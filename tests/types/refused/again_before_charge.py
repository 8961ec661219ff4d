"""A further release draws noise although only priced, not charged."""

from sandbox.flow import Exact, Priced
from sandbox.query.release.noise import noise


def again(exact: Exact, priced: Priced) -> None:
    noise(exact, priced)  # refused: arg-type
