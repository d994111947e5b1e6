"""Small deeds that show what the kernel allows, each in the calling thread's network namespace and each an OSError when it does not.

They are for a throw-away sandbox: what they make stays until it goes. `lab.kernel.capabilities` draws the conclusions.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.kernel.netlink import wire
from lab.kernel.netlink.qdiscs import replace_qdisc
from lab.kernel.nftables import Nftables, NftRefusal
from lab.kernel.syscalls import detached_procfs
from lab.state import Impairment


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of link: its module and configuration symbol, what it is good for, and what to tell the kernel to make one."""

    kind: str
    module: str
    symbol: str
    needed_for: str
    required: bool = False
    adds: str | None = None
    """Devices that loading the module adds to the machine itself."""
    data: bytes = b""
    """The attributes in IFLA_INFO_DATA without which the kernel makes none."""
    below: int = 0
    """The interface index of the link it is made on."""


_IFLA_VXLAN_ID: Final = 1
_IFLA_VRF_TABLE: Final = 1
_IFLA_IPTUN_REMOTE: Final = 3
_IFLA_GRE_REMOTE: Final = 7
_FIRST_INDEX: Final = 100
_REMOTE: Final = bytes((127, 0, 0, 1))

DEVICES: Final = (
    Device("veth", "veth", "VETH", "every link between two namespaces", required=True),
    Device("bridge", "bridge", "BRIDGE", "segments with more than two ends", required=True),
    Device("vxlan", "vxlan", "VXLAN", "the overlays of Calico and Submariner", required=True, data=wire.u32(_IFLA_VXLAN_ID, 4096)),
    Device("macvlan", "macvlan", "MACVLAN", "nodes that share one interface", below=_FIRST_INDEX),
    Device("ifb", "ifb", "IFB", "shaping what arrives", adds="ifb0 and ifb1"),
    Device("dummy", "dummy", "DUMMY", "interfaces that lead nowhere, as kube-ipvs0", adds="dummy0"),
    Device("vrf", "vrf", "NET_VRF", "routers with several routing domains", data=wire.u32(_IFLA_VRF_TABLE, 100)),
    Device("ipip", "ipip", "NET_IPIP", "Calico in IPIP mode", adds="tunl0", data=wire.attribute(_IFLA_IPTUN_REMOTE, _REMOTE)),
    Device("gre", "ip_gre", "NET_IPGRE", "GRE tunnels", adds="gre0, gretap0 and erspan0", data=wire.attribute(_IFLA_GRE_REMOTE, _REMOTE)),
    Device("wireguard", "wireguard", "WIREGUARD", "Submariner's wireguard cable"),
)
"""The kinds a lab may have (include/uapi/linux/if_link.h, if_tunnel.h). They are made in this order: macvlan is made on the veth."""

RULES: Final = """
table ip trial {
  set private { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
  chain before { type nat hook prerouting priority -100; fib daddr type local tcp dport 80 dnat to 10.0.0.2; }
  chain after { type nat hook postrouting priority 100; ip saddr @private masquerade; ip daddr 10.0.0.3 snat to 10.0.0.4; }
  chain clamp { type filter hook forward priority -150; tcp flags syn tcp option maxseg size set rt mtu; ct mark set meta mark; }
  chain pass { type filter hook forward priority 0; ct state vmap { established : accept, invalid : drop }; limit rate 1/second reject; }
}
"""
"""A rule set with every kind of chain and expression that the emulated software uses."""

EGRESS_RULES: Final = """
table netdev trial {
  chain sent { type filter hook egress device "lo" priority 0; numgen random mod 10000 < 1 drop; }
}
"""
"""What stands in for netem where it is missing (`lab.kernel.impairments`)."""

DETOUR: Final = """
table netdev trial {
  chain away { type filter hook egress device "lo" priority 0; fwd to "lo"; }
  chain back { type filter hook ingress device "lo" priority 0; meta mark set 1 fwd to "lo"; }
}
"""
"""What stands in for a delay (`lab.kernel.delays`)."""


def make_device(number: int, device: Device) -> None:
    """Make a link of this kind. It gets the index 100 + `number`."""
    index = _FIRST_INDEX + number
    info = wire.text(1, device.kind) + (wire.attribute(2, device.data) if device.data else b"")  # IFLA_INFO_KIND, IFLA_INFO_DATA
    _request(
        wire.RTM_NEWLINK,
        struct.pack("=BxHiII", wire.AF_UNSPEC, 0, index, 0, 0)  # ifinfomsg
        + wire.text(3, f"trial{number}")  # IFLA_IFNAME
        + (wire.u32(5, device.below) if device.below else b"")  # IFLA_LINK
        + wire.attribute(18, info),  # IFLA_LINKINFO
    )


def make_netem() -> None:
    """Put a netem queueing discipline on lo (include/uapi/linux/pkt_sched.h, tc_netem_qopt: only a limit of 1000 packets)."""
    root = 0xFFFF_FFFF
    options = wire.attribute(2, struct.pack("=6I", 0, 1000, 0, 0, 0, 0))  # TCA_OPTIONS
    _request(36, struct.pack("=BxxxiIII", wire.AF_UNSPEC, 1, 0, root, 0) + wire.text(1, "netem") + options)  # RTM_NEWQDISC, TCA_KIND


def make_token_bucket() -> None:
    """Put a token bucket on lo."""
    _ask(replace_qdisc(1, Impairment(rate=1000)))


def load_egress_rules() -> None:
    """Load a rule that sees what a device sends."""
    load_rules(EGRESS_RULES)


def load_detour() -> None:
    """Load rules that send by another device what a device sends and receives."""
    load_rules(DETOUR)


def make_tun() -> None:
    """Make a tun device: TUNSETIFF with IFF_TUN and IFF_NO_PI (Documentation/networking/tuntap.rst)."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, 0x4004_54CA, struct.pack("16sH22x", b"trial-tun", 0x1001))
    finally:
        os.close(descriptor)


def write_sysctl() -> None:
    """Write a sysctl of the network namespace, through a procfs that is mounted nowhere."""
    proc = detached_procfs()
    try:
        descriptor = os.open("sys/net/ipv4/ip_forward", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            os.write(descriptor, b"1")
        finally:
            os.close(descriptor)
    finally:
        os.close(proc)


def load_rules(rules: str | None = None) -> None:
    """Load a rule set into the kernel, by default `RULES`. Raises MachineError when libnftables is not installed."""
    nft = Nftables("trial")
    try:
        nft.run_text(RULES if rules is None else rules)
    except NftRefusal as refusal:
        raise OSError(errno.EOPNOTSUPP, refusal.message) from refusal
    finally:
        nft.close()


def open_ipv6() -> None:
    """Open a socket of IPv6, which fails where the kernel has none."""
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()


def open_capture() -> None:
    """Open a packet socket, as capturing does (packet(7))."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close()


def would_load(module: str) -> bool:
    """Whether using `module` would load it: this kernel has a file of that name, and has not loaded it (modules.dep(5))."""
    index = Path("/lib/modules") / os.uname().release / "modules.dep"
    if (Path("/sys/module") / module).exists() or not index.exists():
        return False
    return any(Path(line.split(":")[0]).name.startswith(f"{module}.ko") for line in index.read_text().splitlines())


def _request(kind: int, body: bytes) -> None:
    """Ask rtnetlink to make something. Raises the OSError it answers with (rtnetlink(7))."""
    _ask(wire.message(kind, wire.CREATE, body))


def _ask(message: bytes) -> None:
    """Send one message to rtnetlink. Raises the OSError it answers with."""
    length, kind, flags, *rest = wire.HEADER.unpack_from(message)
    asking = wire.HEADER.pack(length, kind, flags | wire.NLM_F_ACK, *rest) + message[wire.HEADER.size :]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
        route.send(asking)
        (code,) = struct.unpack_from("=i", route.recv(4096), wire.HEADER.size)
    if -code in {errno.EOPNOTSUPP, errno.ENOENT}:  # an unknown kind of link, an unknown queueing discipline
        raise OSError(-code, "this kernel does not have it")
    if code != 0:
        raise OSError(-code, os.strerror(-code))
