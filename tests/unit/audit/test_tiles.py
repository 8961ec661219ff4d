"""Tiles: any root, proof or tile of any size follows from them, in a handful of reads, and paths have one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.audit import merkle, tiles
from sandbox.audit.tiles import (
    FULL,
    Tiles,
    pack_entries,
    parse_tile_path,
    rows_of_tiles,
    tile_path,
    unpack_entries,
    width_at,
)
from sandbox.errors import IntegrityFailed, NotFound

LEAVES = [merkle.leaf_hash(b"%d" % n) for n in range(70_000)]
SIZES = [0, 1, 2, 3, 100, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, 70_000]


class Store:
    """Kept tiles, and how often they are read; `growing`: those of levels 1 and up also while they are partial."""

    def __init__(self, *, growing: bool) -> None:
        self.growing = growing
        self.kept: dict[tuple[int, int], bytes] = {}
        self.reads = 0

    def read(self, level: int, index: int) -> bytes | None:
        self.reads += 1
        return self.kept.get((level, index))

    def keep(self, changed: dict[tuple[int, int], bytes]) -> None:
        self.kept |= {place: tile for place, tile in changed.items() if self.growing or len(tile) == FULL}

    def tree(self, size: int) -> Tiles:
        return Tiles(self.read, size, b"".join(LEAVES[size - size % 256 : size]))


def tiles_at(size: int) -> list[tuple[int, int, int]]:
    """(level, index, width) of every tile of hashes in a tree of `size` leaves."""
    return [
        (level, index, width_at(level, index, size))
        for level, hashes in rows_of_tiles(size)
        for index in range(-(-hashes // tiles.WIDTH))
    ]


def full_at(size: int) -> set[tuple[int, int]]:
    return {(level, index) for level, index, width in tiles_at(size) if width == tiles.WIDTH}


def grown(size: int, *, growing: bool) -> Store:
    store = Store(growing=growing)
    _, changed = store.tree(0).grow(LEAVES[:size])
    store.keep(changed)
    return store


@pytest.fixture(scope="module", params=[True, False], ids=["growing tiles kept", "full tiles kept"])
def stores(request: pytest.FixtureRequest) -> dict[int, Store]:
    return {size: grown(size, growing=request.param) for size in SIZES}


@pytest.mark.parametrize("size", SIZES)
def test_the_root_is_that_of_the_leaves(stores: dict[int, Store], size: int) -> None:
    tree = stores[size].tree(size)
    assert tree.root() == merkle.root(LEAVES[:size])


@pytest.mark.parametrize("size", SIZES[1:])
def test_every_proof_is_that_of_the_leaves(stores: dict[int, Store], size: int) -> None:
    tree, leaves = stores[size].tree(size), LEAVES[:size]
    for index in {0, size // 3, size - 1}:
        assert tree.inclusion(index) == merkle.inclusion_proof(leaves, index)
        assert tree.leaf(index) == leaves[index]
    for old in {0, 1, size // 2, size - size % 256, size - 1, size}:
        assert tree.consistency(old) == merkle.consistency_proof(leaves, old)
    for wrong in (-1, size):
        for prove in (tree.inclusion, tree.leaf):
            with pytest.raises(IndexError):
                prove(wrong)
    for wrong in (-1, size + 1):
        with pytest.raises(IndexError):
            tree.consistency(wrong)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=12), st.booleans())
def test_it_grows_as_it_likes_and_stays_the_same_tree(steps: list[int], growing: bool) -> None:
    store, size = Store(growing=growing), 0
    alone = store.tree(0)
    for step in steps:
        leaves = LEAVES[size : size + step]
        alone, _ = alone.grow(leaves)  # in memory only
        restarted, changed = store.tree(size).grow(leaves)  # from what is kept
        full = {place for place, tile in changed.items() if len(tile) == FULL}
        assert full == full_at(size + step) - full_at(size)
        store.keep(changed)
        size += step
        expected = merkle.root(LEAVES[:size])
        assert alone.root() == restarted.root() == store.tree(size).root() == expected
        if size:
            assert merkle.verify_inclusion(LEAVES[size - 1], size - 1, size, restarted.inclusion(size - 1), expected)


def test_a_proof_takes_a_handful_of_reads() -> None:
    store = grown(70_000, growing=True)
    for index in (0, 12_345, 69_999):
        store.reads = 0
        store.tree(70_000).inclusion(index)
        assert store.reads <= 5
    store.reads = 0
    store.tree(70_000).consistency(12_345)
    assert store.reads <= 5


def test_a_tile_that_is_not_kept_is_named() -> None:
    store = grown(70_000, growing=False)
    del store.kept[0, 7]
    with pytest.raises(IntegrityFailed, match="tile_missing") as caught:
        store.tree(70_000).inclusion(7 * 256)
    assert caught.value.params == {"level": 0, "index": 7}
    store.kept[0, 7] = b"x" * (FULL - 32)
    with pytest.raises(IntegrityFailed, match="tile_missing"):
        store.tree(70_000).inclusion(7 * 256)


def test_tiles_of_an_earlier_size_are_beginnings() -> None:
    """A gateway that has grown since still serves what an older checkpoint needs."""
    store = grown(70_000, growing=True)
    for size in (300, 65_536, 66_000):
        tree = Tiles(store.read, size, b"".join(LEAVES[size - size % 256 : size]))
        assert tree.root() == merkle.root(LEAVES[:size])
        for level, index, width in tiles_at(size):
            hashes = tree.tile(level, index, width)
            assert len(hashes) == 32 * width
            assert tree.tile(level, index) == hashes
    tree = store.tree(70_000)
    assert tree.tile(1, 0) == b"".join(merkle.root(LEAVES[256 * n : 256 * n + 256]) for n in range(256))
    assert tree.tile(2, 0) == merkle.root(LEAVES[:65_536])
    for level, index, width in (
        (0, 273, 113),
        (0, 274, 1),
        (1, 1, 18),
        (3, 0, 1),
        (0, 0, 257),
        (0, 0, 0),
        (0, -1, 1),
        (70, 0, 1),
    ):
        with pytest.raises(NotFound, match="tile_missing"):
            tree.tile(level, index, width)


def test_the_example_of_the_standard() -> None:
    """C2SP tlog-tiles: a tree of size 70,000, and one of size 256."""
    places = tiles_at(70_000)
    assert len([p for p in places if p[0] == 0 and p[2] == 256]) == 273
    assert [p for p in places if p[2] < 256] == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert tiles_at(256) == [(0, 0, 256), (1, 0, 1)]
    assert tiles_at(0) == []
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert width_at(1, 1, 70_000) == 17


@given(st.integers(0, 63), st.integers(0, 10**15 - 1), st.integers(1, 256), st.booleans())
def test_a_path_names_its_place(level: int, index: int, width: int, entries: bool) -> None:
    path = tiles.entries_path(index, width) if entries else tile_path(level, index, width)
    place = parse_tile_path(path)
    assert (place.level, place.index, place.width) == (None if entries else level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "", "tile", "tile/0", "tile/0/", "tile/0/1", "tile/0/0000", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/0/x000/000",
        "tile/0/x1/000", "tile/0/001/000", "tile/0/x001", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/",
        "tile/0/000/", "/tile/0/000", "tile/data/000", "tile/0/..", "tile/0/000\n", "tile/0/٠٠٠", "tile/entries", "tile/0/" + "x001/" * 6 + "000",
    ],
)  # fmt: skip
def test_nothing_else_is_a_path(path: str) -> None:
    with pytest.raises(NotFound, match="tile_path_malformed"):
        parse_tile_path(path)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_gives_back_its_entries(bodies: list[bytes]) -> None:
    assert unpack_entries(pack_entries(bodies)) == bodies


def test_a_bundle_that_is_cut_off_is_named_and_an_entry_too_long_refused() -> None:
    bundle = pack_entries([b"a", b"bc", b"x" * 65_535])
    assert len(unpack_entries(bundle)) == 3
    for cut in (1, 2, 4, 6, len(bundle) - 1):
        with pytest.raises(IntegrityFailed, match="entries_malformed"):
            unpack_entries(bundle[:cut])
    with pytest.raises(IntegrityFailed, match="entry_too_long"):
        pack_entries([b"x" * 65_536])
