"""Asks a gateway whether it is ready, for a container's health check; exits with 0 when it is."""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    """Ask the address that the gateway's own settings name."""
    connection = http.client.HTTPConnection(os.environ["SANDBOX_HOST"], int(os.environ["SANDBOX_PORT"]), timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return 0 if connection.getresponse().status == 200 else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
