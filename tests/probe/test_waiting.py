"""How long packets may wait inside links that delay or slow them."""

from __future__ import annotations

from lab.probe.waiting import AGAIN, MS, Waiting
from lab.state import Impairment, Link, Namespace, State, Veth


def waiting(**impairments: Impairment | None) -> Waiting:
    links = {name: Link("eth0", Veth("x", "y"), impairment=impairment) for name, impairment in impairments.items()}
    return Waiting.of(State({name: Namespace(name, links=(link,)) for name, link in links.items()}))


def test_nothing_waits_where_nothing_is_impaired() -> None:
    assert waiting(a=None) == Waiting()


def test_a_delay_and_a_full_queue_hold_a_packet_where_it_leaves() -> None:
    found = waiting(a=Impairment(delay=40), b=Impairment(rate=1000, delay=5), c=None)
    assert found.at == {"a": 40 * MS, "b": 1005 * MS}
    assert found.altogether == 1045 * MS


def test_a_connection_that_loses_packets_is_silent_for_longer() -> None:
    assert waiting(a=Impairment(loss=1)) == Waiting({}, AGAIN)


def test_the_question_for_a_neighbour_and_its_answer_may_wait_before_a_packet_does() -> None:
    found = waiting(a=Impairment(delay=40), b=Impairment(delay=5), c=None)
    assert [found.here(name) for name in "abc"] == [85 * MS, 50 * MS, 0]
