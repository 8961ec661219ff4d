"""The Merkle tree of the log: leaf hashes, roots kept up to date, proofs of inclusion and of consistency.

Source: RFC 6962 section 2.1 (hashes, roots and proofs); RFC 9162 sections 2.1.3.2 and 2.1.4.2 (checking proofs).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sandbox.crypto.suite import INTL

EMPTY_ROOT = INTL.digest(b"")
"""The root of the tree without leaves."""


def leaf_hash(body: bytes) -> bytes:
    """The hash of an entry: a 0x00 before it, so that no inner node can pass for a leaf."""
    return INTL.digest(b"\x00" + body)


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: a 0x01, then its children."""
    return INTL.digest(b"\x01" + left + right)


class Frontier:
    """The right edge of a growing tree: the roots of its full subtrees, largest first, at most 64 of them.

    Whoever follows a log pushes leaves one by one and asks for the root at any size, without hashing the rest again.
    """

    __slots__ = ("_roots", "size")

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._roots: list[bytes] = []
        for leaf in leaves:
            self.push(leaf)

    def push(self, leaf: bytes) -> None:
        """Append one leaf hash."""
        node, size = leaf, self.size
        while size & 1:  # a full subtree of the same height stands to the left: the two become one
            node = node_hash(self._roots.pop(), node)
            size >>= 1
        self._roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root of all leaves so far."""
        if not self._roots:
            return EMPTY_ROOT
        node = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            node = node_hash(left, node)
        return node


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, in order."""
    return Frontier(leaves).root()


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (which is at least 2)."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges of leaves whose roots lead from leaf `index` to the root over `size`, lowest first.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise IndexError(index)
    ranges: list[tuple[int, int]] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return ranges[::-1]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings that lead from leaf `index` to the root, lowest first.

    Raises:
        IndexError: there is no such leaf.
    """
    return [root(leaves[low:high]) for low, high in inclusion_ranges(index, len(leaves))]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether `proof` shows that `leaf` is number `index` among the `size` leaves under the root `expected`."""
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node == expected


def consistency_ranges(old_size: int, size: int) -> list[tuple[int, int]]:
    """The ranges of leaves from whose roots both the root over `old_size` and that over `size` follow, lowest first.

    Raises:
        IndexError: `old_size` is not between 0 and `size`.
    """
    if not 0 <= old_size <= size:
        raise IndexError(old_size)
    if old_size in {0, size}:
        return []
    ranges: list[tuple[int, int]] = []
    low, high, whole = 0, size, True  # whole: the old tree is exactly the subtree looked at
    while old_size != high:
        middle = low + _split(high - low)
        if old_size <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low, whole = middle, False
    if not whole:
        ranges.append((low, high))
    return ranges[::-1]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Nodes from which both the root of the first `old_size` leaves and that of all leaves follow.

    Raises:
        IndexError: `old_size` is not between 0 and the number of leaves.
    """
    return [root(leaves[low:high]) for low, high in consistency_ranges(old_size, len(leaves))]


def verify_consistency(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether `proof` shows that the tree under `new_root` only appended to the tree under `old_root`."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size in {0, new_size}:
        return not proof and (old_root == new_root if old_size else old_root == EMPTY_ROOT)
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, node)
        place, last = place >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root
