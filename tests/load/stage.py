"""A gateway to put under load: a home with the demo's data and several companies, served by the real command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from demo.sources import write_sources
from sandbox.cli.home import make_home

ROOT = Path(__file__).parents[2]
SANDBOX = Path(sys.executable).parent / "sandbox"
DATASETS = {"health.rwm5yr": "patients", "transport.flights": "aircraft"}
OWNER = "city-data-bureau"


@dataclass(slots=True)
class Stage:
    """A served home: its address, its people's keys, and the grants of each company by dataset."""

    home: Path
    url: str
    keys: dict[str, str] = field(default_factory=dict)
    grants: dict[str, dict[str, str]] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, *, part: str) -> Any:
        """One request, which must succeed."""
        headers = {"Authorization": f"Bearer {self.keys[part]}"}
        with httpx2.Client(base_url=self.url, trust_env=False, timeout=60) as client:
            response = client.request(method, path, json=body, headers=headers)
        if response.status_code >= 300:
            raise SystemExit(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()


@contextmanager
def served(folder: Path, companies: int, settings: str) -> Iterator[Stage]:
    """A fresh home below a folder, furnished and served until the end of the block."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    made = make_home(folder / "home", "operator")
    with (made.home / "settings.toml").open("a") as file:
        file.write(settings)
    write_sources(made.home / "sources" / OWNER)
    with running(made.home, folder / "gateway.log") as url:
        stage = Stage(made.home, url, {"operator": made.key})
        furnish(stage, companies)
        yield stage


@contextmanager
def running(home: Path, log: Path) -> Iterator[str]:
    """`sandbox serve` on a free port; gives its address once it answers."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SANDBOX_")}
    with log.open("wb") as err:
        gateway = subprocess.Popen(
            [SANDBOX, "serve", str(home), "--port", "0"], stdout=subprocess.PIPE, stderr=err, env=environment, text=True
        )
        try:
            assert gateway.stdout is not None
            line = gateway.stdout.readline()
            if not line.startswith("ready on "):
                raise SystemExit(f"The gateway did not start: see {log}")
            yield line.split()[2]
        finally:
            gateway.send_signal(signal.SIGTERM)
            if gateway.wait(60) != 0:
                raise SystemExit(f"The gateway ended with {gateway.returncode}: see {log}")


def furnish(stage: Stage, companies: int) -> None:
    """People, populations, datasets, and for every company a grant for each dataset."""
    people = [
        (OWNER, "owner", {"steward": "steward"}),
        ("data-committee", "committee", {"member1": "committee", "member2": "committee"}),
        ("audit-office", "supervisor", {"auditor": "auditor"}),
        *((f"company-{n}", "company", {f"company-{n}": "engineer"}) for n in range(companies)),
    ]
    for tenant, kind, members in people:
        stage.call("POST", "/v1/tenants", {"name": tenant, "kind": kind}, part="operator")
        for name, role in members.items():
            body = {"name": name, "tenant": tenant, "roles": [role]}
            stage.keys[name] = stage.call("POST", "/v1/principals", body, part="operator")["key"]
    for dataset, population in DATASETS.items():
        declare(stage, "populations", population)
        accepted = declare(stage, "manifests", dataset.rpartition(".")[2])
        while True:
            ingest = stage.call("GET", f"/v1/ingests/{accepted['ingest']}", part="steward")
            if ingest["state"] in {"committed", "failed"}:
                break
            time.sleep(0.1)
        if ingest["state"] == "failed":
            raise SystemExit(f"{dataset}: {ingest['error']}")
    for n in range(companies):
        stage.grants[f"company-{n}"] = {name: grant(stage, f"company-{n}", name) for name in DATASETS}


def declare(stage: Stage, kind: str, name: str) -> Any:
    """Register one of the demo's populations or datasets."""
    file = ROOT / "demo" / kind / f"{name}.yaml"
    path = "/v1/populations" if kind == "populations" else "/v1/datasets"
    return stage.call("POST", path, {"file": file.name, "text": file.read_text("utf-8")}, part="steward")


def grant(stage: Stage, company: str, dataset: str) -> str:
    """Apply, consent where it is wanted, approve twice."""
    terms = {
        "scenario": "load", "purpose": "load", "datasets": [dataset], "actions": ["query"], "epsilon": "1",
        "expires_at": "2099-12-31",
    }  # fmt: skip
    application = stage.call("POST", "/v1/applications", terms, part=company)
    path = f"/v1/applications/{application['id']}"
    if application["state"] == "consent_pending":
        stage.call("POST", f"{path}/consent", {"dataset": dataset, "approve": True}, part="steward")
    for member in ("member1", "member2"):
        application = stage.call("POST", f"{path}/vote", {"approve": True}, part=member)
    return str(application["grant"])
