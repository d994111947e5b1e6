"""A running lab: what the kernel holds, what runs in it, and eyes on its packets, brought from state to state."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from lab.cluster.bgp import NAMES, PROGRAM, speaking, ways, without_daemons
from lab.errors import InputError, LabError, Place
from lab.kernel.announce import announce
from lab.kernel.engine import Engine
from lab.kernel.learned import Way, await_routes
from lab.kernel.listening import with_listening
from lab.kernel.recognition import as_stated
from lab.kernel.sandbox import Sandbox
from lab.kernel.tools import is_missing
from lab.probe import Observer, Outcome, Prober, Request, Responder, Services, open_observer
from lab.probe.waiting import MS, Waiting
from lab.scenario.changes import Live
from lab.scenario.counters import rule_counters
from lab.scenario.record import Recorder
from lab.spec.changes import AnnounceChange, NftChange, ProcessChange, RunChange
from lab.state import State
from lab.state.bgp import Version

if TYPE_CHECKING:
    from lab.kernel.mininet.network import MininetNetwork

EngineName = Literal["lab", "mininet"]
"""Who makes nodes and cables: the lab itself, or Mininet's classes."""

_NFT_SECONDS = 30
"""How long an nft script may take."""


class RunningLab:
    """A lab that runs in a sandbox. Use it as a context manager: entering starts the services, leaving ends everything."""

    def __init__(self, sandbox: Sandbox, *, bpf: bool | None = None, engine: EngineName = "lab") -> None:
        self.sandbox = sandbox
        self.mininet: MininetNetwork | None = None
        """Mininet's picture of the lab, where its classes make nodes and cables."""
        self.engine = Engine(sandbox)
        self.services = Services(sandbox, Responder(sandbox))
        self.target = State()
        self.recorder: Recorder | None = None
        """Records every packet, where somebody wants to have them; to be set before the lab reaches its first state."""
        self._ran = False
        """Whether literal commands were run since the namespaces were made: they may have changed what no state speaks of."""
        self._bpf = bpf
        self._builder = engine
        self._observer: Observer | None = None
        self._prober: Prober | None = None
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        if self._builder == "mininet":
            from lab.kernel.mininet.network import MininetNetwork

            self.mininet = MininetNetwork(self.sandbox)
        self.services.responder.start()
        self._closing.callback(self.engine.close)
        self._closing.callback(self.services.close)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.close()

    @property
    def sees_drops(self) -> bool:
        """Whether the kernel's own drop reports are heard."""
        return self._observer is not None and self._observer.sees_drops

    @property
    def waits_ms(self) -> int:
        """How many milliseconds a packet may not be seen because it waits in a link of the lab."""
        waiting = Waiting.of(self.target)
        return max(map(waiting.here, waiting.at), default=0) // MS

    def reach(self, state: State, actions: Sequence[Live] = (), *, keep_connections: bool = False) -> None:
        """Bring the lab to a state by the difference from what it is in, then take the actions only a running lab can take.

        What literal commands changed may be in no difference (an IPsec policy, flags of a bridge's port): after some, the namespaces are
        made anew, unless something of them is to be kept.
        """
        kept = keep_connections or (self._prober is not None and bool(self._prober.kept))
        if self._ran and not kept and self.mininet is None:
            self._begin_anew()
        if self.mininet is not None:
            self.mininet.prepare(state, self.engine)
        if self._prober is not None:
            self._prober.kept.forget(state.namespaces)
        daemons = not is_missing(PROGRAM)
        if self.services.retire(state):
            self.engine.refresh()
        self.engine.apply(state, daemons=daemons)
        self.target = state
        self.services.start_all()
        self.services.reconcile(state if daemons else without_daemons(state))
        self._await_routes(state)
        for action in actions:
            self._ran = self._ran or isinstance(action.change, RunChange)
            for name in action.on:
                self._act(name, action)
        if any(isinstance(action.change, ProcessChange) for action in actions):
            self._await_routes(state)
        if any(not isinstance(action.change, ProcessChange) for action in actions):
            self.engine.refresh()
        if not keep_connections:
            self.engine.flush()
        self._watch(state)

    def _begin_anew(self) -> None:
        """Let go of all namespaces, with all that runs in them."""
        self.services.start_all()
        self.services.retire(State())
        self.services.reconcile(State())
        self.engine.apply(State())
        self.target, self._ran = State(), False
        self._watch(self.target)

    def probe(self, requests: Sequence[Request]) -> tuple[Outcome, ...]:
        """Send probes, all at once, and return what came of each."""
        outcomes = self._opened_prober().run(self.target, requests) if requests else ()
        self.engine.check()
        return outcomes

    def record(self, phase: str) -> None:
        """Write down what was seen so far, as of a phase."""
        if self.recorder is not None and self._observer is not None:
            self._opened_prober().drain()
            self.recorder.phase, self.recorder.epoch_ns = phase, self._observer.epoch_ns
            self.recorder.flush()

    def read_back(self) -> State:
        """Return what the kernel holds now, with the control plane of the target beside it, and what listens of what should."""
        return with_listening(self.engine.read_back(), self.sandbox)

    def refresh(self) -> State:
        """Read back what the kernel holds, whoever changed it, with links that came meanwhile watched too."""
        found = with_listening(self.engine.refresh(), self.sandbox)
        self._watch(found)
        return found

    def take_over(self) -> State:
        """Return what the kernel holds now, in the terms of what was meant, and let the next `reach` start from there.

        For when somebody else has been at the network: what he left as it was is what was meant, and the rest is what was read.
        """
        found = self.engine.refresh()
        self._watch(found)
        return as_stated(found, self.target)

    def counters(self, namespaces: Iterable[str] | None = None) -> dict[str, Mapping[str, int]]:
        """Return the kernel's counters of some namespaces, or of all."""
        return dict(self.engine.counters(namespaces))

    def rule_counters(self, namespaces: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return, by namespace, what the commented rules of some namespaces have counted, as ``rule/COMMENT``."""
        return {name: rule_counters(tables) for name, tables in self.engine.rule_sets(namespaces).items()}

    def program_log(self, namespace: str, program: str, file: str) -> str:
        """Return what a program has written to a file of its folder, empty when it does not run."""
        return self.services.read_file(namespace, program, file)

    def _await_routes(self, state: State) -> None:
        """Wait until the routing daemons that run have told each other everything.

        What they have not learned when there is no more news (a firewall may be in their way), the kernel does not hold, and that counts.
        """
        wanted: dict[tuple[str, Version], set[Way]] = {}
        for version, program in NAMES.items():
            speakers = speaking(state, version)
            down = {name for name in speakers if self.services.is_stopped(name, program)}
            wanted |= {(name, version): routes for name, routes in ways(speakers, down).items()}
        if wanted:
            await_routes(self.sandbox, wanted)

    def _watch(self, state: State) -> None:
        if self._observer is None:
            self._observer = open_observer(self.sandbox, state.namespaces, bpf=self._bpf)
            self._closing.callback(self._observer.close)
        else:
            self._observer.watch(state.namespaces)

    def _opened_prober(self) -> Prober:
        if self._prober is None:
            assert self._observer is not None, "a lab is probed after it has reached a state"
            self._prober = Prober(self.sandbox, self._observer, self.counters, asks=self.engine.asks_for_neighbours, recorder=self.recorder)
            self._closing.callback(self._prober.kept.close)
        return self._prober

    def _act(self, name: str, action: Live) -> None:
        match action.change:
            case RunChange(commands=commands, timeout=timeout):
                for command in commands:
                    self._run(name, shlex.split(command), action.place, timeout)
            case NftChange(script=script):
                self._run(name, ["nft", "-f", "-"], action.place, _NFT_SECONDS, f"{script.rstrip()}\n")  # nft wants the last line ended
            case _:
                try:
                    self._act_itself(name, action.change)
                except LabError as error:
                    raise error.at(action.place) from None

    def _act_itself(self, name: str, change: AnnounceChange | ProcessChange) -> None:
        match change:
            case AnnounceChange(device=device, address=address):
                announce(self.sandbox, name, device, address)
            case ProcessChange(name=process, action="stop"):
                self.services.stop(name, process)
            case ProcessChange(name=process):
                self.services.start(name, process, self.target)

    def _run(self, name: str, argv: Sequence[str], place: Place, seconds: int, text: str = "") -> None:
        try:
            ended = self.sandbox.run(name, argv, seconds=seconds, text=text, confined=True)
        except LabError as error:
            error.hint = error.hint or "a command of a scenario has to end; `timeout:` gives it more seconds"
            raise error.at(place) from None
        if ended.returncode:
            said = (ended.stdout + ended.stderr).strip()
            raise InputError(f"`{shlex.join(argv)}` failed in {name!r} with code {ended.returncode}: {said}", place=place)
