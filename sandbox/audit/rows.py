"""The verifier's third part: what events say of records, and the records themselves; stands beside verify.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from errno import ENOENT
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

if __package__:
    from sandbox.audit import books
else:  # alone
    import books  # type: ignore[import-not-found, no-redef]

KNOWN = tuple(f"{table}/" for table in ("principals", "applications", "grants", "caps", "datasets", "versions"))
BYTES, LINE = 1 << 24, 1 << 22  # what a process reads at a time; the longest record
WRITERS = {  # who alone may change these records
    "queries": {f"query.{step}" for step in ("charge", "settle", "fail", "overrun", "repeat")} | {"home.reconcile"},
    "principals": {"principal.create"},
    "datasets": {"dataset.add", "ingest.commit", "home.reconcile"}
    | {f"dataset.{step}" for step in ("retire", "destroy_confirm", "destroy")},
    "versions": {"ingest.commit", "version.withdraw", "dataset.destroy_confirm", "home.reconcile"},
}
NOUNS = {
    "home": "create backup restore reconcile", "process": "start", "tenant": "create", "principal": "create",
    "key": "create revoke", "population": "add", "version": "withdraw", "report": "read", "cap": "open forfeit",
    "dataset": "add retire destroy_propose destroy_decline destroy_confirm destroy",
    "ingest": "submit start fail commit", "application": "submit consent vote reject withdraw",
    "grant": "create revoke expire stop", "query": "charge settle fail overrun repeat", "answer": "read",
    "access": "deny", "log": "read",
}  # fmt: skip
TYPES = {f"{noun}.{verb}" for noun, verbs in NOUNS.items() for verb in verbs.split()}  # the closed list of event.py
is_time = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?Z"
).fullmatch
is_hex = re.compile("[0-9a-f]*").fullmatch


def take(file: Path, limit: int) -> bytes:
    """A file's bytes, up to one too many; a pipe or a device might never end."""
    if not file.is_file():
        raise FileNotFoundError(ENOENT, "is no regular file", str(file))
    with file.open("rb") as whole:
        return whole.read(limit + 1)


def told_of(event: books.Event) -> list[tuple[str, str, str]]:
    """Rows for the spill: a record's digest; of a line of the ledger also what it must hold; "lost" of a lost one.

    Of a query that is charged, or answered free, a row also holds what its record must agree with.
    """
    told, label, mine, held = event.details, str(event), set[str](), ""
    records: Mapping[str, str] = told.get("records", {})
    if {*map(len, records.values())} - {64} or not is_hex("".join(records.values())):
        raise ValueError("a digest is not 64 hex characters")
    paths = "\n".join(["", *records])  # one search in all of them is quicker than many
    for table, writers in WRITERS.items():
        if event.type not in writers and f"\n{table}/" in paths:
            raise ValueError(f"it may not change {table}")
    rows = []
    if event.type == "home.reconcile":
        if not records.keys() <= set(told["lost"]):
            raise ValueError("it changes records that it does not name as lost")
        rows = [(path, label, "lost") for path in told["lost"] if not path.startswith(books.NEVER_LOST)]
    if event.type == "query.repeat":
        rows = free_of(told, label, event, {path for path in records if path.startswith("queries/")})
    if event.type != "query.charge":
        return rows + [(path, label, digest) for path, digest in records.items()]
    cost, query, subjects = told["cost"], f"queries/{told['query']}", dict(told["caps"])
    further = told["step"] != "main"
    if further and "\nqueries/" in paths:
        raise ValueError("a further charge of a query changes its record")
    if not further and (query not in records or paths.count("\nqueries/") != 1):
        raise ValueError("it is not of one query, its own")
    held = f" {event.id} {cost['eps_p']} {cost['rho']} {cost['delta']}"
    mine = {f"ledger/{told['query']}/{told['step']}/{scope}/{subject}" for scope, subject in told["caps"]}
    rows = [(path, label, digest + held if path in mine else digest) for path, digest in records.items()]
    charged = f"{told['grant']} {event.actor} {subjects.get('population')} {subjects.get('dataset')}"
    said = f"further {charged}" if further else f"charge {event.id} {charged}"
    return [(query, label, said), *rows, *((path, label, held) for path in mine - records.keys())]


def free_of(told: Mapping[str, Any], label: str, event: books.Event, queries: set[str]) -> list[tuple[str, str, str]]:
    """What a free answer's own record must hold, and that of the query whose stored answer it comes from."""
    own, source = f"queries/{told['query']}", f"queries/{told['source']}"
    made = {"repeat": set[str](), "roll-up": {own}}.get(told["kind"])
    if queries != made or (own == source) != (not made):
        raise ValueError("it is neither a repeat of a query nor a roll-up of another")
    lends = (source, label, f"lends {told['grant']} {told['population']} {told['version']}")
    free = f"free {event.id} {told['grant']} {event.actor} {told['population']} {told['version']} {told['source']}"
    return [lends, *((path, label, free) for path in queries)]


def held_in(path: str, raw: bytes) -> str:
    """What the export's line of the ledger, or of a query, holds beside its path, as `told_of` says it."""
    row, _ = books.scan(raw.decode(), 0)
    if path.startswith("queries/"):
        mine = path == f"queries/{row['id']}"
        names = ("event", "grant", "principal", "population", "version", "tenant")
        held = " ".join(["", *(str(row[name]) for name in names), str(row.get("source") or "-")])
        return held if mine else " another query - - - - -"
    mine = path == f"ledger/{row['request']}/{row['step']}/{row['scope']}/{row['subject']}"
    return f" {row['event']} {row['eps_p']} {row['rho']} {row['delta']}" if mine else " another's line"


class Spill(NamedTuple):
    """Rows laid aside by path, so that records and what events say of them are compared part by part in memory."""

    folder: Path
    parts: int

    def keep(self, name: str, rows: list[tuple[str, str, str]]) -> None:
        """Lay aside (path, who says it or nobody, what)."""
        parts: list[list[str]] = [[] for _ in range(self.parts)]
        for row in rows:
            parts[crc32(row[0].encode(errors="replace")) % self.parts].extend(row)
        for number, part in enumerate(parts):
            text = "\n".join(part)
            if text.count("\n") != max(0, len(part) - 1):  # no name of ours has a line's end, but somebody's may
                text = "\n".join(word.replace("\n", "\\n") for word in part)
            (self.folder / f"{number}-{name}").write_bytes(text.encode(errors="surrogatepass"))

    def kept(self, part: int) -> Iterator[tuple[str, str, str]]:
        """The rows of a part, in their order."""
        for file in sorted(self.folder.glob(f"{part}-*")):
            words = iter(file.read_bytes().decode(errors="surrogatepass").split("\n"))
            yield from zip(words, words, words, strict=False)

    def compare(self, lineage: Mapping[str, str | None], part: int) -> list[str]:
        """Every record comes once, and is what the last event that touched it says; a query is what was charged."""
        last, records, found, lost = dict[str, tuple[str, str]](), dict[str, str](), list[str](), set[str]()
        charges, lent = dict[str, str](), list[tuple[str, str, str]]()
        for path, label, value in self.kept(part):
            if not label:
                found += [f"record {path}: comes twice in the export"] if path in records else []
                records[path] = value
            elif value == "lost":
                lost.add(path)
            elif value.startswith(("charge ", "free ")):
                found += [f"{label}: charges {path} again"] if path in charges else []
                charges[path] = value
            elif value.startswith(("lends ", "further ")):
                found += rests_on(path, label, value, charges.get(path))
                lent += [(path, label, value[6:])] if value.startswith("lends ") else []
            else:
                lost.discard(path)
                if len(value) != 64 or path not in last:
                    found += told_first(path, label, value, last, charges)
                last[path] = label, value
        for path, line in records.items():
            label, told = last.pop(path, ("", ""))
            held = line[:64] if path.startswith("queries/") else line
            if path in charges:
                found += another(path, charges[path], line[65:], lineage)
            if held != told:
                what = f"is not what {label} says of it: {held}, not {told}"
                found.append(f"record {path}: {what if label else 'no event tells of it'}")
        found += [f"record {path}: is missing: {last[path][0]} tells of it" for path in last.keys() - lost]
        found += [
            f"{label}: answers from {path}, which is of another grant, population or version"
            for path, label, told in lent
            if path in records and told != " ".join(records[path].split(" ")[i] for i in (2, 4, 5))
        ]
        return sorted(found)


def rests_on(path: str, label: str, value: str, charged: str | None) -> Iterator[str]:
    """What lends its answer was charged before; what is charged further, for the same grant, by the same principal."""
    if charged is None:
        yield f"{label}: {'answers from' if value.startswith('lends ') else 'charges'} {path}, which was never charged"
    elif value.startswith("further ") and charged.split(" ")[2:] != value.split(" ")[1:]:
        yield f"{label}: charges {path} further, but not as it was charged first"


def told_first(
    path: str, label: str, value: str, last: Mapping[str, object], charges: Mapping[str, str]
) -> Iterator[str]:
    """A line of the ledger is told of once, by its charge; a query for the first time by a charge, not by its end."""
    if path.startswith("queries/"):
        if path not in charges:
            yield f"{label}: {path} cost nothing"
    elif len(value) != 64 and path in last:
        yield f"{label}: charges {path} again"


def another(path: str, charged: str, held: str, lineage: Mapping[str, str | None]) -> Iterator[str]:
    """Whether a query's record is of another event, grant, dataset and so on than what was charged."""
    kind, *told, last = charged.split(" ")
    *mine, version, tenant, source = held.split(" ")
    of, owner = lineage.get(f"versions/{version}", ""), lineage.get(f"grants/{told[1]}", "")
    paid = kind == "charge" and mine == told and of in {last, None} and source == "-"
    free = kind == "free" and [*mine, version] == told and source == last
    if not (paid or free) or owner != tenant:
        was = "charged" if kind == "charge" else "answered free"
        yield f"record {path}: is not the query that was {was} ({charged}): {held} of dataset {of}"


def read_records(spill: Spill, file: Path, start: int) -> tuple[list[str], dict[str, Any], bool]:
    """Findings, the records that the books look at, and whether all lines end; what there is of all is spilled."""
    found, known, rows, line = list[str](), dict[str, Any](), list[Any](), b"\n"
    with file.open("rb") as lines:
        lines.seek(max(0, start - 1))
        at = start and start - 1 + len(line := lines.readline(LINE))  # the line that begins before `start` is another's
        while at < start + BYTES and len(line) < LINE and (line := lines.readline(LINE)):
            try:
                head, values, row = line[8:-2].partition(b',"values":')
                if line[:8] != b'{"path":' or line[-2:] != b"}\n" or not values:
                    raise ValueError("it is not framed as one")
                text = head.decode()
                path = text[1:-1] if text[0] == text[-1] == '"' and "\\" not in text else json.loads(text)
                if "\\" in text and json.dumps(path, ensure_ascii=False) != text:
                    raise ValueError("its path is spelled in another way")
                told = held_in(path, row) if path.startswith(("ledger/", "queries/")) else ""
                rows.append((path, "", sha256(row).hexdigest() + told))
                if path.startswith(KNOWN):
                    known[path] = dict(json.loads(row))
            except books.MALFORMED as problem:
                found.append(f"records/{file.name}: what begins at byte {at} is no record: {problem!r}")
            at += len(line)
    spill.keep(f"0-{file.name}-{start}", rows)
    return found, known, len(line) < LINE
