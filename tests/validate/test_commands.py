"""A change is read as operators paste it; every mistake in it is told at its line and column, and nothing in it is ever run."""

from __future__ import annotations

import pytest

from lab.errors import InputError, InputErrors
from lab.spec.change_file import ChangeFile
from lab.spec.load import validate
from lab.spec.yaml import read_yaml
from lab.state import commands_of, difference
from lab.state.typed import NotModelled
from lab.validate.change import Ground, Typed, make
from lab.validate.change_file import read_change_file
from lab.validate.commands import read_commands
from lab.validate.steps import states_of
from tests.validate.small import small

NODES = ("h1", "h2", "r1", "r2", "r3", "c1.example")

PASTED = """\
# what was agreed on Tuesday
ip -n r1 route add blackhole 10.90.0.0/16
@r2, r3   # both
  ip route add blackhole 10.91.0.0/16   # trailing
  sudo sysctl -w net.ipv4.ip_forward=1

h?: ip neigh show
root@r1:/etc/frr# ip rule add fwmark 0x10 table 100
[root@c1.example ~]# ip link set dev eth0 up
r1# ip route show
ip netns exec r2 ip route del 10.91.0.0/16
# r1
ip link set dev lan mtu 1400
r3:
nft -f - <<'END'
  # inside
  add table ip x
  flush table ip x
END
echo 1 > /proc/sys/net/ipv4/ip_forward
$ sudo -n -u root /usr/sbin/ip route add \\
    blackhole 10.92.0.0/16 \\
  # and no more
root@r1:~# sudo nft add table \\
	ip y
% ip -6 route show
"""


def test_where_a_command_is_typed_is_said_in_many_ways() -> None:
    steps = read_commands(PASTED, "change", NODES)
    assert [(step.node, step.text.split("\n")[0], step.place.line) for step in steps] == [
        ("r1", "ip -n r1 route add blackhole 10.90.0.0/16", 2),
        ("r2", "ip route add blackhole 10.91.0.0/16   # trailing", 4),
        ("r3", "ip route add blackhole 10.91.0.0/16   # trailing", 4),
        ("r2", "sudo sysctl -w net.ipv4.ip_forward=1", 5),
        ("r3", "sudo sysctl -w net.ipv4.ip_forward=1", 5),
        ("h1", "ip neigh show", 7),
        ("h2", "ip neigh show", 7),
        ("r1", "ip rule add fwmark 0x10 table 100", 8),
        ("c1.example", "ip link set dev eth0 up", 9),
        ("r1", "ip route show", 10),
        ("r2", "ip netns exec r2 ip route del 10.91.0.0/16", 11),
        ("r1", "ip link set dev lan mtu 1400", 13),
        ("r3", "nft -f -", 15),
        ("r3", "echo 1 > /proc/sys/net/ipv4/ip_forward", 20),
        ("r3", "sudo -n -u root /usr/sbin/ip route add blackhole 10.92.0.0/16 # and no more", 21),
        ("r1", "sudo nft add table ip y", 24),
        ("r3", "ip -6 route show", 26),
    ]
    words = steps[0].does
    assert isinstance(words, Typed)
    assert [word.text for word in words.words] == ["ip", "route", "add", "blackhole", "10.90.0.0/16"]
    joined = steps[-3].does
    assert isinstance(joined, Typed)
    assert [(word.text, word.place.line, word.place.column) for word in joined.words[2:5]] == [
        ("add", 21, 38),
        ("blackhole", 22, 5),
        ("10.92.0.0/16", 22, 15),
    ]
    script = steps[-5].does
    assert isinstance(script, Typed)
    assert [(line.text, line.place.line) for line in script.script] == [("add table ip x", 17), ("flush table ip x", 18)]


def test_what_lab_diff_prints_is_a_change() -> None:
    first, second = small().state, small(mtu=1400, rp_filter=2).state
    lines: list[str] = []
    for command in commands_of(difference(first, second)):
        lines += [f"# {command.namespace}", command.text]
    state = first
    for step in read_commands("\n".join(lines), "diff", first.namespaces):
        state = make(state, step)
    assert not difference(state, second).network


def test_every_mistake_of_a_file_is_told_at_once() -> None:
    text = "ip route add blackhole 10.0.0.0/8\n@r9\nr1: rm -rf /\n@r1\nip route add x; reboot\n"
    text += "nft -f /etc/nftables.conf\nr2: nft -f - <<'END'\n"
    with pytest.raises(InputErrors) as caught:
        read_commands(text, "a change", NODES)
    told = str(caught.value)
    assert "a change:1:1: on which node?" in told
    assert "a change:2:2: there is no node 'r9'\n  hint: known nodes: " in told
    assert "a change:3:5: 'rm' is none of the programs a change may run" in told
    assert "a change:5:15: no shell reads this: ';'" in told
    assert "a change:6:1: no file is read" in told
    assert "a change:7:1: the text that begins here does not end" in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ip rout add 10.0.0.0/8 vai 10.12.0.2", "change:2:24: 'vai' is not known here: expected an option of a route"),
        ("ip route add 10.0.0.0/8 dev drect", "change:2:29: r1 has no device 'drect'\n  hint: did you mean 'direct'?"),
        ("iproute add 10.0.0.0/8 dev direct", "change:2:1: 'iproute' is none of the programs a change may run"),
        ("ip roude add 10.0.0.0/8 dev direct", "change:2:4: `ip` has no object 'roude'\n  hint: did you mean 'route'?"),
        (
            "sysctl -w net.ipv4.ip_forwad=1",
            "change:2:11: there is no sysctl 'net/ipv4/ip_forwad'\n  hint: did you mean 'net/ipv4/ip_forward'?",
        ),
        ("sysctl net.ipv4.conf.lan.rp_filte=0", "change:2:8: there is no sysctl 'rp_filte' of a device\n  hint: did you mean 'rp_filter'?"),
        ("sysctl net.ipv4.neigh.lan.gc_stal_time=0", "hint: did you mean 'gc_stale_time'?"),
        ("nft add rule ip t filter-forward-1 drop", "change:2:19: table ip t has no chain 'filter-forward-1'"),
        ("nft add rule inet t c drop", "change:2:19: r1 has no table inet t\n  hint: did you mean 'ip t'?"),
        ("bridge fdb add 00:00:00:00:00:00 dev lam dst 10.0.0.1", "change:2:38: r1 has no device 'lam'\n  hint: did you mean 'lan'?"),
        ("sudo -u nobody ip route flush", "change:2:6: sudo's option '-u' is not taken"),
        ("sudo -i", "change:2:6: sudo's option '-i' is not taken"),
        ("sudo -n", "change:2:1: expected a command after sudo"),
        ("ip route add 10.0.0.0/8\\", "change:2:24: put a space before this"),
        ("ip route add 10.0.0.0/8 \\", "change:2:25: the command goes on below, and nothing is there"),
        (
            "ip -6 route add fd00::/64 dev lan",
            "change:2:1: what comes with IPv6, which r1 does not have yet, is not modelled\n  hint: on Linux, `--emulate`",
        ),
        ("ip -6 route add 10.0.0.0/8 dev lan", "change:2:17: expected IPv6 here, as before, found 10.0.0.0/8"),
        ("ip route add 10.0.0.0/8 via fd00::1", "change:2:25: a gateway of IPv6 on the way to IPv4 is not modelled"),
        ("ip rule add from fd00::/8 to 10.0.0.0/8 table 5", "change:2:30: expected IPv6 here, as before, found 10.0.0.0/8"),
        (
            "ip rule add from fd00::/8 table 5",
            "change:2:1: the kernel would refuse this: Invalid source address (without -6 a rule is of IPv4)",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_word_with_the_nearest_name(line: str, told: str) -> None:
    state = small().chain("r1", "forward").state
    with pytest.raises(InputError) as caught:
        states_of(state, read_commands(f"@r1\n{line}\n", "change", NODES))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "ip -6 route",
        "ip -6 addr show dev lan",
        "bridge link show",
        "bridge vlan",
        "iptables -nvL FORWARD",
        "iptables -t nat -S",
        "sysctl -n net.ipv4.ip_forward",
    ],
)
def test_commands_that_only_look_change_nothing(line: str) -> None:
    state = small().state
    (after,) = states_of(state, read_commands(f"@r1\n{line}\n", "change", NODES))
    assert after == state


@pytest.mark.parametrize("text", ["", "# nothing\n\n@r1\n", "\n"])
def test_a_change_without_a_command_is_none(text: str) -> None:
    with pytest.raises(InputError, match="no command in it"):
        read_commands(text, "change", NODES)


@pytest.mark.parametrize(
    "line",
    [
        "bash -c id",
        "ip route add `id`",
        "ip route add $(id) dev lan",
        "ip -batch /etc/passwd",
        "ip netns exec r1 sh",
        "echo x > /etc/cron.d/x",
        "echo x >> /proc/sys/net/ipv4/ip_forward",
        "sysctl -p /etc/sysctl.conf",
        "sysctl -w kernel.core_pattern=|/bin/sh",
        "nft include /etc/passwd",
        "tc -b /etc/passwd",
        "ip route add 10.0.0.0/8 dev lan && id",
        "ip route add\x1b[2J",
    ],
)
def test_nothing_typed_is_run(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    for name in ("posix_spawn", "fork", "execve", "system", "posix_spawnp"):
        monkeypatch.setattr(f"os.{name}", run)
    monkeypatch.setattr("subprocess.Popen", run)
    state = small().state
    with pytest.raises(InputError) as caught:
        states_of(state, read_commands(f"@r1\n{line}\n", "change", NODES))
    assert all(error.place is not None and error.place.line == 2 for error in getattr(caught.value, "errors", (caught.value,)))


def test_what_only_a_kernel_can_tell_is_told_how() -> None:
    (step,) = read_commands("r1: iptables -A FORWARD -j DROP", "change", NODES)
    with pytest.raises(NotModelled, match="--emulate"):
        make(small().state, step)


CHANGE = """
change: routes
changes:
  - route: {on: ["r1", "r3"], action: delete, to: 10.2.0.0/24}
  - run: {on: [r2], commands: ["ip route add blackhole 10.90.0.0/16"]}
  - nft: {on: [r2], script: "add table ip x"}
  - process: {on: [h2], name: h2-tcp-80, action: stop}
"""


def test_a_change_file_is_one_step_for_each_node_and_command() -> None:
    state = small().state
    loaded = validate(read_yaml(CHANGE.encode(), "c.yaml"), ChangeFile)
    steps = read_change_file(loaded, Ground(state))
    assert [(step.node, step.place.line) for step in steps] == [("r1", 4), ("r3", 4), ("r2", 5), ("r2", 6), ("h2", 7)]
    for step in steps:
        state = make(state, step)
    assert state["h2"].listeners == ()
    assert [table.name for table in state["r2"].tables] == ["x"]


def test_a_change_file_tells_names_and_commands_that_are_wrong() -> None:
    text = CHANGE.replace('"r3"', "r4").replace("ip route", "ip route ;")
    with pytest.raises(InputErrors) as caught:
        read_change_file(validate(read_yaml(text.encode(), "c.yaml"), ChangeFile), Ground(small().state))
    assert "c.yaml:4:17: there is no node 'r4'" in str(caught.value)
    assert "c.yaml:5:" in str(caught.value)
    with pytest.raises(InputErrors, match="nothing changes"):
        validate(read_yaml(b"change: x\n", "c.yaml"), ChangeFile)


def test_events_of_clusters_need_clusters() -> None:
    loaded = validate(read_yaml(b"change: x\nevents:\n  - join: {cluster: c}\n", "c.yaml"), ChangeFile)
    with pytest.raises(InputError, match="of a topology or scenario only"):
        read_change_file(loaded, Ground(small().state))
