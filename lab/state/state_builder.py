"""The mutable builder of a whole state: namespaces, the pairs between them, and what control planes know and say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from lab.errors import InputError, did_you_mean
from lab.state.builder import NamespaceBuilder
from lab.state.control import ApiObject, LogLine
from lab.state.network import ControlPlane, Role, State
from lab.state.objects import Link, Veth
from lab.state.provenance import UNKNOWN, Provenance


@dataclass(slots=True)
class StateBuilder:
    """A whole state while it is written: from nothing, or from a state whose namespaces are opened as they are asked for."""

    base: State = field(default_factory=State)
    opened: dict[str, NamespaceBuilder] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    objects: dict[tuple[str, str, str, str], ApiObject] = field(init=False)
    logs: list[LogLine] = field(init=False)

    def __post_init__(self) -> None:
        self.objects = {_key(o): o for o in self.base.control.objects}
        self.logs = list(self.base.control.logs)

    def __contains__(self, name: str) -> bool:
        return name in self.opened or (name in self.base.namespaces and name not in self.removed)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the namespaces in the order in which they were made."""
        yield from (name for name in self.base.namespaces if name not in self.removed)
        yield from (name for name in self.opened if name not in self.base.namespaces or name in self.removed)

    def __getitem__(self, name: str) -> NamespaceBuilder:
        """Return the builder of a namespace. InputError when there is none of that name."""
        if name not in self.opened:
            if name not in self:
                raise InputError(f"there is no namespace {name}", hint=did_you_mean(name, list(self), "namespace"))
            self.opened[name] = NamespaceBuilder.opened(self.base.namespaces[name])
        return self.opened[name]

    def add_namespace(
        self, name: str, role: Role = "host", *, cluster: str | None = None, parent: str | None = None, provenance: Provenance = UNKNOWN
    ) -> NamespaceBuilder:
        """Add a namespace with nothing but `lo`. InputError when its name is taken."""
        if name in self:
            raise InputError(f"namespace {name} is already there", place=next(iter(provenance.places()), None))
        self.opened[name] = NamespaceBuilder(name, role, cluster, parent, provenance)
        return self.opened[name]

    def remove_namespace(self, name: str) -> None:
        """Remove a namespace and the veth ends that led to it."""
        for link in list(self[name].links.values()):
            if isinstance(link.kind, Veth) and link.kind.peer_namespace != name:
                self.remove_link(name, link.name)
        del self.opened[name]
        self.removed.add(name)

    def add_veth(self, one: tuple[str, Link], other: tuple[str, Link], provenance: Provenance = UNKNOWN) -> None:
        """Add a veth pair: two links, each with the name of its namespace; their kind is set here."""
        (here, link), (there, peer) = one, other
        self[here].add_link(replace(link, kind=Veth(there, peer.name)), provenance)
        self[there].add_link(replace(peer, kind=Veth(here, link.name)), provenance)

    def remove_link(self, namespace: str, name: str) -> None:
        """Remove a link with all that depends on it; of a veth pair both ends."""
        link = self[namespace].links.get(name)
        self[namespace].remove_link(name)
        if link is not None and isinstance(link.kind, Veth):
            self[link.kind.peer_namespace].remove_link(link.kind.peer_name)

    def resume(self, state: State) -> None:
        """Go on from another state of the same namespaces, as if it had been written here: what holds a namespace's builder keeps it."""
        for namespace in state:
            self[namespace.name].resume(namespace)

    def put_object(self, thing: ApiObject) -> None:
        """Have an object in its API server, in the place of one of the same kind, namespace and name."""
        self.objects[_key(thing)] = thing

    def delete_object(self, cluster: str, kind: str, name: str, namespace: str = "") -> ApiObject | None:
        """Remove an object of an API server and return it, None when it was not there."""
        return self.objects.pop((cluster, kind, namespace, name), None)

    def log(self, line: LogLine) -> None:
        """Write a log line behind those written so far."""
        self.logs.append(line)

    def freeze(self) -> State:
        """Return the state as it is now. Namespaces nobody opened are the very objects they were."""
        namespaces = {name: self.opened[name].freeze() if name in self.opened else self.base.namespaces[name] for name in self}
        return State(namespaces, ControlPlane(tuple(self.objects.values()), tuple(self.logs)))


def _key(thing: ApiObject) -> tuple[str, str, str, str]:
    return (thing.cluster, thing.kind, thing.namespace, thing.name)
