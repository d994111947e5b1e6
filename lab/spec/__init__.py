"""What people write: topology and scenario files, loaded with the place of every value and checked before anything runs."""

from __future__ import annotations

from lab.spec.adjust import topology_of
from lab.spec.document import Document
from lab.spec.events import Event, History
from lab.spec.load import Loaded
from lab.spec.opening import Play, is_lesson, one_of, open_file, open_scenario, open_scenarios, open_topology
from lab.spec.scenario import Scenario
from lab.spec.schema import json_schema
from lab.spec.selectors import Names
from lab.spec.shipped import find, names
from lab.spec.topology import Topology

__all__ = [
    "Document",
    "Event",
    "History",
    "Loaded",
    "Names",
    "Play",
    "Scenario",
    "Topology",
    "find",
    "is_lesson",
    "json_schema",
    "names",
    "one_of",
    "open_file",
    "open_scenario",
    "open_scenarios",
    "open_topology",
    "topology_of",
]
