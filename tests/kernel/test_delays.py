"""A delay where the kernel has no netem: what stands in for it holds frames, every one, in order, and shows nothing but the delay."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface

import pytest

from lab.errors import InconclusiveError, MachineError
from lab.kernel import impairments
from lab.kernel.delays import WAITING_ROOM, is_near_end, near_end
from lab.kernel.engine import Engine
from lab.kernel.impairments import has_detours, realised, recognised
from lab.kernel.plan import plan
from lab.kernel.planning.steps import HoldFrames, LoadRuleset, RemoveNamespace, Verb
from lab.kernel.recognition import as_stated
from lab.kernel.sandbox import Sandbox
from lab.probe.observe import Dropped, Observation, Seen, open_observer
from lab.spec.patterns import DEVICE_NAME
from lab.state import LO, AddressEntry, Impairment, Link, Namespace, State, Tun, Veth, complete

MS = 1_000_000
PORT = 4000
ETHERTYPE = 0x88B5
"""For local experiments (IEEE 802)."""
PACKET_AUXDATA = 8


def two(here: Impairment | None = None, there: Impairment | None = None, *, mtus: tuple[int, int] = (1500, 1500)) -> State:
    """Two namespaces of both versions of IP and a cable, with impaired ends."""
    namespaces = {
        name: Namespace(
            name,
            links=(LO, Link("eth0", Veth(other, "eth0"), mtu=mtu, impairment=impairment)),
            addresses=(
                AddressEntry("eth0", IPv4Interface(f"10.0.0.{number}/24")),
                AddressEntry("eth0", IPv6Interface(f"fd00::{number}/64")),
            ),
            sysctls={"net/ipv6/conf/all/accept_dad": "0", "net/ipv6/conf/default/accept_dad": "0"},
        )
        for name, other, number, impairment, mtu in (("a", "b", 1, here, mtus[0]), ("b", "a", 2, there, mtus[1]))
    }
    return complete(State(namespaces))


def held(state: State) -> State:
    return realised(state, netem=False, detours=True)


class TestWithoutAKernel:
    def test_what_is_put_there_is_told_as_the_impairment_it_is(self) -> None:
        state = two(Impairment(delay=20), Impairment(loss=500, corruption=1, delay=7, rate=64))
        stood_in = held(state)
        assert {*stood_in.namespaces} == {"a", "b", WAITING_ROOM}
        assert stood_in["b"].link("eth0").impairment == Impairment(rate=64)  # type: ignore[union-attr]
        assert sorted(link.impairment.delay for link in stood_in[WAITING_ROOM].links if link.impairment) == [7, 20]
        found = recognised(stood_in.namespaces)
        assert {name: replace(space, sysctls=state[name].sysctls) for name, space in found.items()} == state.namespaces
        assert not any("~" in path for space in found.values() for path in space.sysctls)

    @pytest.mark.parametrize("device", ["eth0", "fourteen-chars", "fifteen-charact"])
    def test_every_device_gets_another_of_a_name_that_links_may_have(self, device: str) -> None:
        assert is_near_end(near_end(device))
        assert len(near_end(device)) <= 15
        assert near_end(device) != near_end(f"{device[:-1]}x")

    @pytest.mark.parametrize(("device", "is_one"), [("eth0", True), ("eth~0", True), ("~eth0", False)])
    def test_no_file_names_such_a_device(self, device: str, is_one: bool) -> None:
        assert bool(re.search(DEVICE_NAME, device)) is is_one

    def test_what_rules_cannot_send_elsewhere_takes_netem(self) -> None:
        with pytest.raises(MachineError, match="a:eth0 is to delay packets, which is not available here: it needs sch_netem, or") as caught:
            realised(two(Impairment(delay=5)), netem=False, detours=False)
        assert caught.value.exit_code == 3

    @pytest.mark.parametrize("link", [LO, Link("cable", Tun(tap=False))])
    def test_what_is_no_ethernet_frame_takes_netem(self, link: Link) -> None:
        delaying = Namespace("a", links=(replace(link, impairment=Impairment(delay=5)),))
        with pytest.raises(MachineError, match=f"a:{link.name} is to delay packets, which is not available here: it needs sch_netem: "):
            held(State({"a": delaying}))

    def test_the_relay_holds_before_frames_are_sent_to_it(self) -> None:
        before = plan(State(), held(two()))
        steps = plan(before.after, held(two(Impairment(delay=20))), before.indexes).steps
        kinds = [type(step) for step in steps]
        assert kinds.index(HoldFrames) < kinds.index(LoadRuleset)
        subjects = [subject for step in steps for subject in getattr(step, "subjects", ())]
        assert not [s for s in subjects if s.verb in (Verb.ADD, Verb.DELETE) and isinstance(s.object, AddressEntry)], "nobody else notices"

    def test_with_the_last_delay_everything_goes(self) -> None:
        before = plan(State(), held(two(Impairment(delay=20))))
        steps = plan(before.after, held(two()), before.indexes).steps
        assert [step.namespace for step in steps if isinstance(step, RemoveNamespace)] == [WAITING_ROOM]
        assert not [step for step in steps if isinstance(step, HoldFrames)]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """No netem, whether this kernel has it or not."""
    if not has_detours():
        pytest.skip("rules of this kernel forward no frames")
    monkeypatch.setattr(impairments, "has_netem", lambda: False)


@pytest.mark.kernel
@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
class TestOnTheKernel:
    def test_it_holds_them_one_after_the_other(self, sandbox: Sandbox) -> None:
        delays = (
            Impairment(delay=20),
            Impairment(delay=1, loss=5000, corruption=1, rate=800),
            Impairment(loss=10),
            Impairment(delay=60_000),
            Impairment(rate=64),
            None,
        )
        with Engine(sandbox) as engine:
            for impairment in delays:
                for target in (two(impairment), two(impairment, Impairment(delay=3))):
                    engine.apply(target)
                    assert as_stated(engine.read_back(), target) == target
                    assert engine.apply(target).is_empty
                    engine.refresh()
                    assert engine.apply(target).is_empty

    def test_a_ping_takes_as_long_as_both_ends_delay_it(self, sandbox: Sandbox) -> None:
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=30), Impairment(delay=20)))
            for target in ("10.0.0.2", "fd00::2"):
                assert min(round_trips(sandbox, target)) >= 50
            engine.apply(two(Impairment(delay=80), Impairment(delay=20)))
            assert min(round_trips(sandbox, "10.0.0.2")) >= 100

    def test_a_question_for_a_neighbour_waits_as_well(self, sandbox: Sandbox) -> None:
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=150)))
            engine.flush()
            began = time.monotonic()
            with sandbox.enter("a"), socket.socket() as opened, pytest.raises(ConnectionRefusedError):
                opened.connect(("10.0.0.2", PORT))
            assert time.monotonic() - began >= 0.3, "the question, then the SYN"

    def test_without_a_delay_nothing_of_it_is_left(
        self, sandbox: Sandbox, other_processes: Callable[[], set[int]], eventually: Callable[..., None]
    ) -> None:
        with Engine(sandbox) as engine:
            engine.apply(two())
            before, links = other_processes(), link_names(sandbox, "a")
            engine.apply(two(Impairment(delay=5)))
            assert len(other_processes() - before) == 1
            assert link_names(sandbox, "a") == [*links, "~eth0"]
            engine.apply(two())
            eventually(lambda: other_processes() == before, "the relay has ended")
            assert link_names(sandbox, "a") == links
            assert sandbox.namespaces == ("a", "b")

    def test_it_ends_with_the_engine(
        self, sandbox: Sandbox, other_processes: Callable[[], set[int]], eventually: Callable[..., None]
    ) -> None:
        before = other_processes()
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=5)))
            assert other_processes() != before
        eventually(lambda: other_processes() == before, "the relay has ended")

    def test_a_relay_that_was_killed_is_no_network_that_loses(
        self, sandbox: Sandbox, other_processes: Callable[[], set[int]], eventually: Callable[..., None]
    ) -> None:
        before = other_processes()
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=5)))
            engine.check()
            (relay,) = other_processes() - before
            os.kill(relay, signal.SIGKILL)
            eventually(lambda: other_processes() == before, "the relay has ended")
            for ask in (engine.check, engine.read_back, engine.refresh):
                with pytest.raises(InconclusiveError, match="the process that holds delayed packets has ended"):
                    ask()

    def test_what_is_lost_is_not_held(self, sandbox: Sandbox) -> None:
        with Engine(sandbox) as engine:
            engine.apply(two())
            with listening(sandbox, "b") as hears:
                send(sandbox, "a", [b"for the neighbour"])
                hears(1)
                engine.apply(two(Impairment(delay=5, loss=10_000)))
                send(sandbox, "a", [b"lost"])
                engine.apply(two(Impairment(delay=5)))
                send(sandbox, "a", [b"sent"])
                assert hears(1) == [b"sent"]

    def test_datagrams_arrive_once_and_in_order(self, sandbox: Sandbox) -> None:
        sent = [bytes(f"{number:06}", "ascii") * (1 + 7 * number % 230) for number in range(400)]
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=40)))
            with listening(sandbox, "b") as hears:
                for start in range(0, len(sent), 20):  # an ordinary user's socket takes some 200 before they are read
                    send(sandbox, "a", sent[start : start + 20])
                    assert hears(20) == sent[start : start + 20]

    def test_none_overtakes_another_when_the_delay_is_made_shorter(self, sandbox: Sandbox) -> None:
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=700)))
            with listening(sandbox, "b") as hears:
                send(sandbox, "a", [b"one", b"two"])
                engine.apply(two(Impairment(delay=1)))
                send(sandbox, "a", [b"three"])
                assert hears(3) == [b"one", b"two", b"three"]

    def test_what_waits_for_its_turn_at_a_rate_is_not_lost(self, sandbox: Sandbox) -> None:
        sent = [f"{number:06}".encode() * 200 for number in range(300)]  # more than a socket may have on the way
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=20, rate=40_000)))
            with listening(sandbox, "b") as hears:
                send(sandbox, "a", [b"for the neighbour"])
                hears(1)
                sending = threading.Thread(target=send, args=(sandbox, "a", sent))
                sending.start()
                assert hears(len(sent)) == sent
                sending.join()

    @pytest.mark.parametrize("target", ["10.0.0.2", "fd00::2"])
    def test_a_stream_arrives_whole(self, sandbox: Sandbox, target: str) -> None:
        data = os.urandom(1 << 20) * 8
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=10), Impairment(delay=10)))
            with sandbox.enter("b"):
                server = socket.create_server((target, PORT), family=socket.AF_INET6 if ":" in target else socket.AF_INET)

            def serve() -> None:
                connection, _ = server.accept()
                digest = hashlib.blake2b()
                while chunk := connection.recv(1 << 16):
                    digest.update(chunk)
                connection.sendall(digest.digest())
                connection.close()

            serving = threading.Thread(target=serve)
            serving.start()
            with sandbox.enter("a"), socket.create_connection((target, PORT)) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(64) == hashlib.blake2b(data).digest()
            serving.join()
            server.close()
            assert engine.counters(["b"])["b"]["TcpInCsumErrors"] == 0

    @pytest.mark.parametrize("delay", [None, Impairment(delay=10)])
    def test_the_same_frames_fit_as_without_a_delay(self, sandbox: Sandbox, delay: Impairment | None) -> None:
        """A veth end takes four bytes more than its MTU, the room of a VLAN tag, whether there is one or not (is_skb_forwardable)."""
        with Engine(sandbox) as engine:
            engine.apply(two(delay, mtus=(1500, 1400)))
            lengths = [1400, 1404, 1405, 1500, 60]
            assert arriving(sandbox, [frame(length) for length in lengths], 60) == [frame(length) for length in (1400, 1404, 60)]

    def test_frames_may_become_longer(self, sandbox: Sandbox) -> None:
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=10)))
            engine.apply(two(Impairment(delay=10), mtus=(9000, 9000)))
            assert arriving(sandbox, [frame(9000), frame(60)], 60) == [frame(9000), frame(60)]
            engine.apply(two(Impairment(delay=10), mtus=(65_535, 65_535)))
            assert arriving(sandbox, [frame(65_000), frame(60)], 60) == [frame(65_000), frame(60)]

    def test_a_tag_stays_where_it_is(self, sandbox: Sandbox) -> None:
        tagged = frame(1500)
        tagged = tagged[:12] + struct.pack(">HH", 0x8100, 0x2005) + tagged[12:]
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(delay=10)))
            assert arriving(sandbox, [tagged, frame(60)], 60) == [tagged, frame(60)]

    def test_it_is_seen_once_where_it_leaves_and_once_where_it_arrives(self, sandbox: Sandbox) -> None:
        _passes_once(sandbox, bpf=False)


@pytest.mark.kernel
@pytest.mark.root
@pytest.mark.usefixtures("stand_in")
def test_bpf_sees_it_once_as_well_and_no_drop(sandbox: Sandbox) -> None:
    _passes_once(sandbox, bpf=True)


def _passes_once(sandbox: Sandbox, *, bpf: bool) -> None:
    with Engine(sandbox) as engine:
        engine.apply(two(Impairment(delay=50), Impairment(delay=30)))
        observer = open_observer(sandbox, ["a", "b"], bpf=bpf)
        round_trips(sandbox, "10.0.0.2", 1)
        observer.poll()
        began = time.time_ns() - observer.epoch_ns
        round_trips(sandbox, "10.0.0.2", 1)
        seen = [event for event in observer.poll() if isinstance(event, Dropped) or _is_echo(event)]
        observer.close()
        passages = [(event.namespace, event.device, event.direction) for event in seen if isinstance(event, Seen)]
        assert passages == [("a", "eth0", "out"), ("b", "eth0", "in"), ("b", "eth0", "out"), ("a", "eth0", "in")]
        assert len(seen) == len(passages), "nothing was dropped"
        assert seen[0].time_ns - began >= 50 * MS
        assert seen[2].time_ns - seen[1].time_ns >= 30 * MS


def _is_echo(event: Observation) -> bool:
    data = event.frame.data
    return data[12:14] == b"\x08\x00" and data[23] == socket.IPPROTO_ICMP and data[34] in (0, 8)


def round_trips(sandbox: Sandbox, target: str, count: int = 3) -> list[float]:
    """What ping(8) says of each round trip, in milliseconds. The first may take longer, by a question for the neighbour."""
    done = sandbox.run("a", ["ping", "-n", "-c", str(count), "-i", "0.2", "-W", "30", target], seconds=60)
    times = [float(found) for found in re.findall(r"time=([0-9.]+) ms", done.stdout)]
    assert len(times) == count, done.stdout + done.stderr
    return times


def link_names(sandbox: Sandbox, name: str) -> list[str]:
    with sandbox.enter(name):
        return [device for _, device in socket.if_nameindex()]


class listening:  # noqa: N801 - a context manager
    """A socket for datagrams; what it gives waits for so many of them."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self.socket = sandbox.socket_in(name, socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("", PORT))
        self.socket.settimeout(60)

    def __enter__(self) -> Callable[[int], list[bytes]]:
        return lambda count: [self.socket.recv(65536) for _ in range(count)]

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def send(sandbox: Sandbox, name: str, datagrams: list[bytes]) -> None:
    with sandbox.enter(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        for datagram in datagrams:
            opened.sendto(datagram, ("10.0.0.2", PORT))


def frame(length: int) -> bytes:
    """A frame for everybody, with `length` bytes behind its header."""
    return b"\xff" * 6 + b"\x02\0\0\0\0\x01" + struct.pack(">H", ETHERTYPE) + struct.pack(">H", length).ljust(length, b"x")


def arriving(sandbox: Sandbox, frames: list[bytes], last: int) -> list[bytes]:
    """Send frames from one to the other, and return what arrives, up to the one that is `last` bytes long, in the order of arrival.

    The kernel takes a tag out of a frame and tells it beside (packet(7), PACKET_AUXDATA).
    """
    found: list[bytes] = []
    with sandbox.socket_in("b", socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as hears:
        hears.setsockopt(263, PACKET_AUXDATA, 1)
        hears.settimeout(60)
        with sandbox.socket_in("a", socket.AF_PACKET, socket.SOCK_RAW) as sends:
            sends.bind(("eth0", ETHERTYPE))
            for one in frames:
                with suppress(OSError):  # the far end did not take it
                    sends.send(one)
        while True:
            data, notes, _, address = hears.recvmsg(1 << 17, 256)
            if address[2] == 4 or data[6:12] != b"\x02\0\0\0\0\x01":
                continue
            status, *_, tag, protocol = struct.unpack("=IIIHHHH", notes[0][2])
            if status & 1 << 4:
                data = data[:12] + struct.pack(">HH", protocol, tag) + data[12:]
            found.append(data)
            if len(data) == 14 + last:
                return found
