"""The export: the folder that an auditor takes away, in the layout of C2SP tlog-tiles with the records beside it.

Source: C2SP tlog-tiles (https://c2sp.org/tlog-tiles).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from sandbox.audit.checkpoint import read_checkpoint, split_note
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.records import Plain, canonical
from sandbox.audit.tiles import HASH, WIDTH, Tiles, entries_path, pack_entries, tile_path
from sandbox.audit.verify import verify
from sandbox.errors import Conflict, IntegrityFailed


def write_export(
    folder: Path,
    note: str,
    bodies: Iterable[bytes],
    records: Iterable[tuple[str, Mapping[str, Plain]]],
) -> int:
    """Write the log and the records of one instant into a new or empty folder; gives the number of events.

    `bodies` are the canonical events that the checkpoint `note` covers, in order; `records` are (path, plain values).
    Both are taken one by one, so memory stays small. `checkpoint` comes last: a folder without it is half done.

    Raises:
        Conflict: `export_folder_used`.
        IntegrityFailed: `export_incomplete`, there are fewer or more events than the checkpoint says, or their root is
            another; `entry_too_long`, `note_malformed`.
        OSError: the folder cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("export_folder_used", folder=str(folder))
    _, size, root = read_checkpoint(split_note(note)[0])
    tree = _write_tiles(folder, ((body, leaf_hash(body)) for body in bodies))
    if tree.size != size or tree.root() != root:
        raise IntegrityFailed("export_incomplete", size=size, found=tree.size)
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for path, values in records:
            table = path.partition("/")[0]
            if table not in files:
                files[table] = stack.enter_context(_new(folder / "records" / f"{table}.jsonl").open("wb"))
            files[table].write(record_line(path, values))
    _new(folder / "checkpoint").write_text(note, "utf-8")
    return size


def record_line(path: str, values: Mapping[str, Plain]) -> bytes:
    """A record as the export holds it: the digest that the log carries is that of the bytes after `"values":`."""
    return b'{"path":%s,"values":%s}\n' % (json.dumps(path, ensure_ascii=False).encode(), canonical(values))


def verify_bundle(bundle: Mapping[str, Any], vkey: str, papers: Iterable[str] = ()) -> list[str]:
    """What is wrong with everything as one JSON value (checkpoint, entries, records), in words, as for an export."""
    found: list[str] = []
    try:
        if bundle["v"] != 1:
            return [f"the bundle is of version {bundle['v']}, this verifier reads version 1"]
        for place, entry in enumerate(bundle["entries"]):
            if entry["index"] != place:
                found.append(f"event {place}: is not where its index {entry['index']} says")
        with TemporaryDirectory() as name:
            folder = Path(name)
            told = [(e["body"], e["leaf"]) for e in bundle["entries"]]
            _write_tiles(folder, [(base64.b64decode(body, validate=True), bytes.fromhex(leaf)) for body, leaf in told])
            lines = [record_line(path, values) for path, values in bundle["records"].items()]
            _new(folder / "records" / "all.jsonl").write_bytes(b"".join(lines))
            (folder / "checkpoint").write_text(bundle["checkpoint"], "utf-8")
            return found + verify(folder, vkey, papers)[0]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, IntegrityFailed) as problem:
        return [*found, f"the bundle is malformed: {problem!r}"]


def _write_tiles(folder: Path, entries: Iterable[tuple[bytes, bytes]]) -> Tiles:
    """Bundles of bodies and tiles of their leaves as they come, then the tiles above, of which there is one in 256."""
    above: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes | None:
        return above.get((level, index))

    tree = Tiles(read, 0)
    for bundle in _bundles(entries):
        index, width = tree.size // WIDTH, len(bundle)
        _new(folder / entries_path(index, width)).write_bytes(pack_entries([body for body, _ in bundle]))
        leaves = [leaf for _, leaf in bundle]
        _, changed = tree.grow(leaves)
        tile = b"".join(leaves)
        _new(folder / tile_path(0, index, width)).write_bytes(tile)
        above |= {place: hashes for place, hashes in changed.items() if place[0] > 0}
        tree = Tiles(read, tree.size + width, tile if width < WIDTH else b"")
    for (level, place), hashes in above.items():
        _new(folder / tile_path(level, place, len(hashes) // HASH)).write_bytes(hashes)
    return tree


def _bundles(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    bundle: list[tuple[bytes, bytes]] = []
    for entry in entries:
        bundle.append(entry)
        if len(bundle) == WIDTH:
            yield bundle
            bundle = []
    if bundle:
        yield bundle


def _new(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
