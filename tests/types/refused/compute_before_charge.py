from sandbox.flow import Exact, Priced
from sandbox.query.kernel.compute import Bench, compute


def swapped(priced: Priced, bench: Bench) -> Exact:
    return compute(priced, bench)  # refused: arg-type
