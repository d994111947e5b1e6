"""What there is in any phase of a scenario, by the names that its expectations and changes use.

A name that none of the states of a scenario has is misspelt, unless somebody may make what it is a name of while the lab runs: literal
commands make anything, nft scripts tables and what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from lab.cluster.logs import log_components
from lab.scenario.counters import RULE, rule_counters, spellings
from lab.scenario.phases import Stage
from lab.spec import Names, Topology
from lab.spec.changes import NftChange, RunChange
from lab.spec.counter_names import is_by_type, known_counters
from lab.state import ApiObject, Namespace, State
from lab.state.nft import NftTable
from lab.state.resolv import parse_resolv_conf

_CLUSTERSET: Final = "svc.clusterset.local"
_LOG: Final = re.compile(r"\{scratch\}/([^\s\"',;]+)")
"""A file of a program's own folder, in its command line or its configuration."""
_HOST: Final = re.compile(r"^[0-9a-fA-F:.]+[ \t]+(\S.*)$", re.MULTILINE)
"""A line of hosts(5)."""
_RECORD: Final = re.compile(r"^(?:host-record|txt-record)=([^,\n]+)", re.MULTILINE)
_DOMAIN: Final = re.compile(r"^address=/([^/#]+)/.", re.MULTILINE)
"""A domain with an address for every name in it, in dnsmasq's configuration."""

Compiled = Sequence[tuple[Stage, State]]
"""Every stage of a scenario with its state."""
Known = Iterable[str] | None
"""The names there are; None where there may be any."""


@dataclass(frozen=True)
class Everywhere:
    """What there is in any phase."""

    compiled: Compiled
    topologies: dict[str, Topology]
    """The topology of every phase."""

    @cached_property
    def commanded(self) -> frozenset[str]:
        """Namespaces in which commands are run."""
        return self._changed_by(RunChange)

    @cached_property
    def scripted(self) -> frozenset[str]:
        """Namespaces in which nft rules are made that are in no state."""
        return self._changed_by(NftChange) | self.commanded

    def _changed_by(self, kind: type) -> frozenset[str]:
        return frozenset(
            name
            for stage, _ in self.compiled
            for placed in stage.past.changes
            if isinstance(placed.change, kind)
            for name in Names.of(self.topologies[stage.phase]).expand(placed.change.on)
        )

    def _namespaces(self, names: Iterable[str]) -> Iterator[Namespace]:
        wanted = set(names)
        return (state[name] for _, state in self.compiled for name in wanted if name in state.namespaces)

    def _objects(self, cluster: str) -> Iterator[ApiObject]:
        return (item for _, state in self.compiled for item in state.control.objects if item.cluster == cluster)

    def devices(self, namespaces: Iterable[str]) -> Known:
        """Return the devices of some namespaces."""
        here = set(namespaces)
        return None if here & self.commanded else {link.name for found in self._namespaces(here) for link in found.links}

    def programs(self, namespaces: Iterable[str]) -> Known:
        """Return the programs that run in some namespaces."""
        return {program.name for found in self._namespaces(namespaces) for program in found.programs}

    def program_files(self, namespaces: Iterable[str], program: str) -> Known:
        """Return the files that a program has in its folder: those it is given, those it is told to write, and what it prints."""
        files = {"output"}
        for found in (p for n in self._namespaces(namespaces) for p in n.programs if p.name == program):
            files |= {*found.files, *_LOG.findall("\n".join((*found.argv, *found.files.values())))}
        return files

    def tables(self, namespaces: Iterable[str], family: str) -> Known:
        """Return the nft tables of a family in some namespaces."""
        found = self._tables(namespaces, family)
        return None if found is None else {table.name for table in found}

    def chains(self, namespaces: Iterable[str], family: str, table: str) -> Known:
        """Return the chains of an nft table."""
        found = self._tables(namespaces, family)
        return None if found is None else {chain.name for each in found if each.name == table for chain in each.chains}

    def sets(self, namespaces: Iterable[str], family: str, table: str) -> Known:
        """Return the named sets of an nft table."""
        found = self._tables(namespaces, family)
        return None if found is None else {each_set.name for each in found if each.name == table for each_set in each.sets}

    def _tables(self, namespaces: Iterable[str], family: str) -> list[NftTable] | None:
        here = set(namespaces)
        return None if here & self.scripted else [t for found in self._namespaces(here) for t in found.tables if t.family == family]

    def counters(self, namespaces: Iterable[str], name: str) -> Known:
        """Return the counters that a name may be one of: the kernel's, in every way they may be written, or those of rules."""
        here = set(namespaces)
        if name.startswith(RULE):
            return None if here & self.scripted else {key for found in self._namespaces(here) for key in rule_counters(found.tables)}
        if is_by_type(name):
            return None
        known = known_counters()
        return known.union(*map(spellings, known))

    def components(self, cluster: str) -> Known:
        """Return what logs in a cluster."""
        return {name for topology in self.topologies.values() for name in log_components(topology, cluster)}

    def kinds(self, cluster: str) -> Known:
        """Return the kinds of objects that a cluster's API server has."""
        return {item.kind for item in self._objects(cluster)}

    def bodies(self, cluster: str, kind: str) -> list[object]:
        """Return what the objects of a kind hold."""
        return [item.body for item in self._objects(cluster) if item.kind == kind]

    def resolved(self, name: str, senders: Iterable[str]) -> bool:
        """Whether somebody knows a name, as it is or as one of the senders completes it."""
        asked = {query.rstrip(".").lower() for text in self._resolvers(senders) for query in parse_resolv_conf(text).queries(name)}
        asked.add(name.rstrip(".").lower())
        return not asked.isdisjoint(self.dns_names) or any(
            f".{query}".endswith(f".{domain}") for query in asked for domain in self._domains
        )

    def _resolvers(self, senders: Iterable[str]) -> set[str]:
        return {found.files.get("/etc/resolv.conf", "") for found in self._namespaces(senders)}

    @cached_property
    def dns_names(self) -> frozenset[str]:
        """Every name that a server or a hosts file knows in any phase, and those that services have once they are exported."""
        names = {name for text in self._name_files for line in _HOST.findall(text) for name in line.split()}
        names |= {name for text in self._name_files for name in _RECORD.findall(text)}
        for _, state in self.compiled:
            for service in state.control.of("Service"):
                name = f"{service.name}.{service.namespace}.{_CLUSTERSET}"
                names |= {name, f"{service.cluster}.{name}"}
        return frozenset(name.rstrip(".").lower() for name in names)

    @cached_property
    def _domains(self) -> frozenset[str]:
        return frozenset(domain.rstrip(".").lower() for text in self._name_files for domain in _DOMAIN.findall(text))

    @cached_property
    def _name_files(self) -> frozenset[str]:
        found = [namespace for _, state in self.compiled for namespace in state]
        programs = {text for namespace in found for program in namespace.programs for text in program.files.values()}
        return frozenset(programs | {namespace.files.get("/etc/hosts", "") for namespace in found})
