from sandbox.flow import Noisy
from sandbox.query.paid import settle
from sandbox.query.parts import Parts


def early(parts: Parts, noisy: Noisy) -> None:
    settle(parts, noisy)  # refused: arg-type
