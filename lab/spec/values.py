"""The kinds of values both file formats use: names, addresses, networks, ports; and the base of every model.

Nothing is guessed: text is not taken for a number, a number not for an address, and a network with host bits is a mistake. What a
file may hold is what its JSON Schema says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    StringConstraints,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_plain_validator_function, to_string_ser_schema

from lab.spec.addresses import (
    ADDRESS,
    ADDRESS6,
    ANY_ADDRESS,
    ANY_INTERFACE,
    ANY_NETWORK,
    COLONS,
    COLONS_PREFIXED,
    DOTTED,
    INTERFACE,
    NETWORK,
    NETWORK6,
    PREFIXED,
    read_address,
    read_address6,
    read_any_address,
    read_any_interface,
    read_any_network,
    read_interface,
    read_network,
    read_network6,
)
from lab.spec.patterns import (
    DEVICE_NAME,
    DNS_NAME,
    EXEMPTION,
    HOP,
    INTERFACE_NAME,
    LINE,
    MAC,
    NAME,
    OBJECT_NAME,
    SELECTOR,
    SYSCTL,
    SYSCTL_KEY,
    URL,
    Words,
)

T = TypeVar("T")


class Model(BaseModel):
    """Base of everything a person writes: unknown keys are mistakes, values never change after loading.

    The validator is built when a file is first checked, once for a whole format instead of once for each of its parts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class OneOf(Model):
    """Base of entries that are one of several kinds: exactly one of their keys is there, besides those that any kind may have."""

    what: ClassVar[str]
    """What an entry is called."""
    beside: ClassVar[frozenset[str]] = frozenset()
    """The keys that any kind may have."""

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, value: object) -> object:
        if isinstance(value, dict):
            kinds = [key for key in value if key in cls.model_fields and key not in cls.beside]
            if len(kinds) > 1 or not set(value) - cls.beside:
                found = " and ".join(f"`{kind}`" for kind in kinds) or "none"
                raise ValueError(f"an entry holds exactly one {cls.what}, and this one holds {found}")
            if kinds and value[kinds[0]] is None:
                raise ValueError(f"`{kinds[0]}` holds nothing; what belongs to it is indented further than it")
        return value

    @property
    def kind(self) -> str:
        """The key that says what this is."""
        return next(iter(self.model_fields_set - self.beside))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema in which exactly one of the kinds has to be there."""
        schema = handler.resolve_ref_schema(handler(core))
        kinds = [name for name in cls.model_fields if name not in cls.beside]
        for name in kinds:
            (schema["properties"][name],) = (option for option in schema["properties"][name]["anyOf"] if option != {"type": "null"})
        schema["oneOf"] = [{"required": [name]} for name in kinds]
        return schema


Many = Annotated[tuple[T, ...], Strict(False)]
"""A list in a file, a tuple here."""

Pair = Annotated[tuple[T, T], Strict(False)]
"""A list of two in a file."""


# --------------------------------------------------------------------------------------------------------------- names

Name = Annotated[str, StringConstraints(pattern=NAME, max_length=63)]
"""An RFC 1123 label, as Kubernetes wants the names of nodes, pods and services."""

ObjectName = Annotated[str, StringConstraints(pattern=OBJECT_NAME, max_length=253)]
"""An RFC 1123 subdomain, as Kubernetes wants the names of most objects."""

DnsName = Annotated[str, StringConstraints(pattern=DNS_NAME, max_length=253)]
"""A host name or the name of a DNS query."""

DeviceName = Annotated[str, StringConstraints(pattern=DEVICE_NAME, max_length=15)]
"""A network device name: at most 15 characters (IFNAMSIZ - 1)."""

Selector = Annotated[str, StringConstraints(pattern=SELECTOR, max_length=253)]
"""The name of something in the topology, in which ``*`` and ``?`` may stand for any characters."""

InterfaceName = Annotated[str, StringConstraints(pattern=INTERFACE_NAME, max_length=253)]
"""``NAMESPACE:DEVICE``, in which ``*`` and ``?`` may stand for any characters."""

Mac = Annotated[str, StringConstraints(pattern=MAC)]
"""A MAC address as Linux prints it."""

Line = Annotated[str, StringConstraints(pattern=LINE, max_length=200)]
"""One line of text for people."""

Url = Annotated[str, StringConstraints(pattern=URL, max_length=2000)]
"""An http or https URL whose host is a name, an IPv4 address, or an IPv6 address in brackets."""

Exemption = Annotated[str, StringConstraints(pattern=EXEMPTION, max_length=253)]
"""An entry of NO_PROXY."""

Hop = Annotated[str, StringConstraints(pattern=HOP)]
"""What traceroute shows for a hop."""

SysctlPath = Annotated[str, StringConstraints(pattern=SYSCTL)]
"""A sysctl below net/: what a network namespace has of its own."""

SysctlKey = Annotated[str, StringConstraints(pattern=SYSCTL_KEY)]
"""A sysctl's path, or a short name such as rp_filter."""

SysctlValue = int | Line
"""What is written into a sysctl."""

Sysctls = dict[SysctlKey, SysctlValue]
"""Sysctls by path or short name."""


# ----------------------------------------------------------------------------------------------------- addresses, networks


@dataclass(frozen=True, slots=True)
class _Written:
    """Takes texts of a pattern, and what their reader makes of them. One step for pydantic, where a union of types would be three."""

    read: Callable[[object], object]
    pattern: str
    words: Words

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_plain_validator_function(self.read, serialization=to_string_ser_schema())

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": self.pattern, "patternErrorMessage": f"expected {self.words.long}"}


Address = Annotated[IPv4Address | IPv6Address, _Written(read_address, DOTTED, ADDRESS)]
Network = Annotated[IPv4Network | IPv6Network, _Written(read_network, PREFIXED, NETWORK)]
Interface = Annotated[IPv4Interface | IPv6Interface, _Written(read_interface, PREFIXED, INTERFACE)]

Address6 = Annotated[IPv6Address, _Written(read_address6, COLONS, ADDRESS6)]
Network6 = Annotated[IPv6Network, _Written(read_network6, COLONS_PREFIXED, NETWORK6)]
AnyAddress = Annotated[IPv4Address | IPv6Address, _Written(read_any_address, f"{DOTTED}|{COLONS}", ANY_ADDRESS)]
AnyNetwork = Annotated[IPv4Network | IPv6Network, _Written(read_any_network, f"{PREFIXED}|{COLONS_PREFIXED}", ANY_NETWORK)]
AnyInterface = Annotated[IPv4Interface | IPv6Interface, _Written(read_any_interface, f"{PREFIXED}|{COLONS_PREFIXED}", ANY_INTERFACE)]

Destination = AnyNetwork | Literal["default"]
"""Where a route leads; ``default`` is 0.0.0.0/0, and that of IPv6 is written as it is, ::/0."""

IpFamily = Literal["IPv4", "IPv6"]
"""A version of IP, by the name that Kubernetes has for it (spec.ipFamilies)."""


# ------------------------------------------------------------------------------------------------------------- numbers

Port = Annotated[int, Field(ge=1, le=65535)]
Mtu = Annotated[int, Field(ge=576, le=65535)]
"""Bytes; every IPv4 link carries at least 576 (RFC 791)."""
Unsigned = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
"""What the kernel keeps in 32 bits: metrics, marks, priorities."""
TableId = Annotated[int, Field(ge=1, le=0xFFFFFFFF)]
"""A routing table: 254 is main, 255 local (/etc/iproute2/rt_tables)."""
NexthopId = Annotated[int, Field(ge=1, le=0xFFFFFFFF)]
"""The number of a nexthop object (ip-nexthop(8))."""
