"""Settings: one frozen class, read from the home's settings.toml and from SANDBOX_ variables; secrets are paths."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from sandbox.errors import Position, RequestError
from sandbox.names import nearest

FILE = "settings.toml"

_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9][A-Za-z0-9._/-]{0,99})?)?")
_WITNESS = r"^[^\s+]+\+[0-9a-f]{8}\+\S+ https?://\S+$"


_PLACES = frozenset(
    {
        "host", "port", "metrics_port", "traces", "tls_certificate", "tls_key", "root_key", "log_key", "log_vkey",
        "database_password", "s3_access_key", "s3_secret_key", "s3_ca", "work", "ray_address", "ray_home",
    }
)  # fmt: skip
"""Settings that say where something is on one machine."""

_PREFIX = "sandbox_"
_NO_SETTINGS = frozenset({"url", "key", "crash_at"})
"""Variables of the client, and of the fault tests; `SANDBOX_KEY_…` are the demo's."""
_NEAR = 0.75
"""How like a setting's name a variable must be to be taken for a slip of the pen; others may be other programs'."""


def _network(value: str) -> str:
    ip_network(value)  # raises the ValueError that pydantic expects
    return value


def _place_of_objects(value: str) -> str:
    if "://" in value and not _BUCKET.fullmatch(value):
        raise ValueError
    return value


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host, or be reached by its name."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(BaseSettings):
    """Everything that may differ between two gateways. Relative paths are below the home."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", frozen=True, extra="forbid")

    log_name: Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\s+]+$")]
    """Origin of the log, in every checkpoint: names this gateway to auditors. Written by `init`."""
    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs `tls_certificate` and `tls_key`, or `trusted_proxies`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8321
    """Port to listen on; 0 takes a free one."""
    tls_certificate: Path | None = None
    """PEM file with the certificate chain."""
    tls_key: Path | None = None
    """PEM file with the certificate's private key."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Addresses or networks of the proxies that end TLS in front; when set, nobody else is answered."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port on 127.0.0.1 where Prometheus reads metrics; 0 opens none."""
    traces: Path | None = None
    """File that gets a JSON line for every span; none writes no traces."""
    root_key: Path = Path("keys/root.key")
    """File of the root key, mode 0600: it wraps every other key."""
    log_key: Path = Path("keys/log.key")
    """File of the log's signing key, mode 0600."""
    log_vkey: Path = Path("log.vkey")
    """File of the log's public key, to hand to auditors."""
    log_retention_days: Annotated[int, Field(ge=1, le=36_500)] = 180
    """Days for which the store may not give up the log's checkpoints, where it can lock objects (six months by law)."""
    witnesses: tuple[Annotated[str, Field(max_length=1000, pattern=_WITNESS)], ...] = ()
    """Witnesses of the log, each as `VKEY URL`: the public key, a space, the address that takes submissions."""
    start_without_witnesses: bool = False
    """Begin to write although no witness says what it holds; else the home is read-only until one of them does."""
    database: Annotated[str, Field(min_length=1)] = "sandbox.db"
    """Ledger, log and catalogue: an SQLite file, or `postgresql://user@host:port/name`."""
    database_password: Path | None = None
    """File of the database's password; read again for every connection."""
    database_pool: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections of this process for writing, and as many for reading, on PostgreSQL."""
    objects: Annotated[str, Field(min_length=1), AfterValidator(_place_of_objects)] = "objects"
    """Sealed objects: a folder, or `s3://bucket/prefix`."""
    s3_endpoint: str | None = None
    """`host:port` of the S3 server."""
    s3_region: Annotated[str, Field(min_length=1)] = "us-east-1"
    """Region that requests to the S3 server are signed for."""
    s3_access_key: Path | None = None
    """File of the S3 access key."""
    s3_secret_key: Path | None = None
    """File of the S3 secret key, and of a session token on its second line if there is one; read again when refused."""
    s3_secure: bool = True
    """Whether the S3 server speaks TLS; without it only a server on this machine is used."""
    s3_ca: Path | None = None
    """PEM file of the authority that the S3 server's certificate must come from; none takes the system's."""
    s3_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Seconds in which the S3 server must have answered a request, all retries included."""
    work: Path = Path("work")
    """Folder for the process's lock and an ingest's sealed runs; nothing readable is ever left there."""
    sources: tuple[Path, ...] = (Path("sources"),)
    """Folders that manifests may read; a source's path is below one of them."""
    connectors: tuple[str, ...] = ("csv", "parquet")
    """Entry points of `sandbox.connectors` that are loaded; no other plug-in is."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads of the executor; 0 takes one per core."""
    executor: Literal["threads", "ray"] = "threads"
    """Where the kernel runs: in this process, or on a Ray cluster."""
    ray_address: Annotated[str, Field(min_length=1)] = "auto"
    """Where the cluster is, as `ray.init` takes it: `host:port`, or `auto` for the one that this machine is part of."""
    ray_actors: Annotated[int, Field(ge=1, le=4096)] = 2
    """Workers on the cluster, of one core each."""
    ray_home: Path | None = None
    """The home's folder on the cluster's machines, with settings and root key; none takes this home's own path."""
    ray_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """Seconds in which the cluster must have done its part of one question."""
    cache_mb: Annotated[int, Field(ge=16, le=1_000_000)] = 400
    """Memory for opened parts of sealed files, in MB."""
    query_slots: Annotated[int, Field(ge=0, le=256)] = 0
    """Queries that plan, pay and compute at one time, at most half of them one tenant's; 0 takes one per core.

    A query pays only when it has a slot, so that it computes at once: waiting behind others after the charge would
    make its answer late, and a late answer is never given.
    """
    query_queue: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Queries of one tenant that may wait for a slot; one more is refused."""
    body_limit: Annotated[int, Field(ge=65_536, le=1 << 30)] = 12_000_000
    """Largest request body, in bytes."""
    body_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Seconds in which a request must have arrived, and in which a caller must take each piece of an answer."""
    request_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Seconds in which a route must begin its answer; questions wait for their slot and their rung instead."""
    connections: Annotated[int, Field(ge=16, le=100_000)] = 2000
    """Connections at one time; one more is closed at once."""
    requests_in_flight: Annotated[int, Field(ge=16, le=100_000)] = 1024
    """Requests under way at one time, at most half of them one caller's; one more is refused."""
    open_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 6000
    """Requests a minute and address to what needs no key."""
    tenant_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 6000
    """Requests a minute and organisation."""
    bad_keys_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 30
    """Failed authentications a minute and address before they are refused unlogged."""
    denials_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 60
    """Denials a minute and principal that are written to the log."""
    drain_seconds: Annotated[int, Field(ge=0, le=600)] = 0
    """How long a stopping gateway goes on taking requests while its readiness is red, so that others get them first."""
    stop_seconds: Annotated[int, Field(ge=1, le=600)] = 20
    """How long a stop waits for answers under way."""
    free_disk_mb: Annotated[int, Field(ge=0)] = 1024
    """Free disk space, in MB, below which `doctor` complains."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much the process tells on standard error."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables come before the file (which arrives as arguments); nothing else is read."""
        return env_settings, init_settings

    def loopback(self) -> bool:
        """True when only this machine can reach `host`."""
        return is_loopback(self.host)

    def database_in(self, home: Path) -> str | Path:
        """The database's URL, or its file below the home."""
        return self.database if "://" in self.database else home / self.database

    def bucket(self) -> tuple[str, str] | None:
        """Bucket and prefix of the sealed objects; None where they lie in a folder."""
        found = _BUCKET.fullmatch(self.objects)
        return (found[1], found[2] or "") if found else None

    def password_in(self, home: Path) -> Path | None:
        """The file of the database's password."""
        return None if self.database_password is None else home / self.database_password

    def digest(self, digest: Callable[[bytes], bytes]) -> str:
        """The suite's digest over the settings, to compare two processes of one home.

        What may differ between machines is left out: where a process listens, and where its files lie.
        """
        values = self.model_dump(mode="json", exclude=set(_PLACES))
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return digest(canonical.encode()).hex()


def load(home: Path, **overrides: str | int | None) -> Settings:
    """The settings of a home: defaults, then its file, then SANDBOX_ variables, then `overrides` that are not None.

    Raises:
        RequestError: `home_missing`, `settings_unreadable` with the place, or what `checked` raises.
    """
    file = home / FILE
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise RequestError("home_missing", home=str(home)) from None
    except tomllib.TOMLDecodeError as e:
        raise RequestError("settings_unreadable", file=str(file), position=_place(str(e), str(file))) from None
    except (OSError, UnicodeDecodeError):
        raise RequestError("settings_unreadable", file=str(file)) from None
    # Flags beat variables, which beat the file; the command line has checked their types.
    return checked(values, str(file)).model_copy(update={k: v for k, v in overrides.items() if v is not None})


def checked(values: dict[str, object], file: str) -> Settings:
    """Settings from already read values.

    Raises:
        RequestError: `settings_invalid` naming the first setting that is wrong, never its value; `variable_invalid` if
            a variable has set it; `variable_unknown`, a variable that must be meant for a setting and names none.
    """
    variables = {name.lower().removeprefix(_PREFIX): name for name in os.environ if name.lower().startswith(_PREFIX)}
    _check_names(variables)
    try:
        return Settings(**values)  # type: ignore[arg-type]  # pydantic checks the types that a TOML file cannot promise
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False, include_context=False)[0]
        setting = ".".join(str(part) for part in first["loc"]) or "-"
        if (variable := variables.get(setting.partition(".")[0])) is not None:
            raise RequestError("variable_invalid", variable=variable, setting=setting, problem=first["type"]) from None
        raise RequestError("settings_invalid", file=file, setting=setting, problem=first["type"]) from None
    except SettingsError as e:
        # A variable that is not the JSON it should be; the text names the field between the first quotes.
        setting = str(e).partition('"')[2].partition('"')[0] or "-"
        variable = variables.get(setting, "-")
        raise RequestError("variable_invalid", variable=variable, setting=setting, problem="json_invalid") from None


def _check_names(variables: Mapping[str, str]) -> None:
    """Refuse what is nearly a setting: pydantic reads the variables that it knows, and is silent about the others."""
    for word, variable in sorted(variables.items()):
        if word in Settings.model_fields or word in _NO_SETTINGS or word.startswith("key_"):
            continue
        near = nearest(word, Settings.model_fields, cutoff=_NEAR)
        if near is not None:
            raise RequestError("variable_unknown", variable=variable, nearest=f"{_PREFIX}{near}".upper())


def _place(message: str, file: str) -> Position | None:
    # tomllib tells the place in its text only on Python 3.11: "… (at line 3, column 7)".
    head, _, tail = message.rpartition("(at line ")
    line, _, column = tail.rstrip(")").partition(", column ")
    if head and line.isdigit() and column.isdigit():
        return Position(line=int(line), column=int(column), file=file)
    return None
