"""What runs in a lab is what its state says: listeners, served by the lab itself, and programs of the distribution."""

from __future__ import annotations

import json
import socket
from dataclasses import replace

import pytest

from lab.errors import InputError, MachineError
from lab.kernel.sandbox import Sandbox
from lab.probe import DnsRequest, HttpRequest, PingRequest, TcpRequest, UdpRequest
from lab.state import Listener, Namespace, Program, State
from lab.state.resolv import parse_resolv_conf
from tests.probe.small import ECHO, WEB, A, B, Small, small_network

pytestmark = pytest.mark.kernel

DNSMASQ = Program(
    "dnsmasq",
    ("dnsmasq", "--keep-in-foreground", "--conf-file={scratch}/dnsmasq.conf", "--pid-file={scratch}/pid", "--user=", "--group="),
    files={"dnsmasq.conf": "no-resolv\nno-hosts\naddress=/web.example/10.0.2.2\nlocal=/example/\n"},
    listens=(("udp", 53), ("tcp", 53)),
)
_SLOW = r"""
import socket, time
server = socket.create_server(("", 8081))
connection, _ = server.accept()
connection.recv(65536)
time.sleep(2.2)
connection.sendall(b"HTTP/1.0 500 Failed\r\n\r\n")
"""
SLOW = Program("slow", ("python3", "-c", _SLOW), listens=(("tcp", 8081),))
RESOLV = "search example\nnameserver 10.0.2.2\noptions ndots:2\n"


def running(small: Small, *programs: Program, **others: object) -> None:
    """Let b run exactly these programs, and a ask b for names."""
    b = Namespace("b", listeners=(WEB, ECHO), programs=programs)
    small.state = State({"a": Namespace("a", files={"/etc/resolv.conf": RESOLV}, **others), "b": b})  # type: ignore[arg-type]
    small.services.reconcile(small.state)


class TestListeners:
    def test_they_start_and_stop_with_the_state(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            assert small.one(TcpRequest("a", B, 8080)).result == "reply"
            small.serve()
            assert small.one(TcpRequest("a", B, 8080)).result == "refused"
            small.serve(b=(WEB,))
            assert small.one(TcpRequest("a", B, 8080)).result == "reply"

    def test_one_that_is_stopped_stays_down_until_it_is_started(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            small.services.stop("b", "web")
            small.services.reconcile(small.state)
            assert small.one(TcpRequest("a", B, 8080)).result == "refused"
            small.services.start("b", "web", small.state)
            assert small.one(TcpRequest("a", B, 8080)).result == "reply"

    def test_one_at_an_address_listens_there_only(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            small.run("ip -n b addr add 10.0.2.3/24 dev eth0")
            small.serve(b=(replace(WEB, address=B),))
            there, elsewhere = small.probe(TcpRequest("a", B, 8080), TcpRequest("a", type(B)("10.0.2.3"), 8080))
        assert (there.result, elsewhere.result) == ("reply", "refused")

    def test_tools_see_their_sockets(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            assert "0.0.0.0:8080" in small.run("ip netns exec b ss -Hltn")

    def test_a_port_that_is_taken_is_named(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small, pytest.raises(InputError, match="'other' cannot listen on tcp/8080 in 'b'"):
            small.serve(b=(WEB, Listener("other", "tcp", 8080)))

    def test_what_does_not_run_cannot_be_stopped(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            with pytest.raises(InputError, match="nothing called 'wep' runs in 'b'") as refused:
                small.services.stop("b", "wep")
            assert "web" in (refused.value.hint or "")
            with pytest.raises(InputError, match="was not stopped"):
                small.services.start("b", "web", small.state)


class TestTheResponder:
    def test_http_tells_who_answers_and_whom_it_saw(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            outcome = small.one(HttpRequest("a", f"http://{B}:8080/some/path"))
        said = json.loads(outcome.body)
        assert (said["served_by"], said["client"], said["request"]) == ("b", str(A), "GET /some/path HTTP/1.1")
        assert said["host"] == f"{B}:8080"

    def test_a_connection_may_ask_more_than_once(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            statuses = small.run(
                f"ip netns exec a curl -s -o /dev/null -w '%{{http_code}} %{{num_connects}}\n' http://{B}:8080/ --next -s -w '' http://{B}:8080/2"
            )
        assert statuses.splitlines()[0] == "200 1"
        assert '"request": "GET /2 HTTP/1.1"' in statuses

    @pytest.mark.parametrize(("behaviour", "answers"), [("echo", True), ("sink", False)])
    def test_datagrams_are_echoed_or_swallowed(self, sandbox: Sandbox, behaviour: str, answers: bool) -> None:
        with small_network(sandbox) as small:
            small.serve(b=(Listener("u", "udp", 9000, behaviour=behaviour),))  # type: ignore[arg-type]
            assert small.one(UdpRequest("a", B, 9000)).result == ("reply" if answers else "silence")

    def test_a_client_that_leaves_in_the_middle_disturbs_nobody(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            for _ in range(5):
                with sandbox.socket_in("a", socket.AF_INET, socket.SOCK_STREAM) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    client.connect((str(B), 8080))
                    client.send(b"GET /")
            assert small.one(TcpRequest("a", B, 8080)).result == "reply"


class TestPrograms:
    def test_one_is_ready_when_reconcile_returns_and_answers_names(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            running(small, DNSMASQ)
            found, searched, missing = small.probe(
                DnsRequest("a", "web.example"), DnsRequest("a", "web"), DnsRequest("a", "nobody.example")
            )
        assert (found.rcode, found.answers) == ("NOERROR", (B,))
        assert (searched.rcode, searched.answers) == ("NOERROR", (B,))
        assert (missing.rcode, missing.answers) == ("NXDOMAIN", ())

    def test_curl_resolves_by_the_namespaces_own_resolv_conf(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            running(small, DNSMASQ)
            outcome = small.one(HttpRequest("a", "http://web.example:8080/"))
        assert (outcome.status, outcome.peer) == (200, (str(B), 8080))

    @pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
    def test_one_that_thinks_for_long_about_a_request_is_not_silent(self, sandbox: Sandbox) -> None:
        """A proxy, say, whose own connection takes TCP another try or two: one second, then two more (RFC 6298, section 2).

        Here it thinks for longer than a server whose request nothing shows (`SERVER`), and far from as long as curl waits.
        """
        with small_network(sandbox) as small:
            running(small, SLOW)
            outcome = small.one(HttpRequest("a", f"http://{B}:8081/"))
        assert (outcome.result, outcome.status) == ("reply", 500)

    def test_one_that_is_unchanged_keeps_running(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            running(small, DNSMASQ)
            before = small.services.read_file("b", "dnsmasq", "pid")
            running(small, DNSMASQ)
            assert before
            assert small.services.read_file("b", "dnsmasq", "pid") == before
            running(small, replace(DNSMASQ, files={"dnsmasq.conf": DNSMASQ.files["dnsmasq.conf"] + "address=/other.example/10.0.2.2\n"}))
            assert small.services.read_file("b", "dnsmasq", "pid") != before
            assert small.one(DnsRequest("a", "other.example")).answers == (B,)

    def test_one_that_is_gone_no_longer_answers(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            running(small, DNSMASQ)
            small.services.stop("b", "dnsmasq")
            outcome = small.one(DnsRequest("a", "web.example"))
        assert (outcome.result, outcome.rcode) == ("refused", None)

    def test_one_that_died_by_itself_is_started_again(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            running(small, DNSMASQ)
            small.run("until [ -s /run/lab/programs/b/dnsmasq/pid ]; do :; done")  # it listens before it writes its number down
            pid = small.services.read_file("b", "dnsmasq", "pid").strip()
            small.run(f"kill -9 {pid}; while kill -0 {pid} 2>/dev/null && ! grep -q ' Z ' /proc/{pid}/stat; do :; done")
            running(small, DNSMASQ)
            assert small.one(DnsRequest("a", "web.example")).answers == (B,)

    def test_one_that_dies_as_it_starts_is_quoted(self, sandbox: Sandbox) -> None:
        bad = Program("speaker", ("sh", "-c", "echo 'bad option: --frobnicate' >&2; exit 3"), listens=(("tcp", 99),))
        with small_network(sandbox) as small, pytest.raises(MachineError, match="sh in 'b' did not come up: bad option: --frobnicate"):
            running(small, bad)

    def test_one_that_is_not_installed_is_named(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small, pytest.raises(MachineError, match="no-such-program"):
            running(small, Program("x", ("no-such-program",)))

    def test_its_files_know_their_folder(self, sandbox: Sandbox) -> None:
        writer = Program("writer", ("sh", "-c", "cat {scratch}/in > {scratch}/out; exec sleep 1000"), files={"in": "I am in {scratch}\n"})
        with small_network(sandbox) as small:
            running(small, writer)
            small.run("until [ -s /run/lab/programs/b/writer/out ]; do :; done")
            assert small.services.read_file("b", "writer", "out") == "I am in /run/lab/programs/b/writer\n"
            assert small.services.read_file("b", "writer", "nothing") == ""

    def test_a_namespaces_environment_is_that_of_its_programs(self, sandbox: Sandbox) -> None:
        proxy = {"http_proxy": f"http://{B}:8080", "no_proxy": "10.0.1.1"}
        with small_network(sandbox) as small:
            running(small, environment=proxy)
            proxied = small.one(HttpRequest("a", "http://192.0.2.1/"))
            heedless = small.one(HttpRequest("a", f"http://{B}:8080/", use_environment=False))
        assert (proxied.status, proxied.peer) == (200, (str(B), 8080))
        assert '"request": "GET http://192.0.2.1/ HTTP/1.1"' in proxied.body
        assert '"request": "GET / HTTP/1.1"' in heedless.body


def test_a_probe_from_a_pod_without_a_name_server_is_an_error(sandbox: Sandbox) -> None:
    with small_network(sandbox) as small:
        dns, ping = small.probe(DnsRequest("a", "web.example"), PingRequest("a", B))
    assert (dns.result, ping.result) == ("error", "reply")


class TestResolvConf:
    @pytest.mark.parametrize(
        ("text", "name", "queries"),
        [
            ("nameserver 10.0.0.1\n", "web", ["web."]),
            ("search a.b c\nnameserver 10.0.0.1\n", "web", ["web.a.b.", "web.c.", "web."]),
            ("search a.b\noptions ndots:5\n", "www.example.com", ["www.example.com.a.b.", "www.example.com."]),
            ("search a.b\n", "www.example.com", ["www.example.com.", "www.example.com.a.b."]),
            ("search a.b\noptions ndots:5\n", "www.example.com.", ["www.example.com."]),
            ("domain a.b\n# a comment\nsortlist 10.0.0.0\noptions rotate\n", "web", ["web.a.b.", "web."]),
        ],
    )
    def test_what_a_stub_resolver_asks_in_which_order(self, text: str, name: str, queries: list[str]) -> None:
        assert list(parse_resolv_conf(text).queries(name)) == queries

    def test_servers_are_asked_in_order(self) -> None:
        view = parse_resolv_conf("nameserver 10.0.0.2\nnameserver 10.0.0.1\n")
        assert [str(server) for server in view.servers] == ["10.0.0.2", "10.0.0.1"]
