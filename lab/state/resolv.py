"""A stub resolver's view: what resolv.conf(5) says, and the queries that follow from it for a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from lab.state.objects import Address


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """Name servers in order, search list, and how many dots make a name be tried as it stands first."""

    servers: tuple[Address, ...]
    search: tuple[str, ...] = ()
    ndots: int = 1

    def queries(self, name: str) -> Iterator[str]:
        """Yield the absolute names to ask for, in order, until one exists."""
        if name.endswith("."):
            yield name
            return
        absolute = f"{name}."
        searched = [f"{name}.{domain.rstrip('.')}." for domain in self.search]
        yield from [absolute, *searched] if name.count(".") >= self.ndots else [*searched, absolute]


def parse_resolv_conf(text: str) -> ResolvConf:
    """Read a resolv.conf; unknown lines are passed over, as the C library does."""
    servers: list[Address] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        words = line.split()
        match words:
            case ["nameserver", server, *_]:
                servers.append(ip_address(server))
            case ["search", *domains]:
                search = tuple(domains)
            case ["domain", domain, *_]:
                search = (domain,)
            case ["options", *options]:
                values = [option.partition(":")[2] for option in options if option.startswith("ndots:")]
                ndots = int(values[-1]) if values and values[-1].isdigit() else ndots
    return ResolvConf(tuple(servers), search, ndots)
