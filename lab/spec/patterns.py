"""The patterns that texts of a file keep to, and what a person calls them.

They are those of the schemas too, where ECMA-262 reads them, with its flag u: a backslash stands before what needs it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
DNS_NAME = r"^[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?)*\.?$"
DEVICE_NAME = r"^[^\s/:~][^\s/:]*$"
INTERFACE_NAME = r"^[^\s:]+:[^\s:]+$"
MAC = r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$"
SYSCTL = r"^net(/[^/\s.][^/\s]*)+$"
SYSCTL_KEY = r"^(net(/[^/\s.][^/\s]*)+|[a-z][a-z0-9_]*)$"
SELECTOR = r"^\S+$"
LINE = r"^[^\n\t]*$"
URL = r"""^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^\s"'\\]*)?$"""
EXEMPTION = r"^[A-Za-z0-9.*:/_-]+$"
HOP = r"^(\*|[0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$"


class Words(NamedTuple):
    """What a person calls the texts that a pattern takes."""

    short: str
    long: str


PATTERNS: Final[Mapping[str, Words]] = {
    NAME: Words("name", "a name of lower-case letters, digits and '-' (RFC 1123 label)"),
    OBJECT_NAME: Words("object name", "a name of lower-case letters, digits, '-' and '.' (RFC 1123 subdomain)"),
    DNS_NAME: Words("DNS name", "a DNS name (www.example.com)"),
    DEVICE_NAME: Words("device name", "a device name without blank, '/' and ':', that does not begin with '~'"),
    INTERFACE_NAME: Words("interface", "an interface (c1-gw:vx-submariner)"),
    MAC: Words("MAC address", "a MAC address of lower-case hexadecimal digits (02:00:5e:10:00:01)"),
    SYSCTL: Words("sysctl path", "a path below /proc/sys (net/ipv4/conf/all/rp_filter)"),
    SYSCTL_KEY: Words("sysctl", "the name of a sysctl (rp_filter) or a path below /proc/sys (net/ipv4/conf/all/rp_filter)"),
    SELECTOR: Words("selector", "a name, in which '*' and '?' stand for any characters"),
    LINE: Words("line", "one line of text"),
    URL: Words("URL", "a URL (http://10.128.11.80:3128)"),
    EXEMPTION: Words("exemption", "an address, a network or the end of a name (.example.com)"),
    HOP: Words("hop", "an address, or '*' for a hop that does not answer"),
}
"""What each pattern takes."""
