"""The engine: from a state to the real kernel, and back.

with Engine(sandbox) as engine:
    engine.apply(state)
    assert engine.apply(state).is_empty
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType

from lab.kernel.barrier import await_detection, await_links
from lab.kernel.counters import CounterFiles, Counters
from lab.kernel.delays import WAITING_ROOM
from lab.kernel.execution import execute
from lab.kernel.flush import flush_connections, flush_neighbours, flush_routes
from lab.kernel.handles import AF_NETLINK, Handles, Namespaces
from lab.kernel.impairments import realised
from lab.kernel.learned import left_to_daemons
from lab.kernel.netlink.channel import NETLINK_ROUTE
from lab.kernel.netlink.neighbours import NDMSG, NUD_INCOMPLETE
from lab.kernel.netlink.wire import AF_UNSPEC, RTM_GETNEIGH
from lab.kernel.oracle import RouteAnswer, RouteQuery, route_get
from lab.kernel.plan import NO_INDEXES, Indexes, Plan, plan
from lab.kernel.readback import read_namespaces
from lab.kernel.recognition import with_provenance
from lab.kernel.rulesets import read as read_tables
from lab.state import State, without_bare_ipv6
from lab.state.nft import NftTable


class Engine:
    """Holds a lab's namespaces to what a state says. Used by one thread, inside the lab's sandbox."""

    def __init__(self, sandbox: Namespaces) -> None:
        self._handles = Handles(sandbox)
        self._counters = CounterFiles(sandbox)
        self._sandbox = sandbox
        self._known: State | None = State()
        self._target = State()
        self._indexes: Indexes = NO_INDEXES

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of sockets, counter files and tun devices; the namespaces are the sandbox's."""
        self._counters.close()
        self._handles.close()

    @property
    def target(self) -> State:
        """What was applied last; the kernel holds it, unless applying failed or somebody changed something since."""
        return self._target

    @property
    def indexes(self) -> Indexes:
        """The interface index of every link, by namespace and name."""
        return self._indexes

    def plan_to(self, target: State, *, daemons: bool = False) -> Plan:
        """What `apply` would do."""
        known = self._known if self._known is not None else self._read_known()
        if daemons:
            known, target = left_to_daemons(known, target), left_to_daemons(target, target)
        return plan(known, realised(target), self._indexes)

    def apply(self, target: State, *, daemons: bool = False) -> Plan:
        """Make the kernel hold `target` by doing the difference; returns what was done, which is nothing the second time.

        `daemons`: the routing daemons of `target` run, or will, and what they learn is left to them.

        When it returns, links forward and addresses are at work. Raises InputError when the target contradicts itself or the kernel
        refuses an object of it, MachineError when the machine lacks something; then the next call reads what the kernel holds before it
        plans.
        """
        with _no_garbage_collection():
            todo = self.plan_to(target, daemons=daemons)
            for name in todo.removed_namespaces:
                self._counters.forget(name)
            self._known = None
            execute(todo, self._handles)
        self._known, self._target, self._indexes = todo.after, target, todo.indexes
        return todo

    def read_back(self) -> State:
        """What the kernel holds now, whoever put it there, with the provenance of what is as it was meant.

        What the kernel does not know (roles, listeners, programs, files, control planes) is that of the last target.
        """
        self.check()
        found = read_namespaces(self._handles, self._target)
        return with_provenance(State(found.namespaces, self._target.control), self._target)

    def refresh(self) -> State:
        """Read back, and let the next `apply` start from that: for when somebody else changed something in a namespace."""
        self.check()
        found = read_namespaces(self._handles, self._target)
        read = State(found.namespaces, self._target.control)
        self._indexes = {name: {**self._indexes.get(name, {}), **indexes} for name, indexes in found.indexes.items()}
        self._known = realised(_as_if_applied(read, self._target))
        return with_provenance(read, self._target)

    def check(self) -> None:
        """Raise InconclusiveError when a process of the engine's own, which packets go through, has ended by itself."""
        self._handles.check_relays()

    def adopt(self, target: State) -> None:
        """Take what somebody else has made in the sandbox's namespaces, on the way to a state; the next `apply` does what is left."""
        self._target = target
        self.refresh()

    def flush(self, *, connections: bool = True, neighbours: bool = True, routes: bool = True) -> None:
        """Make the kernel forget what it learned from packets: tracked connections, neighbours and FDB entries, path MTUs."""
        for name in self._sandbox.namespaces:
            if connections:
                flush_connections(self._handles, name)
            if neighbours:
                stated = self._target.namespaces[name].neighbours if name in self._target.namespaces else ()
                indexes = self._indexes.get(name, {})
                keep = {(indexes[entry.device], entry.address) for entry in stated if entry.device in indexes}
                flush_neighbours(self._handles, name, keep)
            if routes:
                flush_routes(self._handles, name)

    def barrier(self) -> None:
        """Make links that somebody else set up forward; `apply` has done it for its own."""
        for namespace in self._target:
            await_links(self._handles.channel(namespace.name).socket, (link.name for link in namespace.links if link.up))

    def settle(self, namespace: str) -> None:
        """Wait until the IPv6 addresses that somebody else has given a namespace are at work; `apply` has done it for its own."""
        with self._sandbox.socket_in(namespace, AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as listener:
            await_detection(self._handles.channel(namespace), listener)

    def route_get(self, namespace: str, query: RouteQuery) -> RouteAnswer:
        """Ask the routing tables of a namespace what is done with a packet."""
        self._sandbox.descriptor(namespace)
        return route_get(self._handles.channel(namespace), self._indexes.get(namespace, {}), query)

    def counters(self, namespaces: Iterable[str] | None = None) -> dict[str, Counters]:
        """The SNMP counters of some namespaces, or of all."""
        own = (name for name in self._sandbox.namespaces if name != WAITING_ROOM)
        chosen = own if namespaces is None else namespaces
        return {name: self._counters.read(name) for name in chosen}

    def asks_for_neighbours(self, namespace: str) -> bool:
        """Whether a namespace waits for the answer of a neighbour: whatever is for that neighbour waits too."""
        self._sandbox.descriptor(namespace)
        bodies = self._handles.channel(namespace).dump(RTM_GETNEIGH, NDMSG.pack(AF_UNSPEC, 0, 0, 0, 0))
        return any(NDMSG.unpack_from(body)[2] & NUD_INCOMPLETE for body in bodies)

    def rule_sets(self, namespaces: Iterable[str]) -> dict[str, tuple[NftTable, ...]]:
        """Read the nft tables of some namespaces, with their counters as they are now."""
        found = {}
        for name in namespaces:
            with self._sandbox.enter(name):
                found[name] = read_tables(self._handles.nftables(name))
        return found

    def _read_known(self) -> State:
        self.refresh()
        assert self._known is not None
        return self._known


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A plan is a hundred thousand objects, none of them in a cycle: to look for cycles among them takes as long as to make them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _as_if_applied(read: State, target: State) -> State:
    """What was read, without what no state speaks of: IPv6 where there is none to speak of, and sysctls nobody stated.

    A sysctl that is stated no longer is put back to its default, so only those that were stated may be among what is known.
    """
    namespaces = {}
    for namespace in read:
        stated = target[namespace.name].sysctls if namespace.name in target.namespaces else {}
        sysctls = {path: value for path, value in namespace.sysctls.items() if path in stated}
        namespaces[namespace.name] = replace(without_bare_ipv6(namespace), sysctls=sysctls)
    return State(namespaces, read.control)
