"""docs/manifest.md and the demo's declarations are manifests that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.ingest.manifest import parse_manifest, parse_population

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "manifest.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_page_has_a_population_a_dataset_and_a_public_table() -> None:
    population, dataset, public = BLOCKS
    assert parse_population(population, "docs").name == parse_manifest(dataset, "docs").population
    assert parse_manifest(public, "docs").public


@pytest.mark.parametrize("file", sorted((ROOT / "demo" / "populations").glob("*.yaml")), ids=lambda f: f.stem)
def test_the_demos_populations(file: Path) -> None:
    assert parse_population(file.read_text("utf-8"), file.name).registered_provenance.source


@pytest.mark.parametrize("file", sorted((ROOT / "demo" / "manifests").glob("*.yaml")), ids=lambda f: f.stem)
def test_the_demos_manifests(file: Path) -> None:
    spec = parse_manifest(file.read_text("utf-8"), file.name)
    populations = {parse_population(f.read_text("utf-8"), f.name).name for f in (ROOT / "demo" / "populations").glob("*.yaml")}
    assert spec.public or spec.population in populations
    assert all(p.source for c in spec.columns for p in c.provenance.values())
