"""BIRD 2, as the lab runs it in place of Calico's own BIRD 1: the program, and what its configuration says.

Source: Calico confd/etc/calico/confd/templates/bird.cfg.template and bird_ipam.cfg.template at v3.26. Left out: graceful restart, by which
peers keep for two minutes the routes of one that has died.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Final

from lab.state.bgp import BgpSession, BgpSpeaker
from lab.state.network import Program
from lab.state.provenance import Provenance

NAME: Final = "bird"
PORT: Final = 179
LOG: Final = "bird.log"
_TIMES: Final = "connect delay time 1; connect retry time 1; error wait time 1,2;"
"""In seconds; the least there is. Calico's are 2, 5, and 5 to 30."""


def bird(speaker: BgpSpeaker, pool: IPv4Network | None, why: Provenance) -> Program:
    """Return the daemon of a speaker. `pool` is where its pods' addresses come from, None for a router, which has none."""
    return Program(
        name=NAME,
        argv=(NAME, "-f", "-c", "{scratch}/bird.conf", "-s", "{scratch}/bird.ctl", "-P", "{scratch}/bird.pid"),
        files={"bird.conf": "\n".join(_configuration(speaker, pool)) + "\n"},
        listens=(("tcp", PORT),) if speaker.sessions else (),
        speaker=speaker,
        provenance=why,
    )


def _configuration(speaker: BgpSpeaker, pool: IPv4Network | None) -> Iterator[str]:
    blocks = [prefix for prefix in speaker.announces if prefix.prefixlen < prefix.max_prefixlen]
    yield f'log "{{scratch}}/{LOG}" all;'
    yield f"router id {speaker.identifier};"
    yield "protocol device { scan time 2; }"
    yield "protocol static blocks {"
    yield "  ipv4;"
    yield from (f"  route {block} blackhole;" for block in blocks)
    yield "}"
    yield "filter to_kernel { if source = RTS_BGP || source = RTS_STATIC then accept; reject; }"
    yield "protocol kernel { learn; scan time 2; metric 0; ipv4 { import all; export filter to_kernel; }; }"
    yield from _filters(speaker, blocks, pool)
    for session in speaker.sessions:
        yield from _session(speaker, session)


def _filters(speaker: BgpSpeaker, blocks: list[IPv4Network], pool: IPv4Network | None) -> Iterator[str]:
    """Blocks go out whole; of pods' own addresses only those that are borrowed, since nobody's block covers them here."""
    yield "filter to_peers {"
    yield "  if source = RTS_BGP || source = RTS_STATIC then accept;"
    if pool is not None:
        inside = f" && ! (net ~ [ {', '.join(f'{block}+' for block in blocks)} ])" if blocks else ""
        yield f"  if net ~ [ {pool}{{32,32}} ]{inside} then accept;"
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
    yield "  ipv4 { import filter from_peers; export filter to_peers; };"
    yield "}"
