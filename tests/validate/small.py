"""A small network with a reserve: h1 behind r1 and h2 behind r2, which are joined directly and, with a larger metric, by way of r3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.errors import Place
from lab.spec.intents import Intents
from lab.spec.load import Loaded, validate
from lab.spec.yaml import read_yaml
from lab.state import State
from lab.validate.change import Ground
from lab.validate.commands import read_commands
from lab.validate.result import Check, Status, Validation
from lab.validate.validate import Wish
from lab.validate.validate import validate as find_out
from tests.forwarding.conftest import Net

NOWHERE = Place("change")


def small(*, mtu: int = 1500, rp_filter: int = 1) -> Net:
    net = Net()
    for router in ("r1", "r2", "r3"):
        net.router(router, rp_filter=rp_filter)
    net.wire("h1:eth0 10.1.0.2/24", "r1:lan 10.1.0.1/24").wire("h2:eth0 10.2.0.2/24", "r2:lan 10.2.0.1/24")
    net.wire("r1:direct 10.12.0.1/30", "r2:direct 10.12.0.2/30", mtu=mtu)
    net.wire("r1:back 10.13.0.1/30", "r3:one 10.13.0.2/30").wire("r2:back 10.23.0.1/30", "r3:two 10.23.0.2/30")
    net.route("h1", "default via 10.1.0.1 dev eth0").route("h2", "default via 10.2.0.1 dev eth0")
    net.route("r1", "10.2.0.0/24 via 10.12.0.2 dev direct").route("r1", "10.2.0.0/24 via 10.13.0.2 dev back metric 100")
    net.route("r2", "10.1.0.0/24 via 10.12.0.1 dev direct").route("r2", "10.1.0.0/24 via 10.23.0.2 dev back metric 100")
    net.route("r3", "10.2.0.0/24 via 10.23.0.1 dev two").route("r3", "10.1.0.0/24 via 10.13.0.1 dev one")
    net.route("r1", "10.23.0.0/30 via 10.13.0.2 dev back").route("r2", "10.13.0.0/30 via 10.23.0.2 dev back")
    net.route("r3", "10.12.0.0/30 via 10.13.0.1 dev one")
    net.listen("h2", "tcp", 80)
    return net


def validated(state: State, change: str, *, intents: str | None = None, steps: bool = False, failures: bool = False) -> Validation:
    """Validate commands on a state."""
    wish = Wish(intents_of(intents) if intents is not None else None, steps, failures)
    return find_out("net", "change", Ground(state), read_commands(change, "change", state.namespaces), wish)


def intents_of(text: str) -> Loaded[Intents]:
    return validate(read_yaml(text.encode(), "intents.yaml"), Intents)


def failed(found: Validation) -> list[str]:
    return [check.name for check in found.checks if check.status is Status.FAILED]


def check(found: Validation, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def saved(state: State, folder: Path) -> str:
    from lab.state.codec import dump_state

    path = folder / "net.json"
    path.write_text(dump_state(state))
    return str(path)


def said(checks: Sequence[Check]) -> str:
    return "\n".join(f"{check.title}: {finding}" for check in checks for finding in check.findings)
