"""A scenario file with variants is several scenarios that share what stands beside `variants`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lab.spec.adjust import merged
from lab.spec.document import Document, Node
from lab.spec.load import Loaded, validate
from lab.spec.scenario import Scenario


def variants(scenario: Loaded[Scenario]) -> Iterator[tuple[str, Loaded[Scenario]]]:
    """Yield the scenarios of a file: the file itself under the name "", or each of its variants. Every value keeps its place.

    A variant's keys replace those beside `variants`; `adjust` is laid over the common one, key by key.
    """
    if not scenario.model.variants:
        yield "", scenario
        return
    root = scenario.document.root
    for name in scenario.model.variants:
        own = scenario.document.node("variants", name)
        assert own is not None
        called = Node(root.keys["scenario"], f"{scenario.model.scenario}-{name}")
        yield name, validate(Document(scenario.document.file, _variant(root, own, called)), Scenario)


def _variant(common: Node, own: Node, called: Node) -> Node:
    assert isinstance(common.content, Mapping)
    assert isinstance(own.content, Mapping)
    content = {**common.content, **own.content, "scenario": called}
    del content["variants"]
    if "adjust" in common.content and "adjust" in own.content:
        content["adjust"] = merged(common.content["adjust"], own.content["adjust"], removing=False)
    return Node(own.place, content, {**common.keys, **own.keys})
