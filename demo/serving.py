"""`make serve` and `make stop`: a gateway left running with the demo's home."""

from __future__ import annotations

import socket
import sys

from demo import stage, walk

PORT = 8321


def start() -> None:
    """Start the gateway (walking the demo first where there is no home yet) and say how to try it."""
    if not stage.HOME.exists() or not stage.read_env():
        walk.main()
    values = stage.read_env()
    if stage.running() is not None and stage.alive(values["SANDBOX_URL"]):
        url = values["SANDBOX_URL"]
    else:
        stage.stop()
        url = stage.start(PORT if _free(PORT) else 0)
    stage.write_env(values | {"SANDBOX_URL": url})
    sys.stdout.write(
        f"The gateway runs at {url} with the demo's home. 网关正在运行。\n"
        "Try it 试一试:\n"
        "  set -a; . .demo/env; SANDBOX_KEY=$SANDBOX_KEY_COMPANY; set +a; . .venv/bin/activate\n"
        '  sandbox query "SELECT year, count(*), avg(docvis) FROM health.rwm5yr GROUP BY year" --epsilon 0.1\n'
        "  sandbox grant list\n"
        f"  {url}/openapi.json describes the HTTP interface. Keys for each part stand in .demo/env.\n"
        "Stop it 停止: make stop\n"
    )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def stop() -> None:
    """Stop the gateway."""
    sys.stdout.write("Stopped. 已停止。\n" if stage.stop() else "Nothing runs. 没有运行中的网关。\n")


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]]()
