"""What happens twice is believed, what happens once is counted, and no loss of a busy machine is remembered as the kernel's answer."""

from __future__ import annotations

from ipaddress import IPv4Address

from lab.explain.agreement.judge import Disagreement, Tally
from lab.explain.agreement.repeat import MOST_BUILDS, Build, answers_given_twice, compare_until_sure
from lab.forwarding import Conversation, Flow, Outcome

FLOW = Flow("a", IPv4Address("10.0.0.1"))
SAID, LOST = "reply source=10.0.0.1", "silence"


def builds(*rounds: str, open_: bool = False) -> tuple[Build, list[int]]:
    """A kernel that answers the one question otherwise in each build, and the list of builds made so far."""
    made: list[int] = []

    def build(number: int) -> Tally:
        made.append(number)
        observed = rounds[min(number, len(rounds) - 1)]
        tally = Tally(1, observations=[observed], open=[open_])
        if observed != SAID and not open_:
            tally.disagreements.append(Disagreement(FLOW, (SAID,), observed, Conversation(FLOW, (), Outcome("reply"), None), 0))
        return tally

    return build, made


def test_what_agrees_is_asked_once() -> None:
    build, made = builds(SAID)
    tally = compare_until_sure(build)
    assert (tally.disagreements, tally.unrepeated, made) == ([], [], [0])


def test_what_disagrees_twice_is_a_disagreement() -> None:
    build, made = builds(LOST)
    tally = compare_until_sure(build)
    assert ([one.observed for one in tally.disagreements], tally.unrepeated, made) == ([LOST], [], [0, 1])


def test_what_disagrees_now_and_then_is_one_as_well() -> None:
    build, made = builds(LOST, SAID, SAID, LOST)
    assert len(compare_until_sure(build).disagreements) == 1
    assert len(made) == MOST_BUILDS


def test_what_never_comes_again_is_counted_as_such() -> None:
    build, made = builds(LOST, SAID)
    tally = compare_until_sure(build)
    assert (tally.disagreements, [one.observed for one in tally.unrepeated], len(made)) == ([], [LOST], MOST_BUILDS)


def test_an_answer_is_remembered_when_two_builds_gave_it() -> None:
    assert answers_given_twice(builds(SAID)[0]) == [SAID]


def test_a_silence_that_was_a_lost_packet_is_never_remembered() -> None:
    assert answers_given_twice(builds(LOST, SAID)[0]) == [SAID]
    assert answers_given_twice(builds(SAID, LOST, SAID)[0]) == [SAID]
    assert answers_given_twice(builds(LOST)[0]) is None


def test_where_the_model_leaves_it_open_one_build_is_enough() -> None:
    assert answers_given_twice(builds(LOST, SAID, open_=True)[0]) == [LOST]
