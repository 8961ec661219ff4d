"""The month's page: what a log's events of one month come to, each figure with the leaves it comes from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sandbox.audit.checkpoint import open_signed, read_checkpoint, split_note
from sandbox.audit.event import Event, unchecked
from sandbox.audit.receipt import spelled
from sandbox.audit.tiles import WIDTH, entries_path, unpack_entries
from sandbox.audit.verify import verify
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed, RequestError

_MONTH: Final = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")
_TITLE: Final = "# Month of the log 日志月报 "
_CHECKPOINT: Final = "## Checkpoint 检查点"
_RANGES: Final = 8
"""So many ranges of leaves stand on the page; more are told by their ends, their number and their digest."""

_COUNTED: Final[Mapping[str, list[tuple[str, str]]]] = {
    "Grants 授权": [
        ("grant.create", "created 新增"),
        ("grant.expire", "expired 到期"),
        ("grant.revoke", "revoked 撤销"),
        ("grant.stop", "stopped 停用"),
    ],
    "Queries 查询": [
        ("query.charge", "charged 计费"),
        ("query.settle", "answered 已答复"),
        ("query.fail", "failed 失败"),
        ("query.overrun", "late answers, a channel 超时答复（信道）"),
        ("query.repeat", "answered free 免费答复"),
        ("answer.read", "answers read 答案读取"),
    ],
    "Releases 出箱": [("release.review", "reviewed 已审核")],
    "Datasets 数据集": [
        ("dataset.add", "added 新增"),
        ("ingest.commit", "versions taken in 入库版本"),
        ("ingest.fail", "ingests failed 入库失败"),
        ("version.withdraw", "versions withdrawn 撤回版本"),
        ("dataset.retire", "retired 停用"),
        ("dataset.destroy", "destroyed 销毁"),
    ],
    "Home 系统": [
        ("process.start", "processes started 进程启动"),
        ("home.backup", "backups 备份"),
        ("home.restore", "restored 恢复"),
        ("home.reconcile", "reconciled after a restore 恢复后对账"),
    ],
}
"""Types of events that are counted, by section."""

_LATER: Final = frozenset({"query.repeat"})
"""Types that came after pages had been signed: a month without them reads as it did then."""

_COUNTERS: Final = [("eps_p", 12), ("rho", 12), ("delta", 18)]
_SPENDING: Final = {"query.charge", "cap.forfeit"}


@dataclass(slots=True)
class _Month:
    """What is gathered while the events go by: leaves by type, by reason of denial, and spend by population."""

    leaves: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    denied: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    spent: defaultdict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    spending: defaultdict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))

    def take(self, index: int, event: Event) -> None:
        self.leaves[event.type].append(index)
        if event.type == "access.deny":
            self.denied[str(event.details["reason"])].append(index)
        if event.type in _SPENDING:
            caps = event.details["caps"] if event.type == "query.charge" else [event.details["cap"]]
            for scope, subject in caps:
                if scope == "population":
                    self.spending[event.type, subject].append(index)
                    spent = self.spent[event.type, subject]
                    for place, (counter, _) in enumerate(_COUNTERS):
                        spent[place] += int(event.details["cost"][counter])


def report(events: Iterable[tuple[int, Event]], month: str, note: str) -> str:
    """The page of a month (`2026-11`, by UTC) over the events that the checkpoint `note` covers, to be signed.

    `events` are (index, event) in order; those of other months, or beyond the checkpoint, are passed over.

    Raises:
        RequestError: `month_malformed`.
        IntegrityFailed: `note_malformed`; `event_malformed`, an event lacks what its type tells.
    """
    if not _MONTH.fullmatch(month):
        raise RequestError("month_malformed", month=month)
    origin, size, _ = read_checkpoint(split_note(note)[0])
    gathered = _Month()
    try:
        for index, event in events:
            if index < size and event.at.startswith(month):
                gathered.take(index, event)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise IntegrityFailed("event_malformed") from None
    lines = [
        f"{_TITLE}{month}",
        "",
        f"Log 日志: {origin}. Months are by UTC. Beside each figure are the places in the log of what it comes from.",
        "月份按 UTC 计；每个数字旁列出其来源事件在日志中的位置。",
    ]
    for section, counted in _COUNTED.items():
        shown = [(type_, label) for type_, label in counted if type_ not in _LATER or gathered.leaves[type_]]
        rows = [(label, str(len(gathered.leaves[type_])), gathered.leaves[type_]) for type_, label in shown]
        lines += _table(section, rows)
    denied = [(_word(reason), str(len(leaves)), leaves) for reason, leaves in sorted(gathered.denied.items())]
    lines += _table("Denials by reason 拒绝（按原因）", denied)
    lines += _table("Spend per population 各人群预算消耗", list(_spend(gathered)))
    quoted = [f"    {line}".rstrip() for line in note.removesuffix("\n").split("\n")]
    return "\n".join([*lines, "", _CHECKPOINT, "", *quoted]) + "\n"


def open_report(page: str, vkey: str) -> tuple[str, str, str]:
    """A signed page's text, its month, and the checkpoint's note in it.

    Raises:
        IntegrityFailed: `vkey_malformed`, `note_malformed`, `note_not_signed`; `report_malformed`, the key signed
            something else.
    """
    text = open_signed(page, vkey)
    body, mark, quoted = text.partition(f"\n{_CHECKPOINT}\n\n")
    month = body.partition("\n")[0].removeprefix(_TITLE)
    if not mark or not _MONTH.fullmatch(month):
        raise IntegrityFailed("report_malformed")
    return text, month, "".join(f"{line.removeprefix('    ')}\n" for line in quoted.removesuffix("\n").split("\n"))


def check_report(page: str, vkey: str, export: Path) -> list[str]:
    """What is wrong with a signed page against an export, in words: what is wrong with that, or each line that differs.

    Raises:
        IntegrityFailed: as `open_report`, and `entries_malformed`.
        OSError: the export cannot be read.
    """
    text, month, note = open_report(page, vkey)
    found, _ = verify(export, vkey, [note])
    if found:
        return found
    _, size, _ = read_checkpoint(split_note((export / "checkpoint").read_text("utf-8"))[0])
    made = report(_events(export, size), month, note)
    told, wanted = text.split("\n"), made.split("\n")
    differing = [(a, b) for a, b in zip(told, wanted, strict=False) if a != b]
    found = [f"the page says {a!r}, and from the log it is {b!r}" for a, b in differing]
    return found + ["the page has more or fewer lines than follow from the log"] * (len(told) != len(wanted))


def _events(export: Path, size: int) -> Iterator[tuple[int, Event]]:
    """The events of a verified export."""
    for start in range(0, size, WIDTH):
        bundle = (export / entries_path(start // WIDTH, min(WIDTH, size - start))).read_bytes()
        for index, body in enumerate(unpack_entries(bundle), start):
            yield index, unchecked(body)


def _spend(month: _Month) -> Iterator[tuple[str, str, list[int]]]:
    labels = {"query.charge": "by queries 查询", "cap.forfeit": "forfeited 放弃"}
    for (type_, population), spent in sorted(month.spent.items()):
        amounts = ", ".join(
            f"{counter} {spelled(amount, places)}" for amount, (counter, places) in zip(spent, _COUNTERS, strict=True)
        )
        yield f"{_word(population)} {labels[type_]}", amounts, month.spending[type_, population]


def _table(title: str, rows: list[tuple[str, str, list[int]]]) -> list[str]:
    head = ["", f"## {title}", "", "| what 项目 | figure 数值 | places in the log 日志位置 |", "|---|---|---|"]
    return [*head, *(f"| {label} | {figure} | {_places(leaves)} |" for label, figure, leaves in rows)]


def _places(leaves: list[int]) -> str:
    """`12–15, 20`; of many, the ends, the number, and the SHA-256 of all of them in decimal, one a line."""
    if not leaves:
        return "-"
    ranges: list[list[int]] = []
    for leaf in leaves:
        if ranges and ranges[-1][1] == leaf - 1:
            ranges[-1][1] = leaf
        else:
            ranges.append([leaf, leaf])
    if len(ranges) <= _RANGES:
        return ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in ranges)
    digest = INTL.digest("".join(f"{leaf}\n" for leaf in leaves).encode()).hex()
    return f"{len(leaves)} of 其中 {leaves[0]}–{leaves[-1]}, sha256 {digest}"


def _word(text: str) -> str:
    """A code or an id; whatever could break the page is a question mark."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "?", text)[:80]
