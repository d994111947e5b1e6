"""libnftables in process: all of a transaction or none, and messages a person can use."""

from __future__ import annotations

import ctypes

import pytest

from lab.errors import MachineError
from lab.kernel import nftables
from lab.kernel.nftables import Command, Nftables, NftRefusal
from lab.kernel.sandbox import Sandbox

TABLE: Command = {"add": {"table": {"family": "ip", "name": "t"}}}


def chain(name: str, table: str = "t") -> Command:
    return {"add": {"chain": {"family": "ip", "table": table, "name": name}}}


@pytest.mark.kernel
def test_of_a_transaction_that_fails_nothing_is_done(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    with sandbox.enter("a"):
        nft = Nftables("a")
        before = nft.list_ruleset()
        with pytest.raises(NftRefusal):
            nft.run([TABLE, chain("good"), chain("bad", table="missing")])
        assert nft.list_ruleset() == before
        nft.run([TABLE, chain("good")])
        assert [next(iter(item)) for item in nft.list_ruleset()["nftables"]] == ["metainfo", "table", "chain"]
        nft.close()


@pytest.mark.kernel
def test_the_refusal_names_the_command_that_cannot_be_done(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    with sandbox.enter("a"):
        nft = Nftables("a")
        commands = [
            TABLE,
            *(chain(f"c{number}") for number in range(20)),
            chain("bad", table="missing"),
            *(chain(f"d{n}") for n in range(9)),
        ]
        with pytest.raises(NftRefusal, match="No such file or directory") as caught:
            nft.run(commands)
        assert caught.value.hint is not None
        assert '"name": "bad"' in caught.value.hint


@pytest.mark.kernel
def test_text_and_json_see_the_same_rule_set(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    with sandbox.enter("a"):
        nft = Nftables("a")
        nft.run_text("table ip t { chain c { }; }\n")
        assert {"family": "ip", "table": "t", "name": "c"}.items() <= nft.list_ruleset()["nftables"][2]["chain"].items()
        with pytest.raises(NftRefusal, match="a: nft refuses the rule set: syntax error"):
            nft.run_text("table ip ip ip")


@pytest.mark.kernel
def test_each_namespace_has_its_own_rule_set(sandbox: Sandbox) -> None:
    contexts = {}
    for name in ("a", "b"):
        sandbox.add_namespace(name)
        with sandbox.enter(name):
            contexts[name] = Nftables(name)
            contexts[name].run([{"add": {"table": {"family": "ip", "name": name}}}])
    for name, nft in contexts.items():
        with sandbox.enter(name):
            assert [item["table"]["name"] for item in nft.list_ruleset()["nftables"] if "table" in item] == [name]


def test_without_the_library_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    nftables._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(MachineError, match="libnftables1"):
        Nftables("a").list_ruleset()
    nftables._library.cache_clear()
