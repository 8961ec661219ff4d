"""The tree against RFC 6962's own recursive words, its known vectors, and forged proofs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit import merkle

ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
"""The eight entries that implementations of RFC 6962 test with, and the roots over the first n of them."""
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(entries: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    n = len(entries)
    if n == 0:
        return hashlib.sha256(b"").digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = max(2**i for i in range(64) if 2**i < n)
    return hashlib.sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1."""
    n = len(entries)
    if n == 1:
        return []
    k = max(2**i for i in range(64) if 2**i < n)
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def subproof(m: int, entries: list[bytes], whole: bool) -> list[bytes]:
    """RFC 6962 section 2.1.2."""
    n = len(entries)
    if m == n:
        return [] if whole else [mth(entries)]
    k = max(2**i for i in range(64) if 2**i < n)
    if m <= k:
        return [*subproof(m, entries[:k], whole), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def numbered(count: int) -> list[bytes]:
    return [n.to_bytes(2, "big") for n in range(count)]


def hashed(entries: list[bytes]) -> list[bytes]:
    return [merkle.leaf_hash(entry) for entry in entries]


@pytest.mark.parametrize("count", range(9))
def test_known_roots(count: int) -> None:
    assert merkle.root(hashed(ENTRIES[:count])).hex() == ROOTS[count]


def test_the_empty_root_is_the_hash_of_nothing() -> None:
    assert hashlib.sha256(b"").digest() == merkle.EMPTY_ROOT


@given(st.lists(st.binary(max_size=6), max_size=70))
def test_roots_are_as_the_rfc_defines_them(entries: list[bytes]) -> None:
    assert merkle.root(hashed(entries)) == mth(entries)


def test_a_frontier_has_the_root_at_every_size() -> None:
    entries, frontier = numbered(130), merkle.Frontier()
    for size in range(131):
        assert frontier.size == size
        assert frontier.root() == mth(entries[:size])
        if size < 130:
            frontier.push(merkle.leaf_hash(entries[size]))
    assert merkle.Frontier(hashed(entries)).root() == frontier.root()


@given(st.integers(1, 70).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))))
def test_inclusion_proofs_are_the_rfcs_and_hold(drawn: tuple[int, int]) -> None:
    size, index = drawn
    entries = numbered(size)
    leaves = hashed(entries)
    proof = merkle.inclusion_proof(leaves, index)
    assert proof == path(index, entries)
    root = merkle.root(leaves)
    assert merkle.verify_inclusion(leaves[index], index, size, proof, root)
    assert not merkle.verify_inclusion(leaves[index], index, size, [*proof, root], root)
    assert not merkle.verify_inclusion(merkle.leaf_hash(b"other"), index, size, proof, root)
    assert not merkle.verify_inclusion(leaves[index], index, size, proof, merkle.EMPTY_ROOT)
    for wrong in {index - 1, index + 1, size} - {index}:
        assert not merkle.verify_inclusion(leaves[index], wrong, size, proof, root)
    for place in range(len(proof)):
        forged = [*proof[:place], merkle.EMPTY_ROOT, *proof[place + 1 :]]
        assert not merkle.verify_inclusion(leaves[index], index, size, forged, root)
        assert not merkle.verify_inclusion(leaves[index], index, size, proof[:place], root)


@given(st.integers(0, 70).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_consistency_proofs_are_the_rfcs_and_hold(drawn: tuple[int, int]) -> None:
    size, old_size = drawn
    entries = numbered(size)
    leaves = hashed(entries)
    proof = merkle.consistency_proof(leaves, old_size)
    if old_size:
        assert proof == subproof(old_size, entries, True)
    old, new = merkle.root(leaves[:old_size]), merkle.root(leaves)
    other = merkle.leaf_hash(b"other")
    assert merkle.verify_consistency(old_size, size, proof, old, new)
    assert not merkle.verify_consistency(old_size, size, [*proof, new], old, new)
    assert not merkle.verify_consistency(old_size, size, proof, other, new)
    assert not merkle.verify_consistency(size + 1, size, proof, old, new)
    if old_size:
        assert not merkle.verify_consistency(old_size, size, proof, old, other)
    for place in range(len(proof)):
        forged = [*proof[:place], other, *proof[place + 1 :]]
        assert not merkle.verify_consistency(old_size, size, forged, old, new)
        assert not merkle.verify_consistency(old_size, size, proof[:place], old, new)


def test_a_log_that_changed_an_old_entry_has_no_proof() -> None:
    entries = numbered(11)
    forked = [*entries[:2], b"changed", *entries[3:]]
    proof = merkle.consistency_proof(hashed(forked), 7)
    assert not merkle.verify_consistency(7, 11, proof, mth(entries[:7]), mth(forked))


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    left, right = hashed([b"a", b"b"])
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


def test_places_outside_the_tree_are_refused() -> None:
    leaves = hashed(numbered(3))
    for index in (-1, 3):
        with pytest.raises(IndexError):
            merkle.inclusion_proof(leaves, index)
    for old_size in (-1, 4):
        with pytest.raises(IndexError):
            merkle.consistency_proof(leaves, old_size)
