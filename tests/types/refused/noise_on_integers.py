from sandbox.flow import Ints, Noisy
from sandbox.query.release.noise import noise


def unguarded(values: Ints) -> Noisy:
    return noise(values)  # refused: arg-type
