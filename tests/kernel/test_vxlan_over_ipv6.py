"""VXLAN over IPv6, built by the engine and looked at by programs that are not the lab's."""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

import pytest

from lab.kernel.decode import decode_ethernet
from lab.kernel.engine import Engine
from lab.kernel.packet import Icmp, IPv4, IPv6, Vxlan
from lab.kernel.recognition import as_stated
from lab.kernel.sandbox import Sandbox
from lab.state import LO, AddressEntry, FdbEntry, Link, Namespace, Neighbour, State, Veth, commands_of, complete, difference
from lab.state import Vxlan as Tunnel

pytestmark = pytest.mark.kernel

for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
PORT = 4789


def end(here: str, number: int, there: str, other: int, mtu: int = 1430, **options: Any) -> Namespace:
    """One of two nodes, with an address of IPv4 inside of the tunnel and one of IPv6 outside. IPv6 is off where it is not needed."""
    tunnel = Tunnel(4096, PORT, IPv6Address(f"fd00::{number}"), device="eth0", learning=False, **options)
    far_mac = f"66:00:00:00:00:0{other}"
    return Namespace(
        here,
        links=(LO, Link("eth0", Veth(there, "eth0")), Link("vx", tunnel, mtu, f"66:00:00:00:00:0{number}")),
        addresses=(AddressEntry("eth0", IPv6Interface(f"fd00::{number}/64")), AddressEntry("vx", IPv4Interface(f"10.9.0.{number}/24"))),
        neighbours=(Neighbour("vx", IPv4Address(f"10.9.0.{other}"), far_mac),),
        fdb=(FdbEntry("vx", far_mac, IPv6Address(f"fd00::{other}")),),
        sysctls={"net/ipv6/conf/default/disable_ipv6": "1", "net/ipv6/conf/eth0/disable_ipv6": "0"},
    )


def two_ends(**options: Any) -> State:
    return complete(State({"a": end("a", 1, "b", 2, **options), "b": end("b", 2, "a", 1, **options)}))


def run(sandbox: Sandbox, name: str, *argv: str) -> subprocess.CompletedProcess[str]:
    with sandbox.enter(name):
        return subprocess.run(argv, capture_output=True, text=True, check=False)


@for_everyone
@pytest.mark.parametrize("checksum", [True, False])
def test_the_kernel_holds_it_and_says_so(sandbox: Sandbox, checksum: bool) -> None:
    target = two_ends(udp_checksum=checksum)
    with Engine(sandbox) as engine:
        engine.apply(target)
        found = difference(target, as_stated(engine.read_back(), target))
        assert not found.network, "\n".join(command.outside for command in commands_of(found))
        assert engine.apply(target).is_empty, "there is nothing left to do"
        (link,) = json.loads(run(sandbox, "a", "ip", "-j", "-d", "link", "show", "vx").stdout)
        entries = json.loads(run(sandbox, "a", "bridge", "-j", "fdb", "show", "dev", "vx").stdout)
        pinged = run(sandbox, "a", "ping", "-c1", "-W5", "10.9.0.2")
    said = link["linkinfo"]["info_data"]
    assert (said["id"], said["local6"], said["link"], said["port"], link["mtu"]) == (4096, "fd00::1", "eth0", PORT, 1430)
    assert (said["udp_zero_csum6_tx"], said["udp_zero_csum6_rx"]) == (not checksum, not checksum)
    assert [entry["dst"] for entry in entries if entry["mac"] == "66:00:00:00:00:02"] == ["fd00::2"]
    assert pinged.returncode == 0, pinged.stdout


@for_everyone
def test_its_commands_make_it_too(sandbox: Sandbox) -> None:
    target = two_ends(udp_checksum=False)
    said = [command.text for command in commands_of(target)]
    made = next(line for line in said if "type vxlan" in line)
    assert made.endswith("type vxlan id 4096 dstport 4789 local fd00::1 dev eth0 nolearning udp6zerocsumtx udp6zerocsumrx")
    assert "bridge fdb replace 66:00:00:00:00:02 dev vx dst fd00::2 self permanent" in said
    with Engine(sandbox) as engine:
        for command in commands_of(target):
            if command.namespace is None:
                sandbox.add_namespace(command.argv[-1])
            else:
                done = run(sandbox, command.namespace, *command.argv)
                assert done.returncode == 0, f"{command.text}: {done.stderr}"
        read = as_stated(engine.read_back(), target)
    for name in ("a", "b"):
        held, wanted = read[name], target[name]
        assert (held.links, held.addresses, held.neighbours, held.fdb) == (wanted.links, wanted.addresses, wanted.neighbours, wanted.fdb)


@pytest.mark.root  # tcpdump gives up root for a user of its own, which an ordinary user's sandbox may not have
def test_its_packets_are_read_as_others_read_them(sandbox: Sandbox, tmp_path: Any) -> None:
    with Engine(sandbox) as engine:
        engine.apply(two_ends())
        with sandbox.enter("b"):
            listening = ["tcpdump", "-i", "eth0", "-U", "-c2", "-w", "-", "udp", "port", str(PORT)]
            capture = subprocess.Popen(listening, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert capture.stderr is not None
        said = iter(capture.stderr.readline, b"")
        assert any(b"listening on" in line for line in said)
        assert run(sandbox, "a", "ping", "-c1", "-W5", "-s40", "10.9.0.2").returncode == 0
        pcap, _ = capture.communicate(timeout=60)
    frame = pcap[24 + 16 :]
    request = decode_ethernet(frame[: int.from_bytes(pcap[32:36], "little")], vxlan_ports={PORT})
    outer, tunnel, inner = request.headers[1], request.inner(Vxlan), request.inner(IPv4)
    assert isinstance(outer, IPv6)
    assert (str(outer.source), str(outer.destination), outer.hop_limit, outer.length) == ("fd00::1", "fd00::2", 64, 8 + 8 + 14 + 68)
    assert tunnel == Vxlan(4096)
    assert inner is not None
    assert (str(inner.source), str(inner.destination)) == ("10.9.0.1", "10.9.0.2")
    assert request.inner(Icmp) is not None
    fields = ("ipv6.src", "ipv6.dst", "ipv6.hlim", "vxlan.vni", "ip.src", "ip.dst", "udp.checksum.status")
    asked = ["tshark", "-r", "-", "-T", "fields", "-o", "udp.check_checksum:TRUE", *(word for field in fields for word in ("-e", field))]
    read = subprocess.run(asked, input=pcap, capture_output=True, check=True).stdout.decode().splitlines()[0].split("\t")
    assert read[:6] == ["fd00::1", "fd00::2", "64", "4096", "10.9.0.1", "10.9.0.2"]
