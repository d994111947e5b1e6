"""nft tables into the kernel and out of it."""

from __future__ import annotations

from collections.abc import Sequence

from lab.kernel.nftables import Command, Nftables
from lab.state.nft import NftTable
from lab.state.nftables import from_json, table_objects, table_text, with_devices


def load(nft: Nftables, tables: Sequence[NftTable], deleted: Sequence[NftTable]) -> None:
    """Delete tables, then make others, in one transaction. To be called inside the namespace.

    nft 1.0.6 cannot read a map with concatenated values as JSON, nor a chain of several devices; a rule set that has one goes in as text.
    """
    several = any(len(chain.devices) > 1 for table in tables for chain in table.chains)
    if several or any(" . " in nft_map.value for table in tables for nft_map in table.maps):
        gone = [f"delete table {table.family} {table.name}" for table in deleted]
        nft.run_text("\n".join([*gone, *(table_text(table) for table in tables)]) + "\n")
        return
    commands: list[Command] = [{"delete": {"table": {"family": table.family, "name": table.name}}} for table in deleted]
    commands += [{"add": item} for table in tables for item in table_objects(table)]
    nft.run(commands)


def read(nft: Nftables) -> tuple[NftTable, ...]:
    """All tables of the namespace the calling thread is in, with counters."""
    tables = from_json(nft.list_ruleset())
    if any(chain.hook in ("ingress", "egress") and not chain.devices for table in tables for chain in table.chains):
        return with_devices(tables, nft.list_text())
    return tables
