"""Mininet's own classes make a lab's nodes, cables and addresses; the engine adds the rest, and finds nothing to make anew."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from lab.errors import MachineError
from lab.kernel.engine import Engine
from lab.kernel.mininet import module
from lab.kernel.mininet.module import check_mininet, load
from lab.kernel.mininet.network import MininetNetwork
from lab.kernel.sandbox import Sandbox
from lab.report.mininet import mininet_file
from lab.state import BridgePort, State, difference, without_bare_ipv6
from tests.forwarding.conftest import Net

needs_mininet = pytest.mark.skipif(shutil.which("mnexec") is None, reason="Mininet is not installed (mnexec)")


def network() -> State:
    """Two hosts on a switch, a router, and a host behind it with a VXLAN device and two addresses."""
    net = Net()
    net.router("r", rp_filter=1).node("sw").bridge("sw", "br0")
    net.wire("a:eth0 10.1.0.2/24", "sw:p1").wire("b:eth0 10.1.0.3/24", "sw:p2").wire("r:lan 10.1.0.1/24", "sw:p3", mtu=1400)
    for port in ("p1", "p2", "p3"):
        net.builder["sw"].change_link(port, master="br0", port=BridgePort())
    net.wire("r:far 10.2.0.1/24", "c:eth0 10.2.0.2/24 10.2.0.7/24")
    net.vxlan("c", "vx", 7, "10.2.0.2")
    net.route("a", "default via 10.1.0.1 dev eth0").route("b", "default via 10.1.0.1 dev eth0").route("c", "default via 10.2.0.1 dev eth0")
    net.sysctl("r", "net/ipv6/conf/all/disable_ipv6", 1).sysctl("a", "net/ipv6/conf/all/disable_ipv6", 1)
    return net.state


@needs_mininet
@pytest.mark.kernel
@pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
def test_mininet_makes_nodes_cables_and_addresses_and_the_engine_the_rest(sandbox: Sandbox) -> None:
    state = network()
    mininet = MininetNetwork(sandbox)
    with Engine(sandbox) as engine:
        mininet.prepare(state, engine)
        assert [host.name for host in mininet.net.hosts] == ["r", "a", "b", "c"]
        assert [switch.name for switch in mininet.net.switches] == ["sw"]
        cables = {(link.intf1.name, link.intf2.name) for link in mininet.net.links}
        assert cables == {("lan", "p3"), ("far", "eth0"), ("p1", "eth0"), ("p2", "eth0")}
        assert {host.name: host.IP() for host in mininet.net.hosts} == {"a": "10.1.0.2", "b": "10.1.0.3", "r": "10.1.0.1", "c": "10.2.0.2"}
        todo = "\n".join(engine.plan_to(state).lines())
        assert re.findall(r"add link \w+", todo) == ["add link vx"], "the engine would make Mininet's cables anew"
        assert not re.search(r"(delete|remove) link", todo)
        assert "10.1.0.2/24" not in todo
        engine.apply(state)
        assert engine.apply(state).is_empty
        read = State({name: without_bare_ipv6(one) for name, one in engine.read_back().namespaces.items()})
        spoken = {
            name: replace(one, sysctls={path: value for path, value in one.sysctls.items() if path in state[name].sysctls})
            for name, one in read.namespaces.items()
        }
        assert not difference(State(spoken), state).network
        ping = mininet.net.nameToNode["a"].cmd("ping -c1 -W5 10.2.0.7")
        assert "1 received" in ping
        fewer = State({name: one for name, one in state.namespaces.items() if name != "b"})
        smaller = replace(
            fewer, namespaces={**fewer.namespaces, "sw": replace(state["sw"], links=tuple(x for x in state["sw"].links if x.name != "p2"))}
        )
        mininet.prepare(smaller, engine)
        engine.apply(smaller)
        assert "b" not in mininet.net.nameToNode
        mininet.prepare(state, engine)
        engine.apply(state)
        assert "1 received" in mininet.net.nameToNode["b"].cmd("ping -c1 -W5 10.1.0.2"), "a node that comes back is Mininet's again"


@needs_mininet
def test_mininet_never_touches_the_limits_of_the_machine() -> None:
    load("mininet.node")
    assert load("mininet.net").Mininet.inited, "or it would write fs.file-max and others"


def test_a_machine_without_mininet_is_told_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise MachineError(f"{name} is not installed")

    monkeypatch.setattr(module, "find_tool", nothing)
    with pytest.raises(MachineError) as caught:
        check_mininet()
    assert "no-install-recommends mininet" in (caught.value.hint or "")
    assert caught.value.exit_code == 3


CHECK = """
import sys
sys.path.append({folder!r})
{load}
from mininet.net import Mininet
Mininet.inited = True
space = {{}}
exec(open(sys.argv[1]).read(), space)
net = Mininet(topo=space["topos"][sys.argv[2]](), controller=None)
net.start()
print(net.get("a").cmd("ping -c1 -W5 10.2.0.7"), net.get("r").cmd("sysctl -n net.ipv4.conf.all.rp_filter"))
"""


@needs_mininet
@pytest.mark.kernel
def test_the_file_for_mn_builds_the_same_network(sandbox: Sandbox) -> None:
    import sys

    file, program = sandbox.scratch / "small.py", sandbox.scratch / "check.py"
    file.write_text(mininet_file(network(), "Small Net"))
    program.write_text(
        CHECK.format(
            folder=str(module.__file__).partition("/lab/kernel")[0], load="from lab.kernel.mininet.module import load; load('mininet.net')"
        )
    )
    sandbox.add_namespace("outer")
    ran = sandbox.spawn("outer", [sys.executable, str(program), str(file), "small-net"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = ran.communicate(timeout=120)[0].decode()
    assert "1 received" in said, said
    assert said.split()[-1] == "1", said


def test_the_file_for_mn_is_python_and_names_its_topology() -> None:
    text = mininet_file(network(), "3 nets!")
    assert "topos = {'3-nets': Lab3Nets}" in text
    space: dict[str, object] = {}
    compile(text, "small.py", "exec")
    assert importlib.util.find_spec("lab") is not None
    assert space == {}
