from sandbox.flow import Exact
from sandbox.query.answer import Parts, settle


def leak(parts: Parts, exact: Exact) -> None:
    settle(parts, exact)  # refused: arg-type
