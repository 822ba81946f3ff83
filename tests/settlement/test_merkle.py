"""Merkle trees: RFC 6962's own values, and proofs that hold for what is there and for nothing else."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.settlement import merkle

# The eight leaves and the roots of the first one, two, ... eight of them that the reference
# implementation of RFC 6962 (certificate-transparency) tests itself with.
LEAVES = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def _defined(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + _defined(leaves[:k]) + _defined(leaves[k:])).digest()


def _leaves(count: int) -> list[bytes]:
    return [f"leaf {number}".encode() for number in range(count)]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference_implementation(size: int) -> None:
    assert merkle.root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_a_tree_grown_leaf_by_leaf_has_the_root_that_the_rfc_defines(leaves: list[bytes]) -> None:
    assert merkle.root_of(leaves) == _defined(leaves)


@given(st.lists(st.lists(st.binary(max_size=8), max_size=20), max_size=8))
def test_it_does_not_matter_in_what_portions_a_tree_grows(portions: list[list[bytes]]) -> None:
    tree = merkle.Tree()
    for portion in portions:
        tree.extend(portion)
    leaves = [leaf for portion in portions for leaf in portion]
    assert (tree.size, tree.root()) == (len(leaves), _defined(leaves))


def test_every_leaf_of_every_tree_is_proved_and_no_other_place_or_leaf_is() -> None:
    for size in range(1, 34):
        leaves = _leaves(size)
        hashes, root = [merkle.leaf_hash(leaf) for leaf in leaves], merkle.root_of(leaves)
        for index in range(size):
            path = merkle.inclusion_path(hashes, index)
            assert merkle.includes(hashes[index], index, size, path, root)
            assert not any(
                merkle.includes(hashes[index], other, size, path, root)
                for other in range(size)
                if other != index
            )
            assert not merkle.includes(merkle.leaf_hash(b"another"), index, size, path, root)
            assert not merkle.includes(hashes[index], index, size, [*path, root], root)
            if path:
                assert not merkle.includes(hashes[index], index, size, path[:-1], root)


def test_a_node_never_passes_for_a_leaf() -> None:
    leaves = _leaves(2)
    inner = merkle.leaf_hash(leaves[0]) + merkle.leaf_hash(leaves[1])
    assert merkle.leaf_hash(inner) != merkle.root_of(leaves)


def test_places_outside_the_tree_are_never_proved() -> None:
    root = merkle.root_of([b"one"])
    assert not merkle.includes(root, 1, 1, [], root)
    assert not merkle.includes(root, -1, 1, [], root)
    assert not merkle.includes(root, 0, 0, [], root)
    assert not merkle.includes(root, 0, 1, [root] * (merkle.PATH_MAX + 1), root)
    with pytest.raises(IndexError):
        merkle.inclusion_path([root], 1)
