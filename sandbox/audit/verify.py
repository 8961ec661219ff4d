"""The auditor's verifier: proves log, records, ledger and grants from an export and the public key, and runs alone.

    python verify.py FOLDER --key VKEY|@FILE [--earlier NOTE]... [--receipt FILE]... [--witness VKEY|@FILE]...

It needs Python 3.11, `cryptography`, and books.py and rows.py beside it. A signature proves nothing against its
key's holder: keep checkpoints, receipts and cosignatures elsewhere.
Source: RFC 6962 (tree), RFC 8785 (JSON), https://c2sp.org/{signed-note,tlog-checkpoint,tlog-cosignature,tlog-tiles}.
"""

from __future__ import annotations

import argparse
import gc
import json
import marshal
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if __package__:
    from sandbox.audit import books, rows
else:  # alone
    import books  # type: ignore[import-not-found, no-redef]
    import rows  # type: ignore[import-not-found, no-redef]

MALFORMED = (*books.MALFORMED, InvalidSignature)
EVENTS = 1 << 14  # what a process reads at a time
NOTE, PAPER, AHEAD = 1 << 16, 1 << 20, 64  # the longest note and receipt; how many pieces of a file are under way


def verify(
    folder: Path, vkey: str, papers: Iterable[str] = (), witnesses: Iterable[str] = ()
) -> tuple[list[str], books.Books]:
    """What is wrong with an export, or with papers (checkpoints, receipts) kept by others, in words; and the books."""
    raw = rows.take(folder / "checkpoint", NOTE)
    note = raw.decode(errors="replace") if len(raw) <= NOTE else ""
    kept = books.Books(lambda text: sha256(text).hexdigest())
    try:
        size, signed_root = open_note(note, vkey)
    except MALFORMED as problem:
        return [f"the checkpoint is not signed by this key: {problem!r}"], kept
    tree = Tree(folder, size)
    found = [*read_all(tree, kept), *tree.check()]
    if tree.root(size) != signed_root:
        found.append(f"the checkpoint of {size} events does not sign these: some were changed, removed or added")
    # its own checkpoint is new; the newest that witnesses signed lies beside it
    older = rows.take(folder / "cosigned", NOTE).decode(errors="replace") if (folder / "cosigned").exists() else ""
    found += [wrong for paper in (*papers, *filter(None, [older])) for wrong in tree.holds(paper, vkey)]
    for witness in witnesses:
        if not any(cosigned_by(text, witness) for text in (note, older)):
            found.append(f"no checkpoint of this export is cosigned by {witness.partition('+')[0]}")
    return found, kept


def cosigned_by(note: str, witness: str) -> bool:
    """Whether the note bears a cosignature of that key."""
    try:
        return bool(open_note(note, witness, 4))
    except MALFORMED:
        return False


def read_all(tree: Tree, kept: books.Books) -> Iterator[str]:
    """Records, then events in order, each part by as many processes as there are cores; then both are compared."""
    bundles = sum(1 for _ in tree.folder.glob("tile/entries/**/*"))
    size = min(tree.size, 512 * (bundles + 1))  # where most are missing, it is enough to have said so
    with TemporaryDirectory() as name, ProcessPoolExecutor(None, get_context("spawn"), gc.disable) as pool:
        spill, spread = rows.Spill(Path(name), 1 + size // EVENTS), pool.map if size > EVENTS else map
        seen = set[str]()
        for file in sorted(tree.folder.glob("records/*.jsonl")):
            if not file.is_file():
                yield f"records/{file.name}: is no regular file"
                continue
            starts, ends = range(0, file.stat().st_size, rows.BYTES), True
            while starts and ends:
                for wrong, records, ends_here in spread(partial(rows.read_records, spill, file), starts[:AHEAD]):
                    yield from wrong
                    kept.records |= records
                    ends = ends and ends_here
                starts = starts[AHEAD:]
        for wrong, roots, ids, booked in spread(partial(read_events, tree, spill), range(0, size, EVENTS)):
            yield from wrong
            tree.roots += roots
            yield from (f"event {id_}: comes twice" for id_ in ids.split("\n") if id_ in seen or seen.add(id_))  # type: ignore[func-returns-value]
            yield from (told for event in marshal.loads(booked) for told in kept.take(books.Event(*event)))  # noqa: S302
        for wrong in spread(partial(spill.compare, kept.lineage()), range(spill.parts)):
            yield from wrong
    yield from kept.close()


def open_note(note: str, vkey: str, kind: int = 1) -> tuple[int, bytes]:
    """Size and root of a checkpoint that the key signed (kind 4: cosigned); an exception says what is wrong."""
    name, key_hash, encoded = vkey.strip().split("+", 2)
    key = b64decode(encoded, validate=True)
    if key[0] != kind or sha256(name.encode() + b"\n" + key).hexdigest()[:8] != key_hash:
        raise ValueError("the public key does not match its own hash")
    text, _, lines = note.rpartition("\n\n")
    origin, size, signed_root, *_ = text.split("\n")
    for line in lines.split("\n")[:-1]:
        signer, _, encoded = line.rpartition(" ")
        made = b64decode(encoded, validate=True)
        exact = b64encode(made).decode() == encoded and made[:4].hex() == key_hash
        if signer == f"— {name}" and exact and (kind == 4 or origin == name):
            start, head = (4, "") if kind == 1 else (12, f"cosignature/v1\ntime {int.from_bytes(made[4:12])}\n")
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(made[start:], f"{head}{text}\n".encode())
            return int(size if size.isdecimal() else "no size"), b64decode(signed_root, validate=True)
    raise ValueError(f"no signature by {name} over its own log")


def root(hashes: list[bytes]) -> bytes:
    """The Merkle root over hashes (RFC 6962, 2.1): pairs are hashed, level by level; who has no other moves up."""
    while len(hashes) > 1:
        odd = hashes[-1:] if len(hashes) % 2 else []
        hashes = [sha256(b"\x01" + a + b).digest() for a, b in zip(hashes[::2], hashes[1::2], strict=False)] + odd
    return hashes[0] if hashes else sha256().digest()


@dataclass(slots=True)
class Tree:
    """The exported tiles of a log of one size, and the roots of its tiles of leaves (the last may be partial)."""

    folder: Path
    size: int
    roots: list[bytes] = field(default_factory=list)

    def read(self, level: object, index: int, width: int) -> tuple[str, bytes]:
        """The name of a tile or bundle (tile/0/x001/234, and .p/8 if only 8 wide), and its bytes, none if missing."""
        name = f"{index % 1000:03d}" + (f".p/{width}" if width < 256 else "")
        while index := index // 1000:
            name = f"x{index % 1000:03d}/{name}"
        name = f"tile/{level}/{name}"
        limit = 256 * 65537 if level == "entries" else 8192
        return name, rows.take(self.folder / name, limit) if (self.folder / name).is_file() else b""

    def leaves(self, index: int, found: list[str]) -> list[bytes]:
        """The hashes of a tile of leaves."""
        name, tile = self.read(0, index, width := min(256, self.size - 256 * index))
        if len(tile) != 32 * width:
            found.append(f"{name}: is missing, or does not hold {width} hashes")
        return [tile[at : at + 32] for at in range(0, len(tile), 32)]

    def bodies(self, index: int, found: list[str]) -> list[bytes]:
        """The events of a bundle, each behind its length in two bytes."""
        name, bundle = self.read("entries", index, width := min(256, self.size - 256 * index))
        bodies, at = list[bytes](), 0
        while at < len(bundle):
            end = at + 2 + int.from_bytes(bundle[at : at + 2])
            bodies.append(bundle[at + 2 : end])
            at = end
        if at != len(bundle) or len(bodies) != width:
            found.append(f"{name}: is missing, cut off, or does not hold {width} events")
        return bodies

    def root(self, size: int) -> bytes:
        """The root that this log had at an earlier size."""
        full, rest = divmod(size, 256)
        return root(self.roots[:full] + ([root(self.leaves(full, [])[:rest])] if rest else []))

    def check(self) -> Iterator[str]:
        """Every tile above the leaves holds the roots of the full ones below it."""
        hashes, level = self.roots[: self.size // 256], 1
        while hashes:
            parts = [hashes[start : start + 256] for start in range(0, len(hashes), 256)]
            for index, part in enumerate(parts):
                name, held = self.read(level, index, len(part))
                if held != b"".join(part):
                    yield f"{name}: is missing, or does not hold the {len(part)} roots of the tiles below it"
            hashes, level = [root(part) for part in parts if len(part) == 256], level + 1

    def holds(self, paper: str, vkey: str) -> Iterator[str]:
        """A checkpoint that somebody kept signs a beginning of this log, and a receipt's event stands in it."""
        what = "the receipt" if paper.startswith("{") else "the earlier checkpoint"
        try:
            receipt: Any = json.loads(paper) if paper.startswith("{") else {"checkpoint": paper}
            size, signed_root = open_note(receipt["checkpoint"], vkey)
            if size > self.size or self.root(size) != signed_root:
                yield f"{what} of {size} events does not sign a beginning of these {self.size}"
            elif "event" in receipt:
                leaf, index = sha256(b"\x00" + b64decode(receipt["event"], validate=True)).digest(), receipt["index"]
                if not 0 <= index < size or self.leaves(index // 256, [])[index % 256] != leaf:
                    yield f"{what}: its event is not event {index} of this log"
        except MALFORMED as problem:
            yield f"{what} is not signed by this key: {problem!r}"


def read_events(tree: Tree, spill: rows.Spill, first: int) -> tuple[list[str], list[bytes], str, bytes]:
    """Findings, roots of the tiles of leaves, ids, and what the books take; what is told of records is spilled."""
    found, roots, ids, booked, told_rows = list[str](), list[bytes](), list[str](), list[Any](), list[Any]()
    for index in range(first // 256, -(-min(tree.size, first + EVENTS) // 256)):
        leaves, bodies, read = tree.leaves(index, found), tree.bodies(index, found), list[Any]()
        for place, (body, leaf) in enumerate(zip(bodies, leaves, strict=False), 256 * index):
            try:
                value, _ = books.scan(text := body.decode(), 0)
                event = books.Event(
                    place, value["id"] + "", value["type"], value["actor"], value["at"], told := value["details"]
                )
                if event.type not in rows.TYPES or not rows.is_time(event.at):
                    found.append(f"{event}: there is no such type of event, or its time {event.at!r} is none")
                if "records" in told or event.type in books.STEPS:
                    told_rows += rows.told_of(event)
                if event.type in books.STEPS:
                    unread = () if event.type == "principal.create" else books.UNREAD
                    booked.append((*event[:5], {k: v for k, v in told.items() if k not in unread}))
                ids.append(event.id)
                read.append((event, value, text))
            except MALFORMED as problem:
                event = books.Event(place)
                found.append(f"{event}: its body is not the canonical form of a version 1 event: {problem!r}")
            if sha256(b"\x00" + body).digest() != leaf:
                found.append(f"{event}: its body does not hash to its leaf")
        found += [f"{event}: its body is not the canonical form of a version 1 event" for event in books.strange(read)]
        roots.append(root(leaves))
    spill.keep(f"1-{first:015d}", told_rows)
    return found, roots, "\n".join(ids), marshal.dumps(booked)


def main() -> int:
    """Read an export, print what was found, and tell by the exit code."""
    parser = argparse.ArgumentParser(description="Prove a sandbox's log, records, ledger and grants.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", required=True, help="the log's public key, or @FILE")
    parser.add_argument("--earlier", type=Path, action="append", default=[], help="a checkpoint kept elsewhere")
    parser.add_argument("--receipt", type=Path, action="append", default=[], help="a receipt that a company holds")
    parser.add_argument("--witness", action="append", default=[], help="a key that must have cosigned, or @FILE")
    parser.add_argument("--grants", action="store_true", help="print the grants in force")
    parser.add_argument("--totals", action="store_true", help="print what is spent under each cap")
    asked = parser.parse_args()
    try:
        named = (asked.key, *asked.witness)
        key, *witnesses = [rows.take(Path(k[1:]), NOTE).decode() if k[:1] == "@" else k for k in named]
        papers = [rows.take(file, PAPER).decode() for file in (*asked.earlier, *asked.receipt)]
        found, told = verify(asked.folder, key, papers, witnesses)
    except (MemoryError, OSError, RuntimeError, ValueError) as error:
        parser.exit(2, f"cannot be read 无法读取: {getattr(error, 'filename', None) or asked.folder}\n")
    for line in [*(found or ["verified 核验通过"]), *told.lines(grants=asked.grants, totals=asked.totals)]:
        print("".join(c if c.isprintable() else "?" for c in line))  # names in it are anybody's
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
