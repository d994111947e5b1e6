"""A network as a Python file for Mininet's own `mn --custom`: a Topo class, and the dictionary `topos` in which `mn --topo NAME` looks.

Nodes and cables are Mininet's hosts, switches and links; what else makes the network is run in each host when Mininet configures it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from lab.state import Bridge, Command, Namespace, State, Veth, commands_of, complete, difference

_HEAD = '''\
#!/usr/bin/env python3
"""{title} for Mininet, as `lab show --as mininet` writes it.

    sudo mn --custom {file} --topo {name} --controller none

Programs that listen, and files of pods, are not in it: `lab mininet` has them.
"""

from subprocess import PIPE, STDOUT

from mininet.node import Host, Switch
from mininet.topo import Topo


class Configured(Host):
    """A host that runs commands when it is configured."""

    def config(self, commands=(), **params):
        result = super().config(**params)
        for argv, text in commands:
            process = self.popen(argv, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
            said = process.communicate(text.encode())[0].decode()
            if process.returncode:
                raise Exception("%s: %s: %s" % (self.name, " ".join(argv), said))
        for intf in self.intfList():
            intf.updateIP()
        return result


class Bridge(Switch):
    """A bridge of the kernel's own, made by ip(8): neither Open vSwitch nor brctl(8) is needed, whatever --switch says."""

    def start(self, controllers):
        self.cmd("ip link add", self.name, "type bridge")
        for intf in self.intfList():
            if intf.name != "lo":
                self.cmd("ip link set", intf.name, "master", self.name, "up")
        self.cmd("ip link set", self.name, "up")

    def stop(self, deleteIntfs=True):
        self.cmd("ip link del", self.name)
        super().stop(deleteIntfs)

    def connected(self):
        return True


class {type}(Topo):
    """{title}."""

    def build(self):
'''


def mininet_file(state: State, name: str) -> str:
    """Return a network as a file for `mn --custom`, under a name that `mn --topo` takes."""
    topo = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "lab"
    kind = "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", topo) if part)
    kind = kind if kind[:1].isalpha() else f"Lab{kind}"
    lines = [*_nodes(state), "", *_links(state)]
    body = "".join(f"        {line}\n" if line else "\n" for line in lines)
    head = _HEAD.format(title=topo, file=f"{topo.replace('-', '_')}.py", name=topo, type=kind)
    return f"{head}{body}\n\ntopos = {{{topo!r}: {kind}}}\n"


def _is_switch(namespace: Namespace) -> bool:
    return any(isinstance(link.kind, Bridge) for link in namespace.links) and not any(e.device != "lo" for e in namespace.addresses)


def _switches(state: State) -> dict[str, str]:
    """Return what each switch is called: Mininet takes the number in a switch's name for its own."""
    return {namespace.name: f"s{number}" for number, namespace in enumerate(filter(_is_switch, state), start=1)}


def _nodes(state: State) -> Iterator[str]:
    switches, commands = _switches(state), _commands(state)
    for namespace in state:
        if namespace.name in switches:
            yield f"self.addSwitch({switches[namespace.name]!r}, cls=Bridge)  # {namespace.name}"
            continue
        yield f"self.addHost({namespace.name!r}, cls=Configured, ip=None, commands=["
        yield from (f"    ({list(command.argv)!r}, {command.standard_input or ''!r})," for command in commands.get(namespace.name, ()))
        yield "])"


def _links(state: State) -> Iterator[str]:
    switches = _switches(state)
    done: set[frozenset[tuple[str, str]]] = set()
    for namespace in state:
        for link in namespace.links:
            if not isinstance(link.kind, Veth) or link.kind.peer_namespace not in state.namespaces:
                continue
            ends = (namespace.name, link.name), (link.kind.peer_namespace, link.kind.peer_name)
            if frozenset(ends) in done:
                continue
            done.add(frozenset(ends))
            words = [repr(switches.get(node, node)) for node, _ in ends]
            for number, (node, device) in enumerate(ends, start=1):
                if node not in switches:
                    words.append(f"intfName{number}={device!r}")
                    mac = state[node].link(device)
                    words += [f"addr{number}={mac.mac!r}"] if mac is not None and mac.mac else []
            yield f"self.addLink({', '.join(words)})"


def _commands(state: State) -> dict[str, list[Command]]:
    """Return what each host runs: all that is not there when Mininet has made nodes and cables."""
    made = {namespace.name: _made(namespace) for namespace in state}
    found: dict[str, list[Command]] = {}
    for command in commands_of(difference(complete(State(made)), state)):
        if command.namespace is not None:
            # The kernel gives a device that comes up its link-local address by itself.
            again = command.argv[:3] == ("ip", "address", "add")
            argv = ("ip", "address", "replace", *command.argv[3:]) if again else command.argv
            found.setdefault(command.namespace, []).append(replace(command, argv=argv))
    return found


def _made(namespace: Namespace) -> Namespace:
    """Return what Mininet makes of a namespace: its cables, up, and lo."""
    cables = tuple(
        replace(link, mtu=1500 if link.name != "lo" else link.mtu, up=True, master=None, port=None)
        for link in namespace.links
        if link.name == "lo" or isinstance(link.kind, Veth)
    )
    return replace(namespace, links=cables, addresses=(), routes=(), rules=(), neighbours=(), fdb=(), sysctls={}, tables=(), nexthops=())
