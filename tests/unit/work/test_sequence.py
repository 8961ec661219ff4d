"""The sequencer: every committed event gets one place, causes come first, and its tiles lead to what it signed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.audit import merkle
from sandbox.audit.checkpoint import open_note
from sandbox.audit.event import decode
from sandbox.audit.tiles import WIDTH
from sandbox.errors import Conflict, DependencyFailed
from sandbox.store import log, migrations, numbering, tiles
from sandbox.store.sessions import Sessions
from sandbox.work.leases import Lease
from sandbox.work.sequence import Sequencer
from sandbox.work.tree import Tree
from tests.unit.work.conftest import Opener
from tests.unit.work.logs import NAME, SOMEBODY, Log


@pytest.fixture
def kept(sessions: Sessions, tmp_path: Path) -> Log:
    return Log(sessions, tmp_path)


def check(kept: Log) -> int:
    """Places are 0, 1, 2, …; the checkpoint signs exactly them; kept tiles are the full ones. Gives the size."""
    with kept.sessions.reading() as session:
        size = log.size(session)
        leaves = log.leaves(session)
        assert [index for index, _, _ in log.entries(session, 0, 2**62)] == list(range(size))
        assert [merkle.leaf_hash(body) for body in log.bodies(session, 0, size)] == leaves
        assert open_note(kept.note()[1], kept.vkey) == (NAME, size, merkle.root(leaves))
        assert tiles.covered(session) == size - size % WIDTH
        tree = Tree().at(session, size)
        assert tree.root() == merkle.root(leaves)
        for index in {0, size // 2, size - 1}:
            assert merkle.verify_inclusion(leaves[index], index, size, tree.inclusion(index), tree.root())
    return size


@pytest.mark.parametrize("counts", [[1], [255, 1, 1], [300, 724]])
def test_tiles_and_checkpoint_follow_the_events(kept: Log, counts: list[int]) -> None:
    sequencer = kept.sequencer()
    for count in counts:
        kept.write_many(count) if count > 1 else kept.write()
        while sequencer.run():
            pass
    assert check(kept) == sum(counts)
    assert not sequencer.run(), "nothing is new"


def test_tiles_of_tiles(tmp_path: Path) -> None:
    """More than 65,536 events: a full tile of the second level, and one of the third that grows."""
    migrations.upgrade(tmp_path / "home.db")
    kept = Log(Sessions(tmp_path / "home.db"), tmp_path)
    for count in (65_536 - 3, 2, 300):
        kept.write_many(count)
        kept.sequence()
        check(kept)
    kept.sessions.close()


def test_a_restart_goes_on_from_the_tiles(kept: Log) -> None:
    for _ in range(6):
        kept.write_many(200)
        kept.sequence()  # each time with a sequencer that knows nothing
        check(kept)


def test_an_empty_log_is_not_signed(kept: Log) -> None:
    assert not kept.sequencer().run()
    with kept.sessions.reading() as session:
        assert log.checkpoint(session) is None


def test_sixteen_writers_lose_nothing_and_causes_come_first(kept: Log, open_sessions: Opener) -> None:
    """Each writer's next event is the effect of its last one, and every event of another that it has read."""
    sequencer, stop = Sequencer(open_sessions(), kept.clock, name=NAME, key=kept.key), threading.Event()
    newest: dict[int, str] = {}
    told: dict[str, set[str]] = {}

    def sequence() -> None:
        while not stop.is_set() or sequencer.run():
            sequencer.run()

    def write(writer: int) -> None:
        sessions = open_sessions()
        for _ in range(15):
            causes = set(newest.values())
            with sessions.begin() as session:
                event = log.append(session, kept.clock, "log.read", actor=SOMEBODY, subject="x", details={"what": "x"})
            told[event] = causes
            newest[writer] = event

    thread = threading.Thread(target=sequence)
    thread.start()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(16)))
    stop.set()
    thread.join()
    assert check(kept) == 16 * 15
    place = {decode(body).id: index for index, body in enumerate(kept.bodies())}
    assert place.keys() == told.keys()
    assert all(place[cause] < place[event] for event, causes in told.items() for cause in causes)


def test_two_sequencers_at_one_time_number_once(kept: Log, open_sessions: Opener) -> None:
    """Without any fence at all: the places are unique, and who is late does nothing."""
    kept.write_many(3000)
    sequencers = [Sequencer(open_sessions(), kept.clock, name=NAME, key=kept.key) for _ in range(4)]

    def run(sequencer: Sequencer) -> None:
        for _ in range(5):
            try:
                sequencer.run()
            except DependencyFailed as error:
                assert error.code == "database_busy"  # noqa: PT017  # it may be raised, and need not be

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, sequencers))
    kept.sequence()
    assert check(kept) == 3000


def test_a_sequencer_whose_lease_was_taken_changes_nothing(kept: Log) -> None:
    held = [Lease(kept.sessions, kept.times.clock(), name="sequence", owner=who, seconds=10) for who in "ab"]
    sleeper, other = (kept.sequencer(guard=lease.guard) for lease in held)
    assert held[0].hold()
    kept.write(10)
    kept.times.pass_(60)
    assert held[1].hold()
    with pytest.raises(Conflict, match="lease_lost"):
        sleeper.run()
    with kept.sessions.reading() as session:
        assert log.size(session) == 0
    assert other.run()
    assert check(kept) == 10


def test_a_log_without_tiles_gets_them_before_anything_else(kept: Log) -> None:
    """As release 0.1 left it: numbered and signed, without tiles, and events waiting."""
    kept.write_many(20_000)
    with kept.sessions.begin() as session:
        while numbering.number(session):
            pass
    kept.write(5)
    sequencer = kept.sequencer()
    assert sequencer.run()
    assert sequencer.run()
    while sequencer.run():
        pass
    assert check(kept) == 20_005


def test_only_some_get_their_places(kept: Log) -> None:
    first, second = kept.write(3), kept.write(2)
    with kept.sessions.begin() as session:
        assert numbering.waiting_ids(session) == first + second
        assert numbering.number(session, only=first) == 3
        assert numbering.waiting_ids(session) == second
    kept.sequence()
    assert [decode(body).id for body in kept.bodies()] == first + second
