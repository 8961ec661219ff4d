"""A backup read back: its manifest's signature and every file's digest are checked before anything of it is used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sandbox.audit.checkpoint import open_signed, vkey
from sandbox.crypto.keys import load_log_key
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed, RequestError
from sandbox.work.backup import FORMAT, MANIFEST, NOTE, SETTINGS, VKEY, note_text, told

_PIECE: Final = 1 << 20


class Backup:
    """A backup's folder whose every file is what its manifest says."""

    def __init__(self, folder: Path, keys: Path | None) -> None:
        """Read the manifest and check all digests.

        With `keys` the manifest's signature is checked by the log key in there; else by the public key that lies beside
        it, which tells damage, but not a forger.

        Raises:
            RequestError: `backup_missing`.
            IntegrityFailed: `backup_damaged` with the file, `backup_newer`, `restore_key_differs`, `log_key_mode`,
                `key_file_malformed`.
            DependencyFailed: `backup_failed`, `key_file_failed`.
        """
        self.folder = folder
        if not (folder / MANIFEST).is_file():
            raise RequestError("backup_missing", folder=str(folder))
        with told(folder):
            raw, note = self._small(MANIFEST), self._small(NOTE).decode("utf-8", "replace")
            self.vkey = self._small(VKEY).decode("utf-8", "replace").strip()
            if keys is not None:
                self._check_key(keys)
            self.manifest = self._signed(raw, note)
            for name, file in sorted(self.manifest["files"].items()):
                self._check(name, file)

    @property
    def backup(self) -> str:
        """Its id."""
        return str(self.manifest["backup"])

    @property
    def settings(self) -> str:
        """The settings of the home that was backed up."""
        return self._small(SETTINGS).decode("utf-8")

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of one of its files, which must be those that were checked.

        Raises:
            IntegrityFailed: `backup_damaged`: it was changed since.
        """
        digest = INTL.new_digest()
        with (self.folder / name).open("rb") as file:
            for line in file:
                digest.update(line)
                yield line
        if digest.hexdigest() != self.manifest["files"][name]["sha256"]:
            raise IntegrityFailed("backup_damaged", file=name)

    def _check_key(self, keys: Path) -> None:
        private = load_log_key(keys / "log.key")
        name = self.vkey.partition("+")[0]
        if vkey(name, INTL.public_key(private)) != self.vkey:
            raise IntegrityFailed("restore_key_differs", key="log.key")

    def _signed(self, raw: bytes, note: str) -> dict[str, Any]:
        try:
            manifest: dict[str, Any] = json.loads(raw)
            text = open_signed(note, self.vkey)
            if manifest["v"] != FORMAT:
                raise IntegrityFailed("backup_newer", release=str(manifest["release"]))
            expected = note_text(manifest["log"]["name"], manifest["backup"], INTL.digest(raw).hex())
        except (ValueError, LookupError, TypeError, AttributeError):
            raise IntegrityFailed("backup_damaged", file=MANIFEST) from None
        except IntegrityFailed as error:
            if error.code == "backup_newer":
                raise
            raise IntegrityFailed("backup_damaged", file=NOTE) from None
        if text != expected:
            raise IntegrityFailed("backup_damaged", file=MANIFEST)
        return manifest

    def _check(self, name: str, file: Mapping[str, Any]) -> None:
        path, digest, size = self.folder / name, INTL.new_digest(), 0
        if not path.is_file():
            raise IntegrityFailed("backup_damaged", file=name)
        with path.open("rb") as opened:
            while piece := opened.read(_PIECE):
                digest.update(piece)
                size += len(piece)
        if size != file["size"] or digest.hexdigest() != file["sha256"]:
            raise IntegrityFailed("backup_damaged", file=name)

    def _small(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise IntegrityFailed("backup_damaged", file=name) from None
