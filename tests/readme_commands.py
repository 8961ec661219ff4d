"""Prints the commands of README's shell blocks, but for `make test`, one a line: CI runs them in a fresh clone."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def commands(text: str) -> list[str]:
    """Every line of every ```sh block; a trailing backslash joins lines."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [line.split("  #")[0].rstrip() for line in lines if line.strip() and not line.startswith("#")]
    return [line for line in dict.fromkeys(found) if line != "make test"]


if __name__ == "__main__":
    sys.stdout.write("\n".join(commands(Path(sys.argv[1]).read_text("utf-8"))) + "\n")
