"""Networks that overlap are found, each with one it overlaps."""

from __future__ import annotations

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from lab.spec.findings import overlaps, within

networks = st.builds(lambda address, length: IPv4Network((address, length), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32))
close_networks = st.builds(lambda address, length: IPv4Network((address, length), strict=False), st.integers(0, 255), st.integers(24, 32))


@given(st.lists(networks | close_networks, max_size=12))
def test_every_network_that_overlaps_another_is_named_and_no_other(given_networks: list[IPv4Network]) -> None:
    named = [(one, other) for (_, one), (_, other) in overlaps((network, index) for index, network in enumerate(given_networks))]
    assert all(one < other and given_networks[one].overlaps(given_networks[other]) for one, other in named)
    touched = {
        index
        for index, network in enumerate(given_networks)
        if any(network.overlaps(other) for position, other in enumerate(given_networks) if position != index)
    }
    assert {index for pair in named for index in pair} == touched


@given(networks, networks)
def test_within_is_what_the_standard_library_calls_a_subnet(inner: IPv4Network, outer: IPv4Network) -> None:
    assert within(inner, outer) == inner.subnet_of(outer)
