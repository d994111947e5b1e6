from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cluster.ipam import Ipam, PoolExhausted, fnv32

POOL = IPv4Network("10.46.0.0/16")


def ipam(**fixed: str) -> Ipam:
    return Ipam(POOL, 26, {node: [IPv4Network(block)] for node, block in fixed.items()})


def test_the_seed_is_fnv_1_as_in_go() -> None:
    assert fnv32("") == 0x811C9DC5
    assert fnv32("a") == 0x050C5D7E
    assert fnv32("foobar") == 0x31F0B262


def test_addresses_are_handed_out_in_order_the_network_address_first() -> None:
    addresses = ipam(w1="10.46.104.192/26")
    assert [str(addresses.assign("w1")) for _ in range(3)] == ["10.46.104.192", "10.46.104.193", "10.46.104.194"]


def test_the_place_of_a_block_depends_on_the_name_of_the_node_alone() -> None:
    first, second = ipam(), ipam()
    second.assign("somebody-else")
    assert first.assign("c1-w1") == second.assign("c1-w1")


def test_the_search_wraps_around_at_the_end_of_the_pool() -> None:
    pool = IPv4Network("10.0.0.0/24")
    last = next(name for name in map(str, range(100)) if Ipam(pool, 26, {}).assign(name) == IPv4Address("10.0.0.192"))
    addresses = Ipam(pool, 26, {"other": [IPv4Network("10.0.0.192/26")]})
    assert addresses.assign(last) == IPv4Address("10.0.0.0")


def test_nodes_with_like_names_have_blocks_far_apart() -> None:
    addresses = ipam()
    blocks = [int(addresses.assign(f"c1-w{n}")) // 64 for n in range(1, 5)]
    assert all(abs(a - b) > 4 for a in blocks for b in blocks if a != b)


def test_a_full_block_makes_the_node_claim_the_next_one() -> None:
    addresses = ipam(w1="10.46.104.192/26")
    for _ in range(64):
        addresses.assign("w1")
    addresses.assign("w1")
    assert len(addresses.blocks("w1")) == 2


def test_an_address_of_another_nodes_block_is_refused() -> None:
    with pytest.raises(PoolExhausted, match=r"belongs to node w1"):
        ipam(w1="10.46.104.192/26").reserve("w2", IPv4Address("10.46.104.200"))


def test_an_address_in_nobodys_block_makes_the_block_the_nodes() -> None:
    addresses = ipam()
    addresses.reserve("w2", IPv4Address("10.46.7.5"))
    assert addresses.blocks("w2") == (IPv4Network("10.46.7.0/26"),)


def test_an_address_outside_the_pool_is_refused() -> None:
    with pytest.raises(PoolExhausted, match=r"not in the pool"):
        ipam().reserve("w1", IPv4Address("10.47.0.1"))


@given(st.lists(st.text("abcdefgh0123456789-", min_size=1, max_size=12), min_size=1, max_size=40))
def test_no_address_is_handed_out_twice_and_blocks_never_overlap(nodes: list[str]) -> None:
    addresses = Ipam(IPv4Network("10.0.0.0/20"), 26, {})
    handed_out = [addresses.assign(node) for node in nodes]
    assert len(set(handed_out)) == len(handed_out)
    blocks = [block for node in set(nodes) for block in addresses.blocks(node)]
    assert len(set(blocks)) == len(blocks)
    for node, address in zip(nodes, handed_out, strict=True):
        assert any(address in block for block in addresses.blocks(node))
