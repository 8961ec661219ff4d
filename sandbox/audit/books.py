"""The verifier's second part: what events mean for ledger, caps and grants; stands beside verify.py, alone too."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
SCOPES, COUNTERS = {"grant", "dataset", "population"}, ("eps_p", "rho", "delta")
ENDS = {"grant.stop": "stopped", "grant.revoke": "revoked", "grant.expire": "expired"}
STEPS = {f"application.{step}": "application" for step in ("submit", "consent", "vote", "reject", "withdraw")}
STEPS |= dict.fromkeys(ENDS, "end") | {"grant.create": "grant", "cap.open": "cap", "cap.forfeit": "forfeit"}
STEPS |= {"query.charge": "charge", "query.repeat": "repeat", "home.reconcile": "reconcile", "principal.create": "born"}
STEPS |= dict.fromkeys(("dataset.retire", "dataset.destroy_confirm", "dataset.destroy"), "gone")
NEVER_LOST = ("caps/", "ledger/")
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
    at: str = ""
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


class Books:
    """Applications, grants, caps and charges as the events tell of them, in order."""

    def __init__(self, digest: Callable[[bytes], str]) -> None:
        self.digest = digest
        self.records: dict[str, Any] = {}  # principals, applications and grants as they were exported
        self.open: dict[str, dict[str, str]] = {}  # applications that may become grants: tenant, terms
        self.submitted: set[str] = set()
        self.known: set[str] = set()  # principals there are so far
        self.voices: defaultdict[tuple[str, str], dict[str, bool]] = defaultdict(dict)  # (application, round): who says
        self.told: dict[str, dict[str, Any]] = {}  # what must stand in grants/* and caps/*
        # Per cap: what is spent, the points that its frontier certifies (the last one met first), what delta may reach.
        self.caps: dict[str, tuple[list[int], list[tuple[int, int]], int]] = {}
        self.lost: dict[str, Event] = {}  # records that a restored home has lost
        self.ended: dict[str, bool] = {}  # datasets that are out of use, and whether their keys are destroyed
        self.fits: dict[
            tuple[Any, ...], tuple[str, list[str]]
        ] = {}  # caps of a grant: when it ends, what is wrong with them

    def take(self, event: Event) -> list[str]:
        """Take an event's step; what does not fit the events before is found."""
        try:
            return [*getattr(self, STEPS[event.type])(event, event.details)]
        except MALFORMED as problem:
            return [f"{event}: does not fit the rest: {problem!r}"]

    def born(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """A principal's organisation and roles never change, so that its record says what it was when it voted."""
        yield from (f"{event}: changes {path}" for path in told["records"] if path in self.known)
        self.known.update(told["records"])

    def application(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """It opens for its submitter's tenant, is approved by round, and may close without becoming a grant."""
        name, round_ = told["application"], told.get("round")
        if f"principals/{event.actor}" not in self.known and event.actor != "system":
            yield f"{event}: its actor did not exist yet"
        if event.type == "application.submit":
            if name in self.submitted:
                yield f"{event}: submits {name} again"
            self.submitted.add(name)
            self.open[name] = {"tenant": self.records[f"principals/{event.actor}"]["tenant"], "terms": told["terms"]}
        elif round_ is None or event.type in {"application.reject", "application.withdraw"}:
            self.open.pop(name)
        elif (round_ == "review") == (event.type == "application.vote"):
            self.voices[name, round_][event.actor] = told["approve"] is True

    def grant(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """It needs an open application, its terms, enough committee members of other tenants, and every consent."""
        name, path, application = told["application"], f"grants/{told['grant']}", self.open.pop(told["application"])
        if path in self.told:
            yield f"{event}: gives {path} again"
        voters = [self.records[f"principals/{voter}"] for voter, yes in self.voices[name, "review"].items() if yes]
        votes = sum("committee" in v["roles"] and v["tenant"] != application["tenant"] for v in voters)
        if votes < max(2, told["votes_needed"]):
            yield f"{event}: only {votes} committee members outside the applicant's side approved"
        if missing := [d for d in told["consents_needed"] if not self.consented(name, d)]:
            yield f"{event}: nobody consented for {missing}"
        terms = [self.records[of]["terms"] for of in (f"applications/{name}", path) if of in self.records]
        digests = {self.digest(encode(canonical(one)).encode()) for one in terms}
        if {told["terms"], application["terms"], *digests} != {told["terms"]}:
            yield f"{event}: its terms are not those of application {name}"
        self.told[path] = {"application": name, "tenant": application["tenant"], "state": "active"}

    def consented(self, application: str, dataset: str) -> bool:
        """Whether somebody of the dataset's owner consented; of anybody, where the dataset's record is not there."""
        of = [row for path, row in self.records.items() if path[:9] == "datasets/" and row.get("name") == dataset]
        voices = [voice for voice, yes in self.voices[application, f"consent:{dataset}"].items() if yes]
        owners = {row["tenant"] for row in of}
        return any(not of or self.records[f"principals/{voice}"]["tenant"] in owners for voice in voices)

    def terms(self, grant: str) -> Mapping[str, Any]:
        """A grant's terms: those of its record, or of its application's where that is lost."""
        application = self.told.get(f"grants/{grant}", {}).get("application")
        rows = [self.records.get(f"grants/{grant}"), self.records.get(f"applications/{application}")]
        return next((row["terms"] for row in rows if row), {})

    def end(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """A grant ends once, and stays ended."""
        row = self.told[f"grants/{told['grant']}"]
        if row["state"] != "active":
            yield f"{event}: the grant was {row['state']} before"
        row["state"] = ENDS[event.type]

    def cap(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """It opens once, with part of it spent; its frontier never changes."""
        cap = dict(told["cap"])
        path, terms = f"caps/{cap['scope']}/{cap['subject']}", self.terms(cap["subject"])
        if path in self.told:
            yield f"{event}: opens {path} again"
        if cap["scope"] == "grant" and terms and terms["epsilon"] != cap["epsilon"]:
            yield f"{event}: its epsilon is not that of the grant's terms"
        cap |= {f"spent_{counter}": amount for counter, amount in cap.pop("spent").items()}
        points, spent = [(int(e), int(r)) for e, r in cap["frontier"]], [int(cap[f"spent_{c}"]) for c in COUNTERS]
        # Rho alone costs more than rho of epsilon under any delta below a half: no point beyond the sum is certified.
        if any(min(point) < 0 or sum(point) > int(cap["epsilon"]) for point in points):
            yield f"{event}: a point of its frontier takes more than its epsilon"
        if min(*spent, int(cap["conversion"])) < 0:
            yield f"{event}: opens {path} below zero"
        room = int(cap["delta"]) - int(cap["conversion"])
        self.told[path], self.caps[path] = cap, (spent, points, room)

    def charge(self, event: Event, told: Mapping[str, Any]) -> list[str]:
        """It is of an active grant, spares no cap, and every cap covers it."""
        grant, caps, found = told["grant"], told["caps"], list[str]()
        if self.told.get(f"grants/{grant}", {}).get("state") != "active":
            found.append(f"{event}: its grant {grant} is not active")
        if (key := (grant, *map(tuple, caps))) not in self.fits:
            self.fits[key] = self.fit(grant, caps)
        until, wrong = self.fits[key]
        found += [f"{event}: {words}" for words in wrong]
        if until and event.at[:16] > until[:16]:  # in minutes: that it was in force was seen an instant before
            found.append(f"{event}: its grant ended at {until}")
        for scope, subject in caps:
            if scope == "dataset" and subject in self.ended:
                found.append(f"{event}: dataset {subject} was out of use")
            found += self.spend(event, f"caps/{scope}/{subject}", told["cost"])
        return found

    def repeat(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """A free answer is given under an active grant, as a charged one is."""
        grant, until = told["grant"], str(self.terms(told["grant"]).get("expires_at", ""))
        if self.told.get(f"grants/{grant}", {}).get("state") != "active":
            yield f"{event}: its grant {grant} is not active"
        if until and event.at[:16] > until[:16]:
            yield f"{event}: its grant ended at {until}"

    def fit(self, grant: str, caps: list[list[str]]) -> tuple[str, list[str]]:
        """When a grant ends, and whether its terms name the dataset and this is of the population, both charged."""
        by, terms, wrong = dict(caps), self.terms(grant), list[str]()
        if by.get("grant") != grant or len(caps) != len(SCOPES) or by.keys() != SCOPES:
            wrong.append("spares a cap, or charges one of another")
        path = f"datasets/{by.get('dataset')}"
        row = self.records.get(path)
        if row is not None:
            wrong += [f"{path} is of another population"] if row["population"] != by.get("population") else []
            wrong += [f"{path} is not in the grant's terms"] if terms and row["name"] not in terms["datasets"] else []
        return str(terms.get("expires_at", "")), wrong

    def gone(self, event: Event, told: Mapping[str, Any]) -> Iterator[str]:
        """A dataset is out of use, for good."""
        name = told["dataset"]
        self.ended[name] = self.ended.get(name, False) or event.type != "dataset.retire"
        yield from ()

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
        yield from (f"{event}: {path} cannot be lost" for path in told["lost"] if path.startswith(NEVER_LOST))

    def lineage(self) -> dict[str, str | None]:
        """Whose each grant is, and of which dataset each version; None of a version that is lost."""
        grants = {path: str(row.get("tenant")) for path, row in self.told.items() if path.startswith("grants/")}
        here = {path: str(row.get("dataset")) for path, row in self.records.items() if path.startswith("versions/")}
        return dict.fromkeys(path for path in self.lost if path.startswith("versions/")) | here | grants

    def close(self) -> Iterator[str]:
        """Grants and caps in the export are what all events together make of them; what is out of use stays so."""
        for path, (spent, _, _) in self.caps.items():
            self.told[path] |= {f"spent_{counter}": str(n) for counter, n in zip(COUNTERS, spent, strict=True)}
        lost = {path for path in self.lost if path not in self.records and not path.startswith(NEVER_LOST)}
        for path in sorted((self.told.keys() | self.records.keys()) - lost):
            row, told = self.records.get(path, {}), self.told.get(path, {})
            wrong = [f"{name} is {row.get(name)}, not {want}" for name, want in told.items() if row.get(name) != want]
            if wrong or (not told and path.startswith(("grants/", "caps/"))):
                yield f"record {path}: does not follow from the events ({', '.join(wrong) or 'nothing gives it'})"
            table, _, name = path.partition("/")
            if table == "datasets" and name in self.ended and row.get("state", "active") == "active":
                yield f"record {path}: is in use again"
            if table == "versions" and self.ended.get(str(row.get("dataset"))) and row.get("state") != "destroyed":
                yield f"record {path}: is open, and its dataset destroyed"

    def lines(self, *, grants: bool, totals: bool) -> Iterator[str]:
        """What was lost, the grants in force, and what is spent under each cap, in the ledger's counters."""
        yield from (f"{event} lost {path}" for path, event in self.lost.items())
        for path, row in self.told.items():
            if totals if "scope" in row else grants and row["state"] == "active":
                yield " ".join([path, *(f"{name}={row[name]}" for name in SHOWN if name in row)])
