"""A lab that stays, looked at with tools that nobody here wrote."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from lab.testing import Answer
from tests.e2e.command import command, lab
from tests.sandboxed import Machine

pytestmark = pytest.mark.e2e

Do = Callable[..., Answer]
STRANGER = "10.128.11.126"


@pytest.fixture(scope="module", params=[pytest.param("root", marks=pytest.mark.root), "ordinary user"])
def who(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def broken(who: str) -> Iterator[str]:
    """The name of a lab in the flagship's broken phase."""
    name = f"test-incident-{who.replace(' ', '-')}"
    done = lab("up", "calico-24-mismatch", "--phase", "broken", "--name", name, who=who)
    assert done.code == 0, done.err
    yield name
    lab("down", name, who=who)


@pytest.fixture(scope="module")
def do(broken: str, who: str) -> Do:
    """Runs a program in a node or pod of that lab."""
    return lambda node, *words: lab("exec", broken, node, "--", *words, who=who)


@pytest.fixture(scope="module")
def remote(do: Do) -> str:
    """The address of a pod of the other cluster, as ip(8) tells it."""
    return do("c2-w1-a", "ip", "-4", "-o", "address", "show", "dev", "eth0").out.split()[3].partition("/")[0]


def test_ping_in_a_pod_names_the_stranger(do: Do, remote: str) -> None:
    done = do("c1-w1-a", "ping", "-n", "-c", "1", "-W", "5", remote)
    assert f"From {STRANGER} icmp_seq=1 Destination Host Unreachable" in done.out
    assert done.code == 1


@pytest.fixture
def first_seen(broken: str, who: str) -> Callable[..., str]:
    """What tcpdump says of the first packet on a device of node c1-w1 that fits a filter, while something is done."""
    if who == "ordinary user":
        pytest.skip("tcpdump gives up root for a user of its own, which takes subordinate ids; `lab doctor` tells")

    def watch(device: str, pattern: str, act: Callable[[], object]) -> str:
        words = command("exec", broken, "c1-w1", "--", "tcpdump", "-n", "-l", "-i", device, "-c", "1", pattern, who=who)
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/") as watching:
            assert watching.stderr is not None
            while not (line := watching.stderr.readline()).startswith(f"listening on {device}"):
                assert line, "tcpdump ended before it listened"
            act()
            return watching.communicate(timeout=60)[0]

    return watch


def test_tcpdump_on_the_node_sees_it_leave_by_the_default_interface(do: Do, remote: str, first_seen: Callable[..., str]) -> None:
    seen = first_seen("eth0", f"icmp and dst host {remote}", lambda: do("c1-w1-a", "ping", "-n", "-c", "1", "-W", "5", remote))
    assert f"IP 172.18.1.3 > {remote}: ICMP echo request" in seen


def test_tcpdump_on_vx_submariner_sees_only_what_goes_to_a_service(do: Do, remote: str, first_seen: Callable[..., str]) -> None:
    def ping_then_curl() -> None:
        do("c1-w1-a", "ping", "-n", "-c", "1", "-W", "5", remote)
        do("c1-w1-a", "curl", "-s", "--connect-timeout", "1", "http://10.43.0.100/")

    assert "> 10.43.0.100.80" in first_seen("vx-submariner", "ip", ping_then_curl)


def test_dig_gets_the_services_address(do: Do) -> None:
    assert do("c1-w1-a", "dig", "+short", "nginx.default.svc.clusterset.local").out.split() == ["10.43.0.100"]
    assert do("c2-gw-a", "dig", "+short", "web-1.default.svc.clusterset.local").out.split() == ["10.45.0.100"]


def test_curl_gets_out_through_the_proxy_and_only_through_it(do: Do) -> None:
    done = do("c1-w1-a", "curl", "-s", "-w", "%{http_code} %{remote_ip}", "http://www.example.com/")
    assert done.out.splitlines()[-1] == "200 10.128.11.80"
    assert do("c1-w1-a", "curl", "-s", "--noproxy", "*", "--connect-timeout", "5", "http://www.example.com/").code == 7


def test_traceroute_ends_at_the_stranger(do: Do, remote: str) -> None:
    hops = [line.split()[1] for line in do("c1-w1-a", "traceroute", "-n", "-w", "1", "-q", "1", "-m", "4", remote).out.splitlines()[1:]]
    assert hops == ["172.18.1.3", "172.18.1.1", STRANGER, STRANGER]


def test_ip_shows_the_route_that_is_too_narrow(do: Do) -> None:
    routes = do("c1-w1", "ip", "route", "show", "dev", "vx-submariner").out
    assert "10.42.0.0/24 via 240.18.1.2 proto static" in routes
    assert "10.42.0.0/16" not in routes


def test_the_same_name_is_not_given_twice(broken: str, who: str) -> None:
    again = lab("up", "calico-24-mismatch", "--name", broken, who=who)
    assert again.code == 2
    assert broken in again.err


def test_two_labs_of_one_topology_live_side_by_side(broken: str, do: Do, remote: str, who: str) -> None:
    healthy = f"{broken}-healthy"
    assert lab("up", "calico-24-mismatch", "--phase", "healthy", "--name", healthy, who=who).code == 0
    try:
        well = lab("exec", healthy, "c1-w1-a", "--", "ping", "-n", "-c", "1", "-W", "5", remote, who=who)
        assert " 0% packet loss" in well.out
        assert STRANGER in do("c1-w1-a", "ping", "-n", "-c", "1", "-W", "5", remote).out
    finally:
        assert lab("down", healthy, who=who).code == 0


def test_the_machine_is_as_it_was_while_a_lab_stands(broken: str, do: Do, host_unchanged: Machine) -> None:
    do("c1-w1", "ip", "link", "add", "extra", "type", "veth", "peer", "name", "extra-peer")
    host_unchanged.check()
    do("c1-w1", "ip", "link", "delete", "extra")
