"""A conversation that a probe keeps goes on: the same connection, the same port, whatever has become of the way."""

from __future__ import annotations

import errno
from ipaddress import IPv4Address

import pytest

from lab.kernel.sandbox import Sandbox
from lab.probe import Outcome, TcpRequest, UdpRequest
from tests.probe.small import ECHO, WEB, B, Small, small_network

pytestmark = pytest.mark.kernel

for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
FIRST, AGAIN = TcpRequest("a", B, 8080, keep="session"), TcpRequest("a", B, 8080, over="session")
DATAGRAM, ANOTHER = UdpRequest("a", B, 8080, keep="flow"), UdpRequest("a", B, 8080, over="flow")


def client_port(outcome: Outcome) -> int:
    return next(s.ports[0] for s in outcome.sightings if s.part == "request")


def at_the_router(small: Small, rule: str) -> None:
    """Let the router do something with forwarded packets of the service."""
    small.run(f"ip netns exec r nft insert rule ip filter forward {rule}")


@for_everyone
def test_a_connection_is_asked_again_and_seen_on_its_way(sandbox: Sandbox) -> None:
    with small_network(sandbox) as small:
        outcomes = [small.one(request) for request in (FIRST, AGAIN, AGAIN)]
        anew = small.one(TcpRequest("a", B, 8080))
    assert [outcome.result for outcome in outcomes] == ["reply"] * 3
    assert len({client_port(outcome) for outcome in outcomes}) == 1
    assert client_port(anew) != client_port(outcomes[0])
    for again in outcomes[1:]:
        assert again.interfaces("request") == ("a:eth0", "r:ra", "r:rb", "b:eth0")
        assert again.interfaces("answer") == ("b:eth0", "r:rb", "r:ra", "a:eth0")


@for_everyone
def test_a_connection_whose_packets_are_lost_stalls_where_they_are(sandbox: Sandbox) -> None:
    with small_network(sandbox) as small:
        small.one(FIRST)
        at_the_router(small, "tcp dport 8080 drop")
        outcome = small.one(AGAIN)
    assert (outcome.result, outcome.loss.interface if outcome.loss else None) == ("stalled", "r:ra")


@for_everyone
def test_a_connection_that_is_reset_is_refused(sandbox: Sandbox) -> None:
    with small_network(sandbox) as small:
        small.one(FIRST)
        at_the_router(small, "tcp dport 8080 reject with tcp reset")
        outcome = small.one(AGAIN)
    assert (outcome.result, outcome.errno) == ("refused", errno.ECONNRESET)


@for_everyone
def test_a_server_that_ends_takes_its_connections_with_it(sandbox: Sandbox) -> None:
    with small_network(sandbox) as small:
        small.one(FIRST)
        small.serve(b=(ECHO,))
        assert small.one(AGAIN).result == "refused"
        small.serve(b=(WEB, ECHO))
        assert small.one(AGAIN).result == "refused"
        assert small.one(TcpRequest("a", B, 8080)).result == "reply"


@for_everyone
def test_datagrams_of_a_flow_come_from_one_port(sandbox: Sandbox) -> None:
    with small_network(sandbox) as small:
        outcomes = [small.one(request) for request in (DATAGRAM, ANOTHER, ANOTHER)]
        anew = small.one(UdpRequest("a", B, 8080))
    assert [outcome.result for outcome in outcomes] == ["reply"] * 3
    assert len({client_port(outcome) for outcome in outcomes}) == 1
    assert client_port(anew) != client_port(outcomes[0])


def test_a_flow_is_kept_though_nobody_answers(sandbox: Sandbox) -> None:
    with small_network(sandbox) as small:
        small.serve()
        assert small.one(DATAGRAM).result == "refused"
        small.serve(b=(ECHO,))
        assert small.one(ANOTHER).result == "reply"


def test_what_was_not_kept_cannot_go_on(sandbox: Sandbox) -> None:
    with small_network(sandbox) as small:
        assert small.one(AGAIN).result == "error"
        small.one(FIRST)
        assert small.one(TcpRequest("a", IPv4Address("10.0.1.1"), 8080, over="session")).result == "error"
        small.prober.kept.forget(("b", "r"))
        assert small.one(AGAIN).result == "error"
