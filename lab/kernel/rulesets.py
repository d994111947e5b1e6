"""nft tables into the kernel and out of it."""

from __future__ import annotations

from collections.abc import Sequence

from lab.kernel.nftables import Nftables
from lab.state.nft import NftTable
from lab.state.nftables import from_json, scripts_of, with_devices, with_dynamic


def load(nft: Nftables, tables: Sequence[NftTable], deleted: Sequence[NftTable]) -> None:
    """Delete tables, then make others, in one transaction where nft has one form for all of them. To be called inside the namespace."""
    for script in scripts_of(tables, deleted):
        if isinstance(script, str):
            nft.run_text(script)
        else:
            nft.run(script)


def read(nft: Nftables) -> tuple[NftTable, ...]:
    """All tables of the namespace the calling thread is in, with counters."""
    tables = from_json(nft.list_ruleset())
    if any(table.sets or table.maps for table in tables):
        tables = with_dynamic(tables, nft.list_sets())
    if any(chain.hook in ("ingress", "egress") and not chain.devices for table in tables for chain in table.chains):
        return with_devices(tables, nft.list_text())
    return tables
