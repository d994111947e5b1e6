"""Kernel-level changes laid over a computed state, and the stages of a scenario."""

from __future__ import annotations

from typing import Any

import pytest

from lab.errors import InputError, Place
from lab.scenario.changes import Ordered, apply_changes, live_changes
from lab.scenario.phases import Stage, compile_stage, live, stages
from lab.spec import open_scenario
from lab.spec.changes import ChangeItem
from lab.state import BridgePort, Impairment, Namespace, Route, State, difference
from tests.scenario.outcomes import cast

LINE = Place("scenario.yaml", 7)


def changed(*entries: dict[str, Any]) -> State:
    """The flagship's broken phase with changes on top."""
    return apply_changes(cast().state, [ordered(entry) for entry in entries])


def ordered(entry: dict[str, Any]) -> Ordered:
    change = ChangeItem.model_validate(entry).change
    return Ordered(change.on, change, LINE)


def the_route(namespace: Namespace, destination: str, table: int = 254) -> Route:
    (route,) = (route for route in namespace.table(table) if str(route.destination) == destination)
    return route


class TestRoutes:
    def test_one_that_is_not_there_is_added_and_knows_its_line(self) -> None:
        entry = {"on": ["c1-w1"], "to": "10.42.0.0/16", "via": "240.18.1.2", "device": "vx-submariner"}
        route = the_route(changed({"route": entry})["c1-w1"], "10.42.0.0/16")
        assert (str(route.via), route.device, route.protocol) == ("240.18.1.2", "vx-submariner", 4)
        assert route.provenance.place == LINE

    def test_one_that_is_there_is_replaced(self) -> None:
        state = changed({"route": {"on": ["c1-w1"], "to": "10.42.0.0/24", "type": "blackhole"}})
        assert the_route(state["c1-w1"], "10.42.0.0/24").type == "blackhole"

    @pytest.mark.parametrize("action", [{"type": "blackhole"}, {"action": "delete"}], ids=["replaced", "deleted"])
    def test_the_kernels_own_does_not_come_back(self, action: dict[str, str]) -> None:
        state = changed({"route": {"on": ["c1-w1"], "to": "172.18.1.0/24"} | action})
        left = [route for route in state["c1-w1"].table() if str(route.destination) == "172.18.1.0/24"]
        assert [route.type for route in left] == (["blackhole"] if "type" in action else [])

    def test_what_went_with_a_link_does_not_come_back_with_it(self) -> None:
        down, up = ({"link": {"on": ["c1-w1"], "device": "eth0", "state": state}} for state in ("down", "up"))
        routes = {str(route.destination) for route in changed(down, up)["c1-w1"].table() if route.device == "eth0"}
        assert routes == {"172.18.1.0/24"}, "the connected one, and no default route"

    def test_the_device_of_a_next_hop_is_found_as_the_kernel_finds_it(self) -> None:
        state = changed({"route": {"on": ["c1-w1"], "to": "192.0.2.0/24", "via": "172.18.1.2"}})
        assert the_route(state["c1-w1"], "192.0.2.0/24").device == "eth0"

    def test_a_next_hop_on_no_subnet_is_refused_with_a_remedy(self) -> None:
        with pytest.raises(InputError, match=r"203\.0\.113\.9 is on no subnet of 'c1-w1'") as refused:
            changed({"route": {"on": ["c1-w1"], "to": "192.0.2.0/24", "via": "203.0.113.9"}})
        assert refused.value.place == LINE
        assert "onlink" in (refused.value.hint or "")

    def test_deleting_what_is_not_there_is_refused(self) -> None:
        with pytest.raises(InputError, match="has no route to") as refused:
            changed({"route": {"action": "delete", "on": ["c1-w1"], "to": "10.42.0.0/23"}})
        assert "10.42.0.0/24" in (refused.value.hint or "")

    def test_one_is_deleted_from_its_table_only(self) -> None:
        state = changed({"route": {"action": "delete", "on": ["c1-gw"], "to": "10.42.0.0/24", "table": 100}})
        assert [str(route.destination) for route in state["c1-gw"].table(100)] == ["10.43.0.0/16"]


class TestOtherThings:
    def test_rules_come_and_go(self) -> None:
        rule = {"on": ["c1-w1"], "priority": 90, "table": 90, "source": "10.46.0.0/16"}
        with_it = changed({"rule": rule})
        assert [r.table for r in with_it["c1-w1"].rules if r.priority == 90] == [90]
        assert 90 not in [r.priority for r in apply_changes(with_it, [ordered({"rule": {**rule, "action": "delete"}})])["c1-w1"].rules]
        for less in ({"priority": 90}, {"priority": 90, "table": 90}, {"priority": 90, "source": "10.46.0.0/16"}):
            gone = apply_changes(with_it, [ordered({"rule": {"on": ["c1-w1"], "action": "delete", **less}})])
            assert 90 not in [r.priority for r in gone["c1-w1"].rules], less
        with pytest.raises(InputError, match="no such rule of priority 90"):
            changed({"rule": {"on": ["c1-w1"], "action": "delete", "priority": 90, "table": 91}})
        with pytest.raises(InputError, match="no such rule of priority 91"):
            changed({"rule": {**rule, "action": "delete", "priority": 91}})

    def test_a_sysctl_is_written(self) -> None:
        state = changed({"sysctl": {"on": ["c1-w1", "c1-w2"], "name": "net/ipv4/conf/vxlan.calico/rp_filter", "value": 2}})
        assert [state[name].sysctl("net/ipv4/conf/vxlan.calico/rp_filter") for name in ("c1-w1", "c1-w2", "c1-gw")] == ["2", "2", "1"]

    def test_a_link_that_goes_down_takes_its_routes_along(self) -> None:
        state = changed({"link": {"on": ["c1-w1"], "device": "vx-submariner", "state": "down"}})
        assert not [route for route in state["c1-w1"].table() if route.device == "vx-submariner"]
        assert [route for route in state["c1-w1"].table() if route.device == "eth0"]

    def test_a_link_changes_or_is_gone(self) -> None:
        assert changed({"link": {"on": ["c1-w1"], "device": "eth0", "mtu": 1400}})["c1-w1"].link("eth0").mtu == 1400  # type: ignore[union-attr]
        assert changed({"link": {"on": ["c1-gw"], "device": "vxlan-tunnel", "state": "deleted"}})["c1-gw"].link("vxlan-tunnel") is None
        with pytest.raises(InputError, match="has no device 'vxsubmariner'") as refused:
            changed({"link": {"on": ["c1-w1"], "device": "vxsubmariner", "mtu": 1400}})
        assert "vx-submariner" in (refused.value.hint or "")

    def test_an_address_brings_its_subnets_route(self) -> None:
        state = changed({"address": {"on": ["c1-w1"], "device": "eth0", "address": "192.0.2.1/24"}})
        assert the_route(state["c1-w1"], "192.0.2.0/24").device == "eth0"

    def test_neighbours_and_fdb_entries(self) -> None:
        mac = "02:00:5e:00:00:01"
        state = changed(
            {"neighbour": {"on": ["c1-gw"], "device": "vxlan-tunnel", "address": "241.18.2.2", "mac": mac}},
            {"fdb": {"on": ["c1-gw"], "device": "vxlan-tunnel", "mac": mac, "destination": "172.18.2.2"}},
        )
        assert mac in [n.mac for n in state["c1-gw"].neighbours]
        assert mac in [entry.mac for entry in state["c1-gw"].fdb]
        with pytest.raises(InputError, match="no such FDB entry"):
            changed({"fdb": {"action": "delete", "on": ["c1-gw"], "device": "vxlan-tunnel", "mac": mac, "destination": "172.18.2.2"}})

    @pytest.mark.parametrize(
        ("device", "destination", "said"),
        [
            ("vxlan-tunnel", "fd00::2", "'vxlan-tunnel' is a tunnel over IPv4, and fd00::2 is no address of that version"),
            ("eth0", "172.18.2.2", "'eth0' is no VXLAN device"),
            ("vxlan-tunel", "172.18.2.2", "has no device 'vxlan-tunel'"),
        ],
    )
    def test_an_fdb_entry_is_one_of_a_tunnel_and_its_version(self, device: str, destination: str, said: str) -> None:
        with pytest.raises(InputError, match=said):
            changed({"fdb": {"on": ["c1-gw"], "device": device, "mac": "02:00:5e:00:00:01", "destination": destination}})

    def test_a_node_that_is_absent_cannot_be_changed(self) -> None:
        alone = State({"c1-gw": cast().state["c1-gw"]})
        with pytest.raises(InputError, match="'c1-w1' is not there in this phase"):
            apply_changes(alone, [ordered({"sysctl": {"on": ["c1-w1"], "name": "net/ipv4/ip_forward", "value": 0}})])

    def test_nothing_else_is_touched(self) -> None:
        found = difference(cast().state, changed({"sysctl": {"on": ["c1-w1"], "name": "net/ipv4/ip_forward", "value": 0}}))
        assert [change.name for change in found.changed] == ["c1-w1"]

    def test_what_only_a_running_lab_can_do_is_left_to_it(self) -> None:
        entries = [
            ordered({"run": {"on": ["c1-w1"], "commands": ["ip link"]}}),
            ordered({"sysctl": {"on": ["c1-w1"], "name": "net/ipv4/ip_forward", "value": 0}}),
            ordered({"process": {"on": ["proxy"], "name": "tinyproxy", "action": "stop"}}),
        ]
        assert [item.on for item in live_changes(entries)] == [("c1-w1",), ("proxy",)]


@pytest.fixture(scope="module")
def flagship() -> list[Stage]:
    scenario, _ = open_scenario("calico-24-mismatch")
    return list(stages(scenario.model))


class TestStages:
    def test_a_step_follows_its_phase(self, flagship: list[Stage]) -> None:
        assert [stage.phase for stage in flagship] == ["healthy", "broken", "routes-only", "routes-only", "fixed"]

    def test_a_phase_after_another_continues_its_events_and_keeps_its_changes(self, flagship: list[Stage]) -> None:
        _, broken, by_hand, loosened, _ = flagship
        assert by_hand.past.events[: len(broken.past.events)] == broken.past.events
        assert by_hand.past.absent == broken.past.absent
        assert len(loosened.past.changes) == len(by_hand.past.changes) + 1

    def test_changes_are_taken_back_where_the_phase_says_so(self, flagship: list[Stage]) -> None:
        assert flagship[-1].past.changes == ()

    def test_a_phase_that_is_not_after_another_begins_anew(self, flagship: list[Stage]) -> None:
        assert flagship[1].past.absent == ("c1-w1", "c1-w2", "c2-w1", "c2-w2")
        assert len(flagship[1].past.events) == 6

    def test_live_changes_know_their_line(self) -> None:
        scenario, topology = open_scenario("flagship-variants#half-measures")
        stage = next(stage for stage in stages(scenario.model) if stage.phase == "loose-everywhere")
        (action,) = live(topology, scenario, stage)
        assert len(action.on) == 6
        assert action.place.file.endswith("flagship-variants.yaml")
        assert compile_stage(topology, scenario, stage)["c1-w1"].sysctl("net/ipv4/conf/all/rp_filter") == "1"


class TestLinksAndLayerTwo:
    def test_an_impairment_takes_the_place_of_the_one_before(self) -> None:
        first = {"impairment": {"on": ["c1-w1"], "device": "eth0", "loss": 12.345, "rate": 64}}
        second = {"impairment": {"on": ["c1-w1"], "device": "eth0", "corruption": 0.01, "delay": 7}}
        healed = {"impairment": {"on": ["c1-w1"], "device": "eth0"}}
        link = changed(first)["c1-w1"].link("eth0")
        assert link is not None
        assert (link.impairment, link.provenance.place) == (Impairment(loss=1234, rate=64), LINE)
        assert changed(first, second)["c1-w1"].link("eth0").impairment == Impairment(corruption=1, delay=7)  # type: ignore[union-attr]
        assert changed(first, healed)["c1-w1"].link("eth0").impairment is None  # type: ignore[union-attr]

    def test_a_port_keeps_what_is_not_said_of_it(self) -> None:
        entries = [{"link": {"on": ["sw-site-1"], "device": "c1-w1", "port": port}} for port in ({"isolated": True}, {"flood": False})]
        link = changed(*entries)["sw-site-1"].link("c1-w1")
        assert link is not None
        assert link.port == BridgePort(isolated=True, flood=False)

    def test_what_is_no_port_has_no_settings_of_one(self) -> None:
        with pytest.raises(InputError, match="'eth0' is no port of a bridge in 'c1-w1'"):
            changed({"link": {"on": ["c1-w1"], "device": "eth0", "port": {"isolated": True}}})

    def test_an_announcement_makes_others_forget_what_they_learned_and_nothing_else(self) -> None:
        entry = {"on": ["c1-gw"], "device": "eth0", "address": "172.18.1.99", "mac": "02:00:5e:10:00:63"}
        stated, learned = ({"neighbour": {**entry, **more}} for more in ({}, {"learned": True, "address": "172.18.1.98"}))
        announced = [{"announce": {"on": ["c1-w1"], "device": "eth0", "address": f"172.18.1.{number}"}} for number in (98, 99)]

        def known(state: State) -> dict[str, str]:
            return {str(n.address): n.state for n in state["c1-gw"].neighbours if n.device == "eth0"}

        assert known(changed(stated, learned)) == {"172.18.1.99": "permanent", "172.18.1.98": "reachable"}
        assert known(changed(stated, learned, *announced)) == {"172.18.1.99": "permanent"}
        assert [live.on for live in live_changes(map(ordered, announced))] == [("c1-w1",), ("c1-w1",)]
