"""The words that cross a lab's socket, and its name. No kernel needed but for a socket pair."""

from __future__ import annotations

import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InconclusiveError, InputError, InputErrors, LabError, MachineError, Place
from lab.kernel.control import Lines, address_of, ask, pack_error, parse_address, peer_of, send_line, unpack_error

places = st.none() | st.builds(Place, st.text(), st.integers(1), st.integers(1))
words = st.none() | st.text()


class UnknownToTheReader(MachineError):
    """An error of a room above, whose class not every reader has."""


@given(kind=st.sampled_from([InputError, MachineError, InconclusiveError, LabError]), message=st.text(), place=places, hint=words)
def test_an_error_crosses_the_socket_unchanged(kind: type[LabError], message: str, place: Place | None, hint: str | None) -> None:
    error = unpack_error(json.loads(json.dumps(pack_error(kind(message, place=place, hint=hint)))))
    assert type(error) is kind
    assert (error.message, error.place, error.hint, error.exit_code) == (message, place, hint, kind.exit_code)


def test_an_error_of_another_room_arrives_as_the_nearest_that_everyone_knows() -> None:
    error = unpack_error(pack_error(UnknownToTheReader("no cable", hint="plug it in")))
    assert type(error) is MachineError
    assert str(error) == "no cable\n  hint: plug it in"


def test_several_mistakes_arrive_as_several() -> None:
    error = unpack_error(pack_error(InputErrors([InputError("two", place=Place("f", 2)), InputError("one", place=Place("f", 1))])))
    assert isinstance(error, InputErrors)
    assert [single.message for single in error.errors] == ["one", "two"]


@pytest.mark.parametrize("name", ["", "-x", ".", "a/b", "a b", "a\n", "a\0", "ü", "x" * 64])
def test_a_name_that_would_confuse_is_no_labs_name(name: str) -> None:
    with pytest.raises(InputError, match="cannot name a lab"):
        address_of(0, name)


@given(uid=st.integers(0, 2**32 - 1), name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", fullmatch=True))
def test_an_address_says_owner_and_name(uid: int, name: str) -> None:
    assert parse_address(address_of(uid, name).replace("\0", "@")) == (uid, name)


@pytest.mark.parametrize(
    "shown", ["", "@", "lab/0/x", "@lab/0/", "@lab/x/y", "@lab/0/a@b", "@lab/-1/x", "/run/lab/0/x", "@/tmp/.X11-unix/X0"]
)
def test_other_sockets_are_no_labs(shown: str) -> None:
    assert parse_address(shown) is None


@given(messages=st.lists(st.dictionaries(st.text(), st.text() | st.integers()), min_size=1), size=st.integers(1, 50))
def test_messages_are_put_together_from_whatever_pieces_they_arrive_in(messages: list[dict[str, object]], size: int) -> None:
    stream = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines, heard = Lines(theirs), []
        for start in range(0, len(stream), size):
            ours.sendall(stream[start : start + size])
            heard += lines.read() or []
        assert [json.loads(line) for line in heard] == messages
        ours.close()
        assert lines.read() is None


def test_asking_passes_reports_on_and_returns_the_result() -> None:
    ours, theirs = socket.socketpair()
    reports: list[object] = []
    with ours, theirs:
        for message in ({"report": 1}, {"report": [2]}, {"result": {"three": 3}}):
            send_line(theirs, message)
        assert ask(ours, Lines(ours), "count", {"to": 3}, reports.append) == {"three": 3}
        assert json.loads(theirs.recv(1000)) == {"operation": "count", "arguments": {"to": 3}}
    assert reports == [1, [2]]


@pytest.mark.parametrize("last_words", [b"", b'{"report": 1}\n', b'{"resu'])
def test_a_lab_that_ends_before_it_answers_is_no_answer(last_words: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(last_words)
        theirs.close()
        with pytest.raises(InconclusiveError, match="ended before it answered"):
            ask(ours, Lines(ours), "count", {}, lambda _: None)


def test_the_kernel_tells_who_the_peer_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert (peer_of(ours).pid, peer_of(ours).uid) == (os.getpid(), os.geteuid())
