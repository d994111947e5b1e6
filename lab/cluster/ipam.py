"""Calico IPAM: which node owns which blocks of the pool, and which address a pod or a tunnel device gets.

A node claims blocks by affinity. The search for a free one starts at a place that depends on the node's name and walks upward
with wrap-around, so blocks lie scattered over the pool, and the same on every run. Inside a block, addresses are handed out in
order, the network address included. Source: Calico libcalico-go/lib/ipam/ipam_block_reader_writer.go and ipam_block.go.

Calico seeds Go's math/rand with the FNV-1 hash of the host name; here the same seed goes to Python's generator. The scatter is of
the same kind, the blocks are not those a real cluster would choose. `blocks` of a node fixes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from lab.state.objects import Address, Network


class PoolExhausted(Exception):
    """No block of the pool is free, or the address asked for cannot be had; the text says which."""


def fnv32(text: str) -> int:
    """Return the 32 bit FNV-1 hash of a text, as Go's hash/fnv New32 computes it."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value * 0x01000193 & 0xFFFFFFFF) ^ byte
    return value


class Ipam:
    """The blocks of one pool. `fixed` are blocks that belong to nodes from the beginning, and to nobody else.

    `strict`: no node gets an address of another node's block (Calico's strictAffinity).
    """

    def __init__(self, pool: Network, block_size: int, fixed: Mapping[str, Sequence[Network]], *, strict: bool = True) -> None:
        self._pool = pool
        self._strict = strict
        self._block_size = block_size
        self._blocks: dict[str, list[Network]] = {node: list(blocks) for node, blocks in fixed.items()}
        self._owner: dict[Network, str] = {block: node for node, blocks in fixed.items() for block in blocks}
        self._used: set[Address] = set()

    def blocks(self, node: str) -> tuple[Network, ...]:
        """Return the blocks of a node in the order it claimed them."""
        return tuple(self._blocks.get(node, ()))

    def reserve(self, node: str, address: Address) -> None:
        """Hand out one particular address; a block nobody owns becomes the node's, a block of another node lends it.

        Raises PoolExhausted where it does not, with strict affinity, and where the address is taken.
        """
        if address not in self._pool:
            raise PoolExhausted(f"{address} is not in the pool {self._pool}")
        if address in self._used:
            raise PoolExhausted(f"{address} is taken already")
        block = next((b for b in self._owner if address in b), None)
        if block is None:
            block = type(self._pool)((int(address), self._block_size), strict=False)
            self._claim(node, block)
        elif self._owner[block] != node and self._strict:
            raise PoolExhausted(f"{address} lies in {block}, which belongs to node {self._owner[block]}")
        self._used.add(address)

    def assign(self, node: str) -> Address:
        """Hand out the first free address of the node's blocks, claiming another block where all of them are full."""
        while True:
            for block in self._blocks.get(node, ()):
                for address in _addresses(block):
                    if address not in self._used:
                        self._used.add(address)
                        return address
            self._claim(node, self._free_block(node))

    def _claim(self, node: str, block: Network) -> None:
        self._blocks.setdefault(node, []).append(block)
        self._owner[block] = node

    def _free_block(self, node: str) -> Network:
        size = 1 << (self._pool.max_prefixlen - self._block_size)
        count = self._pool.num_addresses // size
        start = int(Random(fnv32(node)).random() * count)
        for step in range(count):
            block = type(self._pool)((int(self._pool.network_address) + (start + step) % count * size, self._block_size))
            if not any(block.overlaps(taken) for taken in self._owner):
                return block
        raise PoolExhausted(f"the pool {self._pool} has no free /{self._block_size} block left")


def _addresses(block: Network) -> Iterator[Address]:
    return (block.network_address + ordinal for ordinal in range(block.num_addresses))
