"""The client: ask a gateway over HTTP and get Arrow tables; needs nothing of the server."""

from sandbox.client.client import Client
from sandbox.client.http import ProblemError

__all__ = ["Client", "ProblemError"]
