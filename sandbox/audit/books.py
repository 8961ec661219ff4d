"""The verifier's second half: what events mean for records, ledger and grants; stands beside verify.py, alone too."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
SCOPES, COUNTERS = {"grant", "dataset", "population"}, ("eps_p", "rho", "delta")
ENDS = {"grant.stop": "stopped", "grant.revoke": "revoked", "grant.expire": "expired"}
STEPS = {f"application.{step}": "application" for step in ("submit", "consent", "vote", "reject", "withdraw")}
STEPS |= dict.fromkeys(ENDS, "end") | {"grant.create": "grant", "cap.open": "cap", "cap.forfeit": "forfeit"}
STEPS |= {"query.charge": "charge", "home.reconcile": "reconcile"}
UNREAD = {"records", "query", "step", "plan", "rung_ms"}  # of what the books take
SHOWN = ("application", "tenant", "epsilon", "delta", *(f"spent_{counter}" for counter in COUNTERS))

scan = json.JSONDecoder(parse_float=str, parse_constant=str).raw_decode  # no fractions: their spelling is not agreed
encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
encode_sorted = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode


class Event(NamedTuple):
    """What the verifier needs of an event; as text, the words that name it in a finding."""

    place: int
    id: str = "unreadable"
    type: str = "unreadable"
    actor: str = ""
    details: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return f"event {self.place} ({self.id}, {self.type})"


def canonical(value: Any) -> Any:
    """The same with the keys of every object in the order of RFC 8785, by UTF-16."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return {key: canonical(value[key]) for key in keys}
    return [canonical(child) for child in value] if isinstance(value, list) else value


def exact(value: Any, text: str) -> bool:
    """Whether `text` is the canonical form of `value`; in plain ASCII the order of keys in RFC 8785 is Python's own."""
    try:
        return (encode_sorted(value) if text.isascii() else encode(canonical(value))) == text
    except MALFORMED:
        return False


def strange(read: Sequence[tuple[Event, Any, str]]) -> Iterator[Event]:
    """Those events whose text is not the canonical form of their value, or whose version is not 1.

    All at once first, in half the time: an object ends where it ends, so texts in a row are equal only one by one.
    """
    values, texts = [value for _, value, _ in read], [text for _, _, text in read]
    if not exact(values, f"[{','.join(texts)}]") or {repr(value.get("v")) for value in values} - {"1"}:
        yield from (e for e, value, text in read if repr(value.get("v")) != "1" or not exact(value, text))


def told_of(event: Event) -> list[tuple[str, str, str]]:
    """Rows for the spill: a record's digest; of a line of the ledger also what it must hold; "lost" of a lost one."""
    told, label, mine, held = event.details, str(event), set[str](), ""
    if event.type == "query.charge":
        cost, line = told["cost"], f"ledger/{told['query']}/{told['step']}"
        held = f" {event.id} {cost['eps_p']} {cost['rho']} {cost['delta']}"
        mine = {f"{line}/{scope}/{subject}" for scope, subject in told["caps"]}
    rows = [(path + "", label, "lost") for path in told["lost"]] if event.type == "home.reconcile" else []
    records = told.get("records", {})
    rows += [(path, label, digest + held if path in mine else digest + "") for path, digest in records.items()]
    return rows + [(path, label, held) for path in mine.difference(records)]


def held_in(path: str, raw: bytes) -> str:
    """What the export's line of the ledger holds beside its path, as `told_of` says it."""
    row, _ = scan(raw.decode(), 0)
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

    def compare(self, part: int) -> list[str]:
        """Every record comes once, and is what the last event that touched it says."""
        last, records, found, lost = dict[str, tuple[str, str]](), dict[str, str](), list[str](), set[str]()
        for file in sorted(self.folder.glob(f"{part}-*")):
            words = iter(file.read_bytes().decode(errors="surrogatepass").split("\n"))
            for path, label, value in zip(words, words, words, strict=False):
                if not label:
                    found += [f"record {path}: comes twice in the export"] if path in records else []
                    records[path] = value
                elif value == "lost":
                    lost.add(path)
                else:
                    if len(value) != 64 or path not in last:
                        found += told_first(path, label, value, known=path in last)
                    elif lost:
                        lost.discard(path)
                    last[path] = label, value
        for path, held in records.items():
            label, told = last.pop(path, ("", ""))
            if held != told:
                what = f"is not what {label} says of it: {held}, not {told}"
                found.append(f"record {path}: {what if label else 'no event tells of it'}")
        found += [f"record {path}: is missing: {last[path][0]} tells of it" for path in last.keys() - lost]
        return sorted(found)


def told_first(path: str, label: str, value: str, *, known: bool) -> list[str]:
    """A line of the ledger is told of once, by its charge; a query for the first time by a charge, not by its end."""
    free = path.startswith("queries/") and not label.endswith("query.charge)") and not known
    return [f"{label}: charges {path} again"] * (known and " " in value) + [f"{label}: {path} cost nothing"] * free


class Books:
    """Applications, grants, caps and charges as the events tell of them, in order."""

    def __init__(self, digest: Callable[[bytes], str]) -> None:
        self.digest = digest
        self.records: dict[str, Any] = {}  # principals, applications and grants as they were exported
        self.open: dict[str, dict[str, str]] = {}  # applications that may become grants: tenant, terms
        self.voices: defaultdict[tuple[str, str], set[str]] = defaultdict(set)  # (application, round): who approves
        self.told: dict[str, dict[str, Any]] = {}  # what must stand in grants/* and caps/*
        # Per cap: what is spent, the points that its frontier certifies (the last one met first), what delta may reach.
        self.caps: dict[str, tuple[list[int], list[tuple[int, int]], int]] = {}
        self.lost: dict[str, Event] = {}  # records that a restored home has lost

    def take(self, event: Event) -> list[str]:
        """Take an event's step; what does not fit the events before is found."""
        try:
            return [*getattr(self, STEPS[event.type])(event, event.details)]
        except MALFORMED as problem:
            return [f"{event}: does not fit the rest: {problem!r}"]

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
        name, path, application = told["application"], f"grants/{told['grant']}", self.open.pop(told["application"])
        voters = [self.records[f"principals/{voter}"] for voter in self.voices[name, "review"]]
        votes = sum("committee" in v["roles"] and v["tenant"] != application["tenant"] for v in voters)
        if votes < max(2, told["votes_needed"]):
            yield f"{event}: only {votes} committee members outside the applicant's side approved"
        if missing := [d for d in told["consents_needed"] if not self.voices[name, f"consent:{d}"]]:
            yield f"{event}: nobody consented for {missing}"
        terms = [self.records[of]["terms"] for of in (f"applications/{name}", path) if of in self.records]
        digests = {self.digest(encode(canonical(one)).encode()) for one in terms}
        if {told["terms"], application["terms"], *digests} != {told["terms"]}:
            yield f"{event}: its terms are not those of application {name}"
        self.told[path] = {"application": name, "tenant": application["tenant"], "state": "active"}

    def end(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """A grant ends once, and stays ended."""
        row = self.told[f"grants/{told['grant']}"]
        if row["state"] != "active":
            yield f"{event}: the grant was {row['state']} before"
        row["state"] = ENDS[event.type]

    def cap(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """It opens once, with part of it spent; its frontier never changes."""
        cap = dict(told["cap"])
        path, grant = f"caps/{cap['scope']}/{cap['subject']}", self.records.get(f"grants/{cap['subject']}")
        if path in self.told:
            yield f"{event}: opens {path} again"
        if grant and grant["terms"]["epsilon"] != cap["epsilon"]:
            yield f"{event}: its epsilon is not that of the grant's terms"
        cap |= {f"spent_{counter}": amount for counter, amount in cap.pop("spent").items()}
        points = [(int(e), int(r)) for e, r in cap["frontier"] if int(e) <= int(cap["epsilon"])]
        room = int(cap["delta"]) - int(cap["conversion"])
        self.told[path], self.caps[path] = cap, ([int(cap[f"spent_{counter}"]) for counter in COUNTERS], points, room)
        yield from ()

    def charge(self, event: Event, told: Mapping[str, Any]) -> list[str]:
        """It is of an active grant, spares no cap, and every cap covers it."""
        grant, caps, found = told["grant"], told["caps"], list[str]()
        if self.told.get(f"grants/{grant}", {}).get("state") != "active":
            found.append(f"{event}: its grant {grant} is not active")
        if ["grant", grant] not in caps or {scope for scope, _ in caps} != SCOPES:
            found.append(f"{event}: spares a cap")
        for scope, subject in caps:
            found += self.spend(event, f"caps/{scope}/{subject}", told["cost"])
        return found

    def forfeit(self, event: Event, told: Mapping[str, Any]) -> list[str]:
        """Budget may be given up without a query."""
        return self.spend(event, "/".join(["caps", *told["cap"]]), told["cost"])

    def spend(self, event: Event, path: str, cost: Mapping[str, str]) -> list[str]:
        """Nothing is given back, delta fits, and one point of the frontier covers both other counters."""
        spent, points, room = self.caps[path]
        amounts = pure, rho, delta = int(cost["eps_p"]), int(cost["rho"]), int(cost["delta"])
        spent[:] = pure, rho, delta = spent[0] + pure, spent[1] + rho, spent[2] + delta
        found = [f"{event}: gives budget back to {path}"] if min(amounts) < 0 else []
        if not points or pure > points[0][0] or rho > points[0][1] or delta > room:
            points.sort(key=lambda point: pure > point[0] or rho > point[1])  # first those that cover it
            if not points or pure > points[0][0] or rho > points[0][1] or delta > room:
                found.append(f"{event}: takes {path} over its frontier")
        return found

    def reconcile(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """A restored home says which records it has lost; what was charged for them stays charged."""
        self.lost |= dict.fromkeys(told["lost"], event)
        yield from ()

    def close(self) -> Iterator[str]:
        """Grants and caps in the export are what all events together make of them."""
        for path, (spent, _, _) in self.caps.items():
            self.told[path] |= {f"spent_{counter}": str(n) for counter, n in zip(COUNTERS, spent, strict=True)}
        for path in sorted((self.told.keys() | self.records.keys()) - self.lost.keys()):
            row, told = self.records.get(path, {}), self.told.get(path, {})
            wrong = [f"{name} is {row.get(name)}, not {want}" for name, want in told.items() if row.get(name) != want]
            if wrong or (not told and path.startswith(("grants/", "caps/"))):
                yield f"record {path}: does not follow from the events ({', '.join(wrong) or 'nothing gives it'})"

    def lines(self, *, grants: bool, totals: bool) -> Iterator[str]:
        """What was lost, the grants in force, and what is spent under each cap, in the ledger's counters."""
        yield from (f"{event} lost {path}" for path, event in self.lost.items())
        for path, row in self.told.items():
            if totals if "scope" in row else grants and row["state"] == "active":
                yield " ".join([path, *(f"{name}={row[name]}" for name in SHOWN if name in row)])
