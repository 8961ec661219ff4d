"""The public log: anybody reads checkpoint and hashes, the auditor entries too, and every byte of it proves itself."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest

from sandbox.audit.checkpoint import open_note
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.tiles import HASH, WIDTH, Tiles, entries_path, tile_path, unpack_entries
from sandbox.flow import Principal
from sandbox.store import log
from tests.unit.audit.test_tiles import tiles_at
from tests.unit.gateway.living import Living, living


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A log of 600 and some events, numbered once: nothing grows while the tests look."""
    from sandbox.work.sequence import Sequencer

    with living(tmp_path_factory.mktemp("tlog")) as found:
        house = found.house
        nobody = Principal(id="prn_x", tenant="ten_x", roles=frozenset())
        with house.sessions.begin() as session:
            for number in range(600):
                details = {"what": str(number)}
                log.append(session, house.clock, "log.read", actor=nobody, subject="x", details=details)
        sequencer = Sequencer(house.sessions, house.clock, name=house.log_name, key=house.log_key)
        while sequencer.run():
            pass
        yield found


def get(alive: Living, path: str, who: str = "", **headers: str) -> httpx2.Response:
    sent = {**(alive.who(who) if who else {}), **{name.replace("_", "-"): v for name, v in headers.items()}}
    return alive.client.get(path, headers=sent)


def size_of(alive: Living) -> tuple[int, bytes]:
    vkey = (alive.house.home / "log.vkey").read_text()
    return open_note(get(alive, "/log/checkpoint").text, vkey)[1:]


def test_a_stranger_rebuilds_the_tree_from_its_tiles(alive: Living) -> None:
    size, root = size_of(alive)
    assert size > 600

    def read(level: int, index: int) -> bytes | None:
        width = min(WIDTH, (size >> 8 * level) - index * WIDTH)
        return get(alive, f"/log/{tile_path(level, index, width)}").content

    assert Tiles(read, size).root() == root


def test_every_tile_of_the_checkpoint_is_served_and_no_other(alive: Living) -> None:
    size, _ = size_of(alive)
    for level, index, width in tiles_at(size):
        response = get(alive, f"/log/{tile_path(level, index, width)}")
        assert (response.status_code, len(response.content)) == (200, width * HASH)
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["content-type"] == "application/octet-stream"
        if width < WIDTH:
            for wider in (width + 1, WIDTH):
                refused = get(alive, f"/log/{tile_path(level, index, wider)}")
                assert (refused.status_code, refused.json()["code"]) == (404, "tile_missing")
                assert refused.headers["cache-control"] == "no-store", "it may be there a moment later"
            narrower = get(alive, f"/log/{tile_path(level, index, 1)}")
            assert narrower.content == response.content[:HASH]
        else:
            partial = get(alive, f"/log/{tile_path(level, index, 7)}")
            assert partial.content == response.content[: 7 * HASH], "a partial tile stays when the full one is there"


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/", "0/0", "0/00", "0/0000", "0/x000/000", "0/000.p/0", "0/000.p/256", "0/000.p/01", "0/000.p/-1", "0/1e3",
     "-1/000", "64/000", "00/000", "x/000", "0/000/", "0/000.p/5/", "0/x999/x999/x999/x999/999", "99/000"],
)  # fmt: skip
def test_what_names_no_tile_is_404(alive: Living, path: str) -> None:
    for prefix in ("/log/tile/", "/log/tile/entries/"):
        response = get(alive, prefix + path, "auditor")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


def test_entries_are_the_auditors_alone(alive: Living) -> None:
    size, _ = size_of(alive)
    leaves = b""
    for index in range(-(-size // WIDTH)):
        width = min(WIDTH, size - index * WIDTH)
        response = get(alive, f"/log/{entries_path(index, width)}", "auditor")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        bodies = unpack_entries(response.content)
        leaves = b"".join(map(leaf_hash, bodies))
        assert leaves == get(alive, f"/log/{tile_path(0, index, width)}").content
    assert len(leaves) == size % WIDTH * HASH
    path = f"/log/{entries_path(0)}"
    assert (get(alive, path).status_code, get(alive, path).json()["code"]) == (401, "key_missing")
    for name in ("operator", "steward", "member1", "engineer"):
        response = get(alive, path, name)
        assert (response.status_code, response.json()["code"]) == (403, "not_your_role")
    beyond = get(alive, f"/log/{entries_path(size // WIDTH, size % WIDTH + 1)}", "auditor")
    assert (beyond.status_code, beyond.json()["code"]) == (404, "tile_missing")


def test_following_the_entries_is_logged_but_does_not_feed_itself(alive: Living) -> None:
    before = len(alive.events("log.read"))
    for _ in range(5):
        assert get(alive, f"/log/{entries_path(0)}", "auditor").status_code == 200
    assert len(alive.events("log.read")) - before <= 1
    assert {"actor": alive.people["auditor"].id, "what": "entry bundles"} in alive.events("log.read")


def test_what_has_not_changed_is_not_sent_again(alive: Living) -> None:
    for path in ("/log/checkpoint", f"/log/{tile_path(0, 0)}"):
        first = get(alive, path)
        again = get(alive, path, If_None_Match=first.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert get(alive, path, If_None_Match='"other", "another"').status_code == 200
        assert get(alive, path, If_None_Match=f'"other", {first.headers["etag"]}').status_code == 304
    assert get(alive, "/log/checkpoint").headers["cache-control"] == "no-cache"
    assert get(alive, "/log/checkpoint").headers["content-type"] == "text/plain; charset=utf-8"


def test_the_public_log_tells_sizes_and_hashes_only(alive: Living) -> None:
    """Nothing of an event is in it: 32 bytes each, whatever happened."""
    size, root = size_of(alive)
    note = get(alive, "/log/checkpoint").text
    assert note.startswith(f"{alive.house.log_name}\n{size}\n{base64.b64encode(root).decode()}\n\n— ")
    assert len(note.splitlines()) == 5


def test_a_log_without_checkpoint_has_none(tmp_path: Any) -> None:
    with living(tmp_path) as bare:
        assert (get(bare, "/log/checkpoint").status_code, get(bare, "/log/checkpoint").json()["code"]) == (
            404, "checkpoint_missing",
        )  # fmt: skip
        assert get(bare, f"/log/{tile_path(0, 0, 1)}").status_code == 404
