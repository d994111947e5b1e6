"""Names and addresses that cluster software derives from other names by hashing."""

from __future__ import annotations

import base64
import hashlib
from ipaddress import IPv6Interface

IFNAMSIZ = 16
"""Size of a device name in the kernel, its final zero byte included (include/uapi/linux/if.h)."""


def device_name(name: str) -> str:
    """Return `name` as a device name: unchanged where it fits, else its beginning and four digits of its hash."""
    if len(name) < IFNAMSIZ:
        return name
    return f"{name[:10]}-{hashlib.sha1(name.encode()).hexdigest()[:4]}"


def local_mac(namespace: str, device: str) -> str:
    """Return a locally administered MAC address that depends only on where the device is, so that every build is the same."""
    return _mac(0x02, f"{namespace}/{device}")


def vtep_mac(node: str, version: int = 4) -> str:
    """Return the MAC address of a node's vxlan.calico: 0x66 and the first five bytes of SHA-1 of the node's name.

    That of vxlan-v6.calico is of the name with ``-v6`` behind it. Source: Calico felix/calc/vxlan_resolver.go.
    """
    return _mac(0x66, node if version == 4 else f"{node}-v6")


def link_local(mac: str) -> IPv6Interface:
    """Return the link-local address of a MAC: its modified EUI-64 (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return IPv6Interface((0xFE80 << 112 | int.from_bytes(identifier, "big"), 64))


def workload_device(namespace: str, pod: str) -> str:
    """Return the name of a pod's veth on its node: ``cali`` and eleven digits of SHA-1 of ``namespace.pod``.

    Source: Calico libcalico-go, workload_endpoint_default.go.
    """
    return f"cali{hashlib.sha1(f'{namespace}.{pod}'.encode()).hexdigest()[:11]}"


def bridged_device(namespace: str, pod: str) -> str:
    """Return the name of a pod's veth on its node's bridge: ``veth`` and eight digits.

    The plug-in takes them at random (containernetworking/plugins pkg/ip/link_linux.go); here they are of a hash, the same on every run.
    """
    return f"veth{hashlib.sha1(f'{namespace}.{pod}'.encode()).hexdigest()[:8]}"


def felix_chain(prefix: str, name: str, longest: int = 28) -> str:
    """Return a Felix chain name: prefix and name, or where that is too long a hash of the name (felix/hashutils)."""
    if len(prefix) + len(name) <= longest:
        return prefix + name
    digest = base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()).decode().rstrip("=")
    return f"{prefix}_{digest[: longest - len(prefix) - 1]}"


def service_port_name(namespace: str, service: str, port_name: str) -> str:
    """Return what kube-proxy calls a port of a service: ``default/kubernetes:https``."""
    return f"{namespace}/{service}:{port_name}" if port_name else f"{namespace}/{service}"


def service_chain(port: str, protocol: str) -> str:
    """Return the chain of a service port, ``KUBE-SVC-NPX46M4PTMTKRN6Y`` (kubernetes pkg/proxy/iptables/proxier.go)."""
    return f"KUBE-SVC-{_base32(port + protocol)}"


def external_chain(port: str, protocol: str) -> str:
    """Return the chain of a service port for clients from outside."""
    return f"KUBE-EXT-{_base32(port + protocol)}"


def local_chain(port: str, protocol: str) -> str:
    """Return the chain of a service port that leads to endpoints of the same node alone."""
    return f"KUBE-SVL-{_base32(port + protocol)}"


def endpoint_chain(port: str, protocol: str, endpoint: str) -> str:
    """Return the chain of one endpoint (``10.42.0.7:8080``) of a service port."""
    return f"KUBE-SEP-{_base32(port + protocol + endpoint)}"


def _base32(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]


def _mac(first: int, text: str) -> str:
    return bytes([first, *hashlib.sha1(text.encode()).digest()[:5]]).hex(":")
