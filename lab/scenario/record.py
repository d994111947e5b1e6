"""Every packet of a run for other tools: pcapng, an interface for each device of each node, a comment on each packet.

The comment of a packet says, as words that a display filter finds (``frame.comment contains "phase=broken"``):

    phase=broken probe="ping c1-w1-a -> 10.42.185.1" part=request hop=4 verdict="host-unreachable from 10.128.11.126"

and of the last sighting before a drop that the kernel reported, ``dropped=IP_RPFILTER``. Packets of no probe bear their phase only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lab.kernel.pcapng import PcapngWriter
from lab.probe import Outcome, Part
from lab.probe.observe import Dropped, Observation, Seen
from lab.scenario.questions import probe_in_words, seen_in_words

Write = Callable[[bytes], None]


@dataclass(slots=True)
class _Noted:
    """A packet on a device, whose it is, and what the kernel reported of it afterwards."""

    seen: Seen
    probe: int | None
    part: Part | None
    dropped: str | None = None


@dataclass(slots=True)
class Recorder:
    """Keeps what is seen until it is known what came of it, and then writes it. `epoch_ns` is what makes its times count from 1970."""

    write: Write
    phase: str = ""
    epoch_ns: int = 0
    _writer: PcapngWriter = field(default_factory=PcapngWriter)
    _noted: list[_Noted] = field(default_factory=list)
    _last: dict[tuple[int, Part | None, str], _Noted] = field(default_factory=dict)
    _probes: dict[int, tuple[str, str]] = field(default_factory=dict)
    _begun: bool = False

    def seen(self, observation: Observation, owner: tuple[int, Part] | None) -> None:
        """Take in what an observer saw."""
        probe, part = owner or (None, None)
        if isinstance(observation, Dropped):
            last = self._last.get((probe, part, observation.namespace)) if probe is not None else None
            if last is not None:
                last.dropped = observation.reason
            return
        noted = _Noted(observation, probe, part)
        self._noted.append(noted)
        if probe is not None:
            self._last[probe, part, observation.namespace] = noted

    def ended(self, probe: int, outcome: Outcome) -> None:
        """Learn what came of a probe."""
        self._probes[probe] = (probe_in_words(outcome.request), seen_in_words(outcome))

    def flush(self) -> None:
        """Write everything seen so far, in the order of time."""
        blocks = [] if self._begun else [self._writer.header()]
        self._begun = True
        blocks += self._packets()
        self.write(b"".join(blocks))
        self._noted.clear()
        self._last.clear()
        self._probes.clear()

    def _packets(self) -> Iterator[bytes]:
        hops: dict[tuple[int, Part | None], int] = {}
        words: dict[tuple[int, Part | None], tuple[str, str]] = {}
        phase = f"phase={self.phase}" if self.phase else ""
        for noted in sorted(self._noted, key=lambda each: each.seen.time_ns):
            seen, comment, whose = noted.seen, phase, noted.probe
            if whose is not None:
                key = whose, noted.part
                hop = hops[key] = hops.get(key, 0) + 1
                if key not in words:
                    probe, verdict = self._probes.get(whose, ("", ""))
                    words[key] = f'{phase} probe="{probe}" part={noted.part} hop=', f' verdict="{verdict}"'
                before, after = words[key]
                comment = f"{before}{hop}{after}"
            if noted.dropped is not None:
                comment = f"{comment} dropped={noted.dropped}"
            frame = seen.frame
            if frame.ethertype is None:
                interface = f"{seen.namespace}:{seen.device}"
                yield self._writer.packet(interface, seen.direction, seen.time_ns + self.epoch_ns, frame.data, frame.length, comment)
