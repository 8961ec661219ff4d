"""A real S3 server for tests: SeaweedFS from its wheel, on this machine alone, gone when its block ends."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED
from minio.error import MinioException
from minio.versioningconfig import VersioningConfig

REGION = "us-east-1"
PEOPLE = {"house": "the-house-secret", "successor": "the-successors-secret", "stranger": "the-strangers-secret"}
"""Access keys and secrets; the stranger is known to the server and may do nothing here."""


@dataclass(slots=True)
class Seaweed:
    """A running server."""

    folder: Path
    process: subprocess.Popen[bytes]
    endpoint: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def client(self, endpoint: str | None = None) -> Minio:
        """The SDK itself, which sees what really lies there."""
        access, secret = next(iter(PEOPLE.items()))
        http = urllib3.PoolManager(retries=False, timeout=10)
        return Minio(endpoint or self.endpoint, access, secret, secure=False, region=REGION, http_client=http)

    def bucket(self, *, locked: bool = False, versioned: bool = False) -> str:
        """A new bucket."""
        name, client = f"bucket-{next(self.numbers)}", self.client()
        client.make_bucket(name, object_lock=locked)
        if versioned:
            client.set_bucket_versioning(name, VersioningConfig(ENABLED))
        return name

    def kill(self) -> None:
        """End it as a power cut does."""
        _end(self.process)

    def restart(self) -> None:
        """Start it again on what it has on its disk, at another endpoint."""
        self.process, self.endpoint = _start(self.folder)


def key_files(folder: Path, name: str = "house", secret: str | None = None) -> tuple[Path, Path]:
    """Files with somebody's credentials."""
    folder.mkdir(exist_ok=True)
    access_file, secret_file = folder / "s3.access", folder / "s3.secret"
    access_file.write_text(name + "\n", "ascii")
    secret_file.write_text((secret or PEOPLE[name]) + "\n", "ascii")
    return access_file, secret_file


@contextmanager
def seaweed() -> Iterator[Seaweed]:
    """A server of one's own, for tests that kill it."""
    folder = Path(tempfile.mkdtemp(prefix="seaweed-"))
    try:
        process, endpoint = _start(folder)
        server = Seaweed(folder=folder, process=process, endpoint=endpoint)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def shared() -> Seaweed:
    """The server that all tests of this process share; started by the first that asks."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(seaweed())


def _start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    (folder / "objects").mkdir(exist_ok=True)
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": name, "secretKey": secret}],
            "actions": ["Read:elsewhere"] if name == "stranger" else ["Admin", "Read", "Write", "List", "Tagging"],
        }
        for name, secret in PEOPLE.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    for _ in range(3):  # another program may take a port between our look and the server's
        process, endpoint = _spawn(folder)
        if _ready(Seaweed(folder=folder, process=process, endpoint=endpoint)):
            return process, endpoint
        _end(process)
    raise RuntimeError((folder / "log").read_text("utf-8", "replace")[-4000:])


def _spawn(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = _free_ports(8)
    command = [
        str(Path(sys.executable).parent / "weed"), "-logtostderr=true", "server", f"-dir={folder / 'objects'}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.electionTimeout=1s", "-master.heartbeatInterval=100ms", "-master.volumeSizeLimitMB=64",
        "-volume.max=1000", f"-master.port={master}", f"-master.port.grpc={master_grpc}", f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}", "-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}",
        "-s3", f"-s3.config={folder / 's3.json'}", f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
    ]  # fmt: skip
    # Without these keys the filer's own port would take anybody's word, past every lock of S3.
    keys = ["JWT_SIGNING_KEY", "JWT_SIGNING_READ_KEY", "JWT_FILER_SIGNING_KEY", "JWT_FILER_SIGNING_READ_KEY"]
    environment = {**os.environ, "HOME": str(folder), **{f"WEED_{key}": os.urandom(16).hex() for key in keys}}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    return process, f"127.0.0.1:{s3}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it, and remove the sockets that it leaves in /tmp, named by its ports."""
    process.kill()
    process.wait()
    ports = {str(argument).rpartition("=")[2] for argument in process.args if ".port" in str(argument)}
    for file in Path("/tmp").glob("seaweedfs-*.sock"):
        if file.stem.rpartition("-")[2] in ports:
            file.unlink(missing_ok=True)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def _ready(server: Seaweed) -> bool:
    """Wait until an object can be stored."""
    client = server.client()
    for _ in range(600):
        if server.process.poll() is not None:
            return False
        with contextlib.suppress(MinioException, urllib3.exceptions.HTTPError):
            if not client.bucket_exists("ready"):
                client.make_bucket("ready")
            client.put_object("ready", "ready", io.BytesIO(b"ready"), 5)
            return True
        time.sleep(0.1)
    return False
