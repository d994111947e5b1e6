"""Type descriptions are read as Documentation/bpf/btf.rst writes them: small ones built here by hand, and the running kernel's."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import MachineError
from lab.kernel.bpf.btf import KERNEL_BTF, Btf, Kind, enum_names, offset_of, parse_btf, read_btf, tracepoint_arguments, type_id
from lab.kernel.bpf.layout import NO_ARGUMENT, DropArguments, drop_arguments, read_layout


@dataclass
class Builder:
    """Writes a type description record by record; each method returns the new type's number."""

    strings: bytearray = field(default_factory=lambda: bytearray(b"\0"))
    types: bytearray = field(default_factory=bytearray)
    count: int = 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def add(self, kind: int, name: str = "", size_or_type: int = 0, members: tuple[tuple[int, ...], ...] = (), flag: bool = False) -> int:
        self.types += struct.pack("=III", self.name(name), flag << 31 | kind << 24 | len(members), size_or_type)
        for member in members:
            self.types += struct.pack(f"={len(member)}I", *member)
        self.count += 1
        return self.count

    def integer(self, name: str) -> int:
        number = self.add(1, name, 4)
        self.types += struct.pack("=I", 32)
        return number

    def structure(self, name: str, *members: tuple[str, int, int], kind: int = 4, flag: bool = False) -> int:
        """Members are name, type and offset in bits."""
        return self.add(kind, name, 64, tuple((self.name(member), type_, bits) for member, type_, bits in members), flag)

    def tracepoint(self, name: str, *passed: int) -> int:
        prototype = self.add(13, members=tuple((0, type_) for type_ in (self.add(2), *passed)))
        return self.add(8, f"btf_trace_{name}", self.add(2, size_or_type=prototype))

    def parse(self) -> Btf:
        header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings))
        return parse_btf(header + bytes(self.types) + bytes(self.strings))


def test_a_member_is_found_inside_anonymous_unions_and_behind_names_and_qualifiers() -> None:
    b = Builder()
    word = b.integer("unsigned int")
    inner = b.structure("", ("deep", word, 32))
    union = b.structure("", ("other", word, 0), ("", b.add(10, size_or_type=inner), 64), kind=5)
    common = b.add(8, "common_t", b.structure("common", ("inum", word, 96)))
    b.structure("outer", ("first", word, 0), ("", union, 128), ("ns", common, 512))
    btf = b.parse()
    assert offset_of(btf, "outer", "first") == 0
    assert offset_of(btf, "outer", "deep") == (128 + 64 + 32) // 8
    assert offset_of(btf, "outer", "ns.inum") == (512 + 96) // 8


def test_in_a_structure_with_bit_fields_the_offset_is_told_from_the_width() -> None:
    b = Builder()
    word = b.integer("unsigned int")
    b.structure("flags", ("bits", word, 3 << 24 | 4), ("mark", word, 64), flag=True)
    assert offset_of(b.parse(), "flags", "mark") == 8
    with pytest.raises(MachineError, match=r"flags.bits in a bit field"):
        offset_of(b.parse(), "flags", "bits")


def test_what_a_kernel_does_not_have_is_named() -> None:
    b = Builder()
    b.structure("net", ("ifindex", b.integer("int"), 0))
    btf = b.parse()
    with pytest.raises(MachineError, match="describes no struct sk_buff"):
        offset_of(btf, "sk_buff", "dev")
    with pytest.raises(MachineError, match=r"struct net has no member ns.inum"):
        offset_of(btf, "net", "ns.inum")
    with pytest.raises(MachineError, match=r"struct net has no member ifindex.deeper"):
        offset_of(btf, "net", "ifindex.deeper")


def test_a_structure_is_not_mistaken_for_its_forward_declaration_or_for_a_number_that_looks_like_its_name() -> None:
    b = Builder()
    b.add(7, "net", 0)
    forward_name = 1
    b.structure("decoy", ("x", forward_name, forward_name))
    wanted = b.structure("later", ("x", 0, 0))
    named = b.add(4, "", 64)
    b.types[-12:-8] = struct.pack("=I", forward_name)
    assert type_id(b.parse(), Kind.STRUCT, "net") == named
    assert type_id(b.parse(), Kind.STRUCT, "later") == wanted


def reasons(b: Builder) -> int:
    members = (("SKB_NOT_DROPPED_YET", 0), ("SKB_CONSUMED", 1), ("SKB_DROP_REASON_NOT_SPECIFIED", 2), ("SKB_DROP_REASON_SKB_CSUM", 3))
    return b.add(6, "skb_drop_reason", 4, tuple((b.name(name), value) for name, value in members))


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        (("skb", "void", "reason"), DropArguments(skb=0, location=1, reason=2, receiver=NO_ARGUMENT)),
        (("skb", "void", "reason", "sock"), DropArguments(skb=0, location=1, reason=2, receiver=3)),
        (("sock", "skb", "reason", "void"), DropArguments(skb=1, location=3, reason=2, receiver=0)),
    ],
    ids=["as in Linux 5.17", "as in Linux 6.11", "in an order no kernel has yet"],
)
def test_the_arguments_of_kfree_skb_are_told_by_their_types(passed: tuple[str, ...], expected: DropArguments) -> None:
    b = Builder()
    types = {
        "skb": b.add(2, size_or_type=b.structure("sk_buff")),
        "sock": b.add(2, size_or_type=b.add(10, size_or_type=b.structure("sock"))),
        "void": b.add(2),
        "reason": reasons(b),
    }
    b.tracepoint("kfree_skb", *(types[each] for each in passed))
    assert drop_arguments(b.parse()) == expected


def test_a_kernel_without_drop_reasons_is_refused_by_what_it_passes() -> None:
    b = Builder()
    b.tracepoint("kfree_skb", b.add(2, size_or_type=b.structure("sk_buff")), b.add(2))
    with pytest.raises(MachineError, match=r"passes \(sk_buff \*, void \*\) and no drop reason") as error:
        drop_arguments(b.parse())
    assert error.value.hint == "drop reasons came with Linux 5.17"


def test_an_enum_gives_its_names() -> None:
    b = Builder()
    reasons(b)
    assert enum_names(b.parse(), "skb_drop_reason")[1] == "SKB_CONSUMED"


@given(st.binary(max_size=80))
def test_bytes_that_are_no_type_description_are_an_error_for_people(data: bytes) -> None:
    with pytest.raises(MachineError):
        type_id(parse_btf(data), Kind.STRUCT, "sk_buff")


def test_a_kernel_without_type_description_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="No such file") as error:
        read_btf(tmp_path / "vmlinux")
    assert "CONFIG_DEBUG_INFO_BTF" in str(error.value.hint)


@pytest.mark.skipif(not KERNEL_BTF.exists(), reason="this kernel does not describe its types")
class TestRunningKernel:
    def test_every_record_begins_where_the_one_before_ends(self) -> None:
        btf = read_btf()
        assert all(one < other for one, other in pairwise(btf.starts[1:]))
        assert btf.starts[-1] < len(btf.words)

    def test_the_layout_is_one_a_packet_descriptor_can_have(self) -> None:
        layout = read_layout(read_btf())
        pointers = [layout.skb.head, layout.skb.data, layout.skb.device, layout.skb.socket, layout.skb.route]
        assert len(set(pointers)) == len(pointers)
        assert all(offset % 8 == 0 for offset in [*pointers, layout.device_net, layout.socket_net, layout.route_device])
        assert {"IP_RPFILTER", "NETFILTER_DROP", "NO_SOCKET", "NOT_SPECIFIED"} <= set(layout.reasons.values())

    def test_hop_tracepoints_pass_the_packet_first(self) -> None:
        btf = read_btf()
        assert [tracepoint_arguments(btf, name)[0] for name in ("net_dev_start_xmit", "netif_receive_skb")] == ["sk_buff *"] * 2
