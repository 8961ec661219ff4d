from sandbox.flow import Exact
from sandbox.query.paid import store
from sandbox.query.parts import Parts


def leak(parts: Parts, exact: Exact) -> None:
    store(parts, exact)  # refused: arg-type
