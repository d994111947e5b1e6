"""Read addresses and networks as people write them, and say what was probably meant where they are not quite right."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final, TypeVar

from pydantic_core import PydanticCustomError

from lab.spec.patterns import Words

ADDRESS: Final = Words("IPv4 address", "an IPv4 address (10.46.0.7)")
NETWORK: Final = Words("IPv4 network", "an IPv4 network (10.46.0.0/16)")
ADDRESS6: Final = Words("IPv6 address", "an IPv6 address (2001:db8::7)")
NETWORK6: Final = Words("IPv6 network", "an IPv6 network (2001:db8:1::/64)")
ANY_ADDRESS: Final = Words("IPv4 or IPv6 address", "an IPv4 or IPv6 address (10.46.0.7, 2001:db8::7)")
ANY_NETWORK: Final = Words("IPv4 or IPv6 network", "an IPv4 or IPv6 network (10.46.0.0/16, 2001:db8:1::/64)")
ANY_INTERFACE: Final = Words("address/prefix", "an address with the length of its prefix (10.46.0.7/24, 2001:db8::7/64)")
INTERFACE: Final = Words("IPv4 address/prefix", "an IPv4 address with the length of its prefix (10.46.0.7/24)")
OF_ADDRESSES: Final = (ADDRESS, NETWORK, INTERFACE, ADDRESS6, NETWORK6, ANY_ADDRESS, ANY_NETWORK, ANY_INTERFACE)

S = TypeVar("S")

_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
DOTTED: Final = rf"^{_OCTET}(\.{_OCTET}){{3}}$"
PREFIXED: Final = rf"^{_OCTET}(\.{_OCTET}){{3}}/(3[0-2]|[12]?[0-9])$"
COLONS: Final = r"^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$"
COLONS_PREFIXED: Final = r"^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$"
"""What an editor takes for IPv6; the rest is said by `lab check`."""
_IPV6 = re.compile(r"(?=.*:.*:)[0-9A-Fa-f:.]+(/[0-9]+)?")


def read_address(value: object) -> object:
    """Return the address that a text is; an object is passed on. Raises PydanticCustomError."""
    text = _text(value, ADDRESS, (IPv4Address, IPv6Address))
    if text is None or re.match(DOTTED, text):
        return value if text is None else IPv4Address(text)
    meant = _meant(text)
    raise _not(ADDRESS, f"did you mean {str(meant.ip)!r}?" if meant else None)


def read_network(value: object) -> object:
    """Return the network that a text is; an object is passed on. Raises PydanticCustomError."""
    text = _text(value, NETWORK, (IPv4Network, IPv6Network))
    if text is None:
        return value
    meant = _meant(text)
    if meant is None:
        raise _not(NETWORK, _too_long(text, DOTTED, 32))
    if not re.match(PREFIXED, text):
        hint = f"did you mean {str(meant.network)!r}?" if "/" in text else f"its prefix needs a length; {str(meant)!r} is this one address"
        raise _not(NETWORK, hint)
    if meant.ip != meant.network.network_address:
        raise _not(NETWORK, f"did you mean {str(meant.network)!r}? the bits beyond the prefix are to be 0")
    return meant.network


def read_interface(value: object) -> object:
    """Return the address with a prefix length that a text is; an object is passed on. Raises PydanticCustomError."""
    text = _text(value, INTERFACE, (IPv4Interface, IPv6Interface))
    if text is None or re.match(PREFIXED, text):
        return value if text is None else IPv4Interface(text)
    meant = _meant(text) if "/" in text else None
    raise _not(INTERFACE, f"did you mean {str(meant)!r}?" if meant else _too_long(text, DOTTED, 32))


def read_address6(value: object) -> object:
    """Return the IPv6 address that a text is; an object is passed on. Raises PydanticCustomError."""
    return _six(value, ADDRESS6, IPv6Address, IPv6Address)


def read_network6(value: object) -> object:
    """Return the IPv6 network that a text is; an object is passed on. Raises PydanticCustomError."""
    return _six(value, NETWORK6, IPv6Network, _network6)


def read_any_address(value: object) -> object:
    """Return the address that a text is, of either version; an object is passed on. Raises PydanticCustomError."""
    return read_address6(value) if _is_six(value) else _in_words(read_address, value, ANY_ADDRESS)


def read_any_network(value: object) -> object:
    """Return the network that a text is, of either version; an object is passed on. Raises PydanticCustomError."""
    return read_network6(value) if _is_six(value) else _in_words(read_network, value, ANY_NETWORK)


def read_any_interface(value: object) -> object:
    """Return the address with a prefix length that a text is, of either version; an object is passed on. Raises PydanticCustomError."""
    if not _is_six(value):
        return _in_words(read_interface, value, ANY_INTERFACE)
    return _six(value, ANY_INTERFACE, IPv6Interface, IPv6Interface) if "/" in str(value) else _six("", ANY_INTERFACE, IPv6Interface, _never)


def _is_six(value: object) -> bool:
    return isinstance(value, str) and _IPV6.fullmatch(value) is not None


def _in_words(read: Callable[[object], object], value: object, words: Words) -> object:
    """Read IPv4; where that fails without a hint, say what else it could have been."""
    try:
        return read(value)
    except PydanticCustomError as error:
        context = error.context or {}
        raise _not(words, context.get("hint")) from None


def _six(value: object, words: Words, kind: type[S], make: Callable[[str], S]) -> object:
    if isinstance(value, kind):
        return value
    if not isinstance(value, str):
        raise _not(words)
    try:
        return make(value)
    except ValueError:
        raise _not(words, _meant6(value) if kind is IPv6Network else None) from None


def _network6(text: str) -> IPv6Network:
    if "/" not in text:
        raise ValueError(text)
    return IPv6Network(text)


def _never(text: str) -> IPv6Interface:
    raise ValueError(text)


def _meant6(text: str) -> str | None:
    """Say which network somebody meant who wrote bits beyond the prefix, or no prefix."""
    try:
        meant = IPv6Interface(text)
    except ValueError:
        return _too_long(text, COLONS, 128)
    if "/" not in text:
        return f"its prefix needs a length; {str(meant)!r} is this one address"
    return f"did you mean {str(meant.network)!r}? the bits beyond the prefix are to be 0"


def _too_long(text: str, address: str, longest: int) -> str | None:
    """Say that a prefix is longer than an address, where that is what is wrong."""
    start, _, length = text.partition("/")
    return f"a prefix has at most {longest} bits" if re.match(address, start) and length.isdecimal() and int(length[:9]) > longest else None


def _text(value: object, words: Words, kinds: tuple[type, ...]) -> str | None:
    """Return the text that a file holds, or None for an object of these kinds; raises for all else, and for IPv6."""
    if isinstance(value, kinds):
        return None
    if isinstance(value, str) and _IPV6.fullmatch(value):
        raise PydanticCustomError("ipv6", "IPv4 only stands here; IPv6 has keys of its own, as `cidr6` and `pod_cidr6`")
    if not isinstance(value, str) or value.endswith("\n"):
        raise _not(words)
    return value


def _meant(text: str) -> IPv4Interface | None:
    """Return what a text means if leading zeros, host bits and masks are forgiven."""
    try:
        return IPv4Interface(re.sub(r"(?<![0-9])0+(?=[0-9])", "", text))
    except ValueError:
        return None


def _not(words: Words, hint: str | None = None) -> PydanticCustomError:
    return PydanticCustomError("not_this", "{expected}", {"expected": words.long, "hint": hint})
