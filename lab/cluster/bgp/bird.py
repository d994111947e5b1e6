"""BIRD 2, as the lab runs it in place of Calico's own BIRD 1: the program, and what its configuration says.

As there, a process `bird` speaks over IPv4 and about it, and in a dual-stack cluster a second one, `bird6`, over IPv6.

Source: Calico confd/etc/calico/confd/templates/bird.cfg.template and bird_ipam.cfg.template at v3.26, and those of bird6. Left out:
graceful restart, by which peers keep for two minutes the routes of one that has died.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lab.state.bgp import BgpSession, BgpSpeaker, Version
from lab.state.network import Program
from lab.state.objects import Network
from lab.state.provenance import Provenance

PROGRAM: Final = "bird"
"""The program, which is the same for both."""
NAMES: Final[dict[Version, str]] = {4: "bird", 6: "bird6"}
"""What its processes are called, by the version of IP."""
PORT: Final = 179
LOG: Final = "bird.log"
_TIMES: Final = "connect delay time 1; connect retry time 1; error wait time 1,2;"
"""In seconds; the least there is. Calico's are 2, 5, and 5 to 30."""
IPV6_METRIC: Final = 1024
"""The metric that the kernel gives an IPv6 route for which none is asked (IP6_RT_PRIO_USER), as a route without one is read back."""


def bird(speaker: BgpSpeaker, pool: Network | None, why: Provenance) -> Program:
    """Return the daemon of a speaker. `pool` is where its pods' addresses come from, None for a router, which has none."""
    return Program(
        name=NAMES[speaker.version],
        argv=(PROGRAM, "-f", "-c", "{scratch}/bird.conf", "-s", "{scratch}/bird.ctl", "-P", "{scratch}/bird.pid"),
        files={"bird.conf": "\n".join(_configuration(speaker, pool)) + "\n"},
        listens=(("tcp", PORT),) if speaker.sessions else (),
        speaker=speaker,
        provenance=why,
    )


def _configuration(speaker: BgpSpeaker, pool: Network | None) -> Iterator[str]:
    channel = f"ipv{speaker.version}"
    blocks = [prefix for prefix in speaker.announces if prefix.prefixlen < prefix.max_prefixlen]
    yield f'log "{{scratch}}/{LOG}" all;'
    yield f"router id {speaker.identifier};"
    yield "protocol device { scan time 2; }"
    yield "protocol static blocks {"
    yield f"  {channel};"
    yield from (f"  route {block} blackhole;" for block in blocks)
    yield "}"
    yield "filter to_kernel { if source = RTS_BGP || source = RTS_STATIC then accept; reject; }"
    metric = 0 if speaker.version == 4 else IPV6_METRIC
    yield f"protocol kernel {{ learn; scan time 2; metric {metric}; {channel} {{ import all; export filter to_kernel; }}; }}"
    yield from _filters(speaker, blocks, pool)
    for session in speaker.sessions:
        yield from _session(speaker, session)


def _filters(speaker: BgpSpeaker, blocks: list[Network], pool: Network | None) -> Iterator[str]:
    """Blocks go out whole; of pods' own addresses only those that are borrowed, since nobody's block covers them here."""
    yield "filter to_peers {"
    yield "  if source = RTS_BGP || source = RTS_STATIC then accept;"
    if pool is not None:
        inside = f" && ! (net ~ [ {', '.join(f'{block}+' for block in blocks)} ])" if blocks else ""
        yield f"  if net ~ [ {pool}{{{pool.max_prefixlen},{pool.max_prefixlen}}} ]{inside} then accept;"
    yield "  reject;"
    yield "}"
    yield "filter from_peers {"
    for refusal in speaker.refuses:
        yield f"  if net ~ [ {refusal.network}{{{refusal.lengths[0]},{refusal.lengths[1]}}} ] then reject;"
    yield "  accept;"
    yield "}"


def _session(speaker: BgpSpeaker, session: BgpSession) -> Iterator[str]:
    yield f"protocol bgp {session.name} {{"
    yield f"  local {session.local} as {speaker.asn};"
    yield f"  neighbor {session.peer} as {session.peer_as};"
    yield f"  direct; {_TIMES}"
    if session.client:
        yield f"  rr client; rr cluster id {speaker.identifier};"
    yield f"  ipv{speaker.version} {{ import filter from_peers; export filter to_peers; }};"
    yield "}"
