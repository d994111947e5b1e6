"""Queueing disciplines at the root of a device, which is how an impairment gets into the kernel (tc(8), include/uapi/linux/pkt_sched.h).

A rate alone is a token bucket, which more kernels have; anything else takes netem.
"""

from __future__ import annotations

import struct
from typing import Final

from lab.kernel.netlink.attributes import Attributes, number, read_attributes, string
from lab.kernel.netlink.wire import AF_UNSPEC, NLA_F_NESTED, REMOVE, REPLACE, attribute, message, text, u32
from lab.state import Bucket, Impairment
from lab.state.commands.links import TBF_BURST, is_rate_alone, netem_limit, tbf_limit

RTM_NEWQDISC: Final = 36
RTM_DELQDISC: Final = 37
RTM_GETQDISC: Final = 38

TC_H_ROOT: Final = 0xFFFF_FFFF
TCA_KIND: Final = 1
TCA_OPTIONS: Final = 2

TCA_TBF_PARMS: Final = 1
TCA_TBF_BURST: Final = 6

TCA_NETEM_CORRUPT: Final = 4
TCA_NETEM_RATE: Final = 6

TCMSG: Final = struct.Struct("=BxxxiIII")
"""tcmsg: family, interface index, handle, parent, info."""
_RATESPEC: Final = struct.Struct("=BBHhHI")
"""tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate in bytes per second."""
_TBF: Final = struct.Struct("=12s12sIII")
"""tc_tbf_qopt: rate, peak rate, limit in bytes, buffer, mtu."""
_NETEM: Final = struct.Struct("=6I")
"""tc_netem_qopt: latency, limit in packets, loss, gap, duplication, jitter."""
_NETEM_RATE: Final = struct.Struct("=IiIi")
"""tc_netem_rate: bytes per second, packet overhead, cell size, cell overhead."""

_ETHERNET: Final = 1
"""TC_LINKLAYER_ETHERNET: the kernel works out how long a packet takes, and wants no table of it (qdisc_get_rtab)."""
_TICKS_A_MS: Final = 15_625
"""Ticks of 64 ns (PSCHED_SHIFT in include/net/pkt_sched.h)."""
_NS_A_TICK: Final = 64
_ROUNDED: Final = 2 * _NS_A_TICK
"""By how many nanoseconds the time in which a bucket is filled may be off: kernel and tc(8) say it in whole ticks."""
_CERTAIN: Final = 0xFFFF_FFFF
_WHOLE: Final = 10_000
_BYTES_A_KBIT: Final = 125

DUMP_QDISCS: Final = TCMSG.pack(AF_UNSPEC, 0, 0, 0, 0)
"""The body of a request for all queueing disciplines."""


def replace_qdisc(index: int, impairment: Impairment) -> bytes:
    """Put the queueing discipline of an impairment at the root of a device, in the place of what is there."""
    if is_rate_alone(impairment):
        bucket = impairment.bucket or Bucket(TBF_BURST, tbf_limit(impairment.rate))
        kind, options = "tbf", _token_bucket(impairment.rate, bucket)
    else:
        kind, options = "netem", _netem(impairment)
    return message(RTM_NEWQDISC, REPLACE, TCMSG.pack(AF_UNSPEC, index, 0, TC_H_ROOT, 0) + text(TCA_KIND, kind) + options)


def delete_qdisc(index: int) -> bytes:
    """Take away what is at the root of a device, so that it has what the kernel gives it."""
    return message(RTM_DELQDISC, REMOVE, TCMSG.pack(AF_UNSPEC, index, 0, TC_H_ROOT, 0))


def _token_bucket(rate: int, bucket: Bucket) -> bytes:
    spec = _RATESPEC.pack(0, _ETHERNET, 0, 0, 0, rate * _BYTES_A_KBIT)
    parameters = attribute(TCA_TBF_PARMS, _TBF.pack(spec, bytes(12), bucket.limit, _time_to_fill(bucket, rate), 0))
    return attribute(TCA_OPTIONS | NLA_F_NESTED, parameters + u32(TCA_TBF_BURST, bucket.burst))


def _time_to_fill(bucket: Bucket, rate: int) -> int:
    """Return in how many ticks a bucket is filled; the kernel works it out of the bytes by itself, and tells no bytes."""
    return round(bucket.burst * 10**9 / (rate * _BYTES_A_KBIT) / _NS_A_TICK)


def _netem(impairment: Impairment) -> bytes:
    options = _NETEM.pack(impairment.delay * _TICKS_A_MS, netem_limit(impairment), _chance(impairment.loss), 0, 0, 0)
    if impairment.corruption:
        options += attribute(TCA_NETEM_CORRUPT, struct.pack("=II", _chance(impairment.corruption), 0))
    if impairment.rate:
        options += attribute(TCA_NETEM_RATE, _NETEM_RATE.pack(impairment.rate * _BYTES_A_KBIT, 0, 0, 0))
    return attribute(TCA_OPTIONS, options)


def _chance(of_ten_thousand: int) -> int:
    return round(of_ten_thousand * _CERTAIN / _WHOLE)


def read_qdisc(body: bytes) -> tuple[int, Impairment] | None:
    """Return the interface index and the impairment that a queueing discipline is; None for one that is none."""
    _, index, _, parent, _ = TCMSG.unpack_from(body)
    attributes = read_attributes(body, TCMSG.size)
    kind, options = string(attributes.get(TCA_KIND, b"")), attributes.get(TCA_OPTIONS, b"")
    if parent != TC_H_ROOT or kind not in ("tbf", "netem"):
        return None
    return index, _read_netem(options) if kind == "netem" else _read_token_bucket(read_attributes(options))


def _read_token_bucket(options: Attributes) -> Impairment:
    spec, _, limit, buffer, _ = _TBF.unpack_from(options[TCA_TBF_PARMS])
    bytes_a_second = _RATESPEC.unpack(spec)[-1]
    rate = bytes_a_second // _BYTES_A_KBIT
    burst = round(buffer * _NS_A_TICK * bytes_a_second / 10**9)
    as_a_lab_does = limit == tbf_limit(rate) and abs(burst - TBF_BURST) <= _ROUNDED * bytes_a_second // 10**9 + 1
    return Impairment(rate=rate, bucket=None if as_a_lab_does else Bucket(burst, limit))


def _read_netem(options: bytes) -> Impairment:
    latency, _, loss, *_ = _NETEM.unpack_from(options)
    more = read_attributes(options, _NETEM.size)
    rate = _NETEM_RATE.unpack_from(more[TCA_NETEM_RATE])[0] if TCA_NETEM_RATE in more else 0
    return Impairment(
        loss=_read_chance(loss),
        corruption=_read_chance(number(more.get(TCA_NETEM_CORRUPT, bytes(8))[:4])),
        delay=latency // _TICKS_A_MS,
        rate=rate // _BYTES_A_KBIT,
    )


def _read_chance(value: int) -> int:
    return round(value * _WHOLE / _CERTAIN)
