"""The auditor's verifier: proves log, records, ledger and grants from the events and the public key, and runs alone.

    python verify.py BUNDLE.json --key VKEY|@FILE [--earlier CHECKPOINT_FILE]...

It needs Python 3.11 and `cryptography`. A signature proves nothing against its key's holder: keep checkpoints away.
Source: RFC 6962 (tree), RFC 8785 (canonical JSON), https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MALFORMED = (ArithmeticError, AttributeError, InvalidSignature, LookupError, RecursionError, TypeError, ValueError)
SCOPES = {"grant", "dataset", "population"}
ENDS = {"grant.stop": "stopped", "grant.revoke": "revoked", "grant.expire": "expired"}


def verify(bundle: Mapping[str, Any], vkey: str, earlier: Iterable[str] = ()) -> list[str]:
    """What is wrong with the bundle, in words; an empty list means that everything is proved."""
    found: list[str] = []
    try:
        if bundle["v"] != 1:
            return [f"the bundle is of version {bundle['v']}, this verifier reads version 1"]
        leaves = [bytes.fromhex(entry["leaf"]) for entry in bundle["entries"]]
        for note, whole in [(bundle["checkpoint"], True), *((note, False) for note in earlier)]:
            found += check_tree(leaves, note, vkey, whole=whole)
        events = list(read_events(bundle["entries"], found))
        found += check_records(events, bundle["records"])
        found += Books(bundle["records"]).replay(events)
    except MALFORMED as problem:
        found.append(f"the bundle is malformed: {problem!r}")
    return found


def root(leaves: list[bytes]) -> bytes:
    """The Merkle root over leaf hashes (RFC 6962, 2.1), split at the largest power of two below their number."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:])).digest()


def open_note(note: str, vkey: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint that the key signed; an exception says what is wrong."""
    name, key_hash, encoded = vkey.strip().split("+", 2)
    key = b64decode(encoded, validate=True)
    if key[:1] != b"\x01" or sha256(name.encode() + b"\n" + key).hexdigest()[:8] != key_hash:
        raise ValueError("the public key does not match its own hash")
    text, _, lines = note.rpartition("\n\n")
    origin, size, signed_root, *_ = text.split("\n")
    for line in lines.split("\n")[:-1]:
        signer, _, encoded = line.rpartition(" ")
        signature = b64decode(encoded, validate=True)
        exact = b64encode(signature).decode() == encoded and signature[:4].hex() == key_hash
        if signer == f"— {name}" and origin == name and exact:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], f"{text}\n".encode())
            return int(size), b64decode(signed_root, validate=True)
    raise ValueError(f"no signature by {name} over its own log")


def check_tree(leaves: list[bytes], note: str, vkey: str, *, whole: bool) -> Iterator[str]:
    """The checkpoint is signed, and the stored leaves are what it signs (or begin with it)."""
    try:
        size, signed_root = open_note(note, vkey)
    except MALFORMED as problem:
        yield f"the checkpoint is not signed by this key: {problem!r}"
        return
    if size > len(leaves) or (whole and size < len(leaves)) or root(leaves[:size]) != signed_root:
        yield f"the checkpoint of {size} events does not sign these {len(leaves)}: some were changed, removed or added"


class Event(NamedTuple):
    """What the verifier needs of an event; as text, the words that name it in a finding."""

    place: int
    id: str = "unreadable"
    type: str = "unreadable"
    actor: str = ""
    details: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return f"event {self.place} ({self.id}, {self.type})"


def canonical(value: Any) -> bytes:
    """RFC 8785 for JSON without fractions: keys ordered as UTF-16, no spaces, UTF-8."""

    def ordered(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: ordered(part[key]) for key in sorted(part, key=lambda key: key.encode("utf-16-be"))}
        return [ordered(child) for child in part] if isinstance(part, list) else part

    return json.dumps(ordered(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def read_events(entries: list[dict[str, Any]], found: list[str]) -> Iterator[Event]:
    """The events; `found` gets what does not hash to its leaf, is not canonical, comes twice or elsewhere."""
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        event, body, exact = Event(place), b"", False
        with suppress(*MALFORMED):  # then exact stays False, which is reported
            body = b64decode(entry["body"], validate=True)
            value = json.loads(body, parse_float=str)  # no fractions: their spelling is not agreed
            event = Event(place, value["id"], value["type"], value["actor"], dict(value["details"]))
            exact = value["v"] == 1 and canonical(value) == body
        if sha256(b"\x00" + body).hexdigest() != entry["leaf"]:
            found.append(f"{event}: its body does not hash to its leaf")
        if not exact:
            found.append(f"{event}: its body is not the canonical form of a version 1 event")
        if entry["index"] != place or event.id in seen:
            found.append(f"{event}: comes twice, or is not where its index {entry['index']} says")
        seen.add(event.id)
        yield event


def check_records(events: list[Event], records: Mapping[str, Any]) -> Iterator[str]:
    """Every record is what the last event that touched it says, and none is missing or without an event."""
    last = {path: (digest, event) for event in events for path, digest in event.details.get("records", {}).items()}
    for path in sorted(last.keys() | records.keys()):
        if path not in last:
            yield f"record {path}: no event tells of it"
        elif path not in records:
            yield f"record {path}: is missing, though {last[path][1]} tells of it"
        elif sha256(canonical(records[path])).hexdigest() != last[path][0]:
            yield f"record {path}: is not what {last[path][1]} says of it"


class Books:
    """Applications, grants, caps and charges as the events tell of them, in order."""

    def __init__(self, records: Mapping[str, Any]) -> None:
        self.records = records
        self.open: dict[str, dict[str, str]] = {}  # applications that may become grants: tenant, terms
        self.voices: defaultdict[tuple[str, str], set[str]] = defaultdict(set)  # (application, round): who approves
        self.told: dict[str, dict[str, Any]] = {}  # what must stand in grants/*, caps/*, ledger/*

    def replay(self, events: list[Event]) -> Iterator[str]:
        """Take each event's step, then compare what they add up to with the records, column by column."""
        steps: dict[str, Callable[[Event, Any], Iterator[str]]] = {"cap.open": self.cap, "query.charge": self.charge}
        steps |= {"grant.create": self.grant} | dict.fromkeys(ENDS, self.end)
        for event in events:
            try:
                step = self.application if event.type.startswith("application.") else steps.get(event.type)
                yield from step(event, event.details) if step else ()
            except MALFORMED as problem:
                yield f"{event}: does not fit the rest: {problem!r}"
        rest = {path for path in self.records if path.startswith(("grants/", "caps/", "ledger/"))}
        for path in sorted(self.told.keys() | rest):
            record, row = self.records.get(path, {}), self.told.get(path, {})
            wrong = [f"{name} is {record.get(name)}, not {v}" for name, v in row.items() if record.get(name) != v]
            if wrong or not row:
                yield f"record {path}: does not follow from the events ({', '.join(wrong) or 'nothing gives it'})"

    def application(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """It opens for its submitter's tenant, is approved by round, and may close without becoming a grant."""
        name, round_ = told["application"], told.get("round")
        if event.type == "application.submit":
            self.open[name] = {"tenant": self.records[f"principals/{event.actor}"]["tenant"], "terms": told["terms"]}
        elif round_ is None:
            self.open.pop(name)
        elif told["approve"] is True and (round_ == "review") == (event.type == "application.vote"):
            self.voices[name, round_].add(event.actor)
        yield from ()

    def grant(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """It needs an open application, its terms, enough committee members of other tenants, and every consent."""
        name, application = told["application"], self.open.pop(told["application"])
        voters = [self.records[f"principals/{voter}"] for voter in self.voices[name, "review"]]
        votes = sum("committee" in v["roles"] and v["tenant"] != application["tenant"] for v in voters)
        if votes < max(2, told["votes_needed"]):
            yield f"{event}: only {votes} committee members outside the applicant's side approved"
        if missing := [d for d in told["consents_needed"] if not self.voices[name, f"consent:{d}"]]:
            yield f"{event}: nobody consented for {missing}"
        terms = [self.records[path]["terms"] for path in (f"applications/{name}", f"grants/{told['grant']}")]
        if len({told["terms"], application["terms"], *(sha256(canonical(t)).hexdigest() for t in terms)}) > 1:
            yield f"{event}: its terms are not those of application {name}"
        self.told[f"grants/{told['grant']}"] = {"application": name, "tenant": application["tenant"], "state": "active"}

    def end(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """A grant ends once, and stays ended."""
        row = self.told[f"grants/{told['grant']}"]
        if row["state"] != "active":
            yield f"{event}: the grant was {row['state']} before"
        row["state"] = ENDS[event.type]

    def cap(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """It opens once, with part of it spent; its frontier never changes."""
        cap = dict(told["cap"])
        path = f"caps/{cap['scope']}/{cap['subject']}"
        if path in self.told:
            yield f"{event}: opens {path} again"
        self.told[path] = cap | {f"spent_{counter}": amount for counter, amount in cap.pop("spent").items()}

    def charge(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """It is of an active grant, spares no cap, gives nothing back, comes once, and every cap covers it."""
        query, step, grant, cost, caps = (told[name] for name in ("query", "step", "grant", "cost", "caps"))
        if self.told.get(f"grants/{grant}", {}).get("state") != "active":
            yield f"{event}: its grant {grant} is not active"
        if ["grant", grant] not in caps or {scope for scope, _ in caps} != SCOPES or min(map(int, cost.values())) < 0:
            yield f"{event}: spares a cap, or gives budget back"
        for scope, subject in caps:
            path, cap = f"ledger/{query}/{step}/{scope}/{subject}", self.told[f"caps/{scope}/{subject}"]
            if path in self.told:
                yield f"{event}: charges {scope}/{subject} again for the same step of {query}"
            row = {"request": query, "step": step, "scope": scope, "subject": subject, "event": event.id}
            self.told[path] = row | cost
            cap |= {f"spent_{name}": str(int(cap[f"spent_{name}"]) + int(amount)) for name, amount in cost.items()}
            if not covered(cap):
                yield f"{event}: takes cap {scope}/{subject} over its frontier"


def covered(cap: Mapping[str, Any]) -> bool:
    """Delta fits beside the share kept for conversion, and one point of the frontier covers both other counters."""
    pure, rho, delta = (int(cap[name]) for name in ("spent_eps_p", "spent_rho", "spent_delta"))
    fits = any(pure <= int(e) <= int(cap["epsilon"]) and rho <= int(r) for e, r in cap["frontier"])
    return fits and delta + int(cap["conversion"]) <= int(cap["delta"])


def main() -> int:
    """Read a bundle, print what was found, and tell by the exit code."""
    parser = argparse.ArgumentParser(description="Prove a sandbox's log, records, ledger and grants.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", required=True, help="the log's public key, or @FILE")
    parser.add_argument("--earlier", type=Path, action="append", default=[], help="a checkpoint kept elsewhere")
    asked = parser.parse_args()
    try:
        bundle = json.loads(asked.bundle.read_bytes())
        key = Path(asked.key[1:]).read_text("utf-8") if asked.key.startswith("@") else asked.key
        found = verify(bundle, key, [note.read_text("utf-8") for note in asked.earlier])
    except (OSError, ValueError) as error:
        sys.exit(f"cannot be read 无法读取: {getattr(error, 'filename', None) or asked.bundle}")
    print(*found or [f"verified: {len(bundle['entries'])} events, {len(bundle['records'])} records"], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
