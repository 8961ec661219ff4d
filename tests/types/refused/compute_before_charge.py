from sandbox.flow import Exact, Priced
from sandbox.query.kernel.compute import compute
from sandbox.query.kernel.task import Bench


def swapped(priced: Priced, bench: Bench) -> Exact:
    return compute(priced, bench)  # refused: arg-type
