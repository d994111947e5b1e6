"""What the kernel answered once, in two hundred random networks: the model says the same, and a broken model does not."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lab.explain.agreement.corpus import digest_of, network_of, read_corpus, replay

CORPORA = {4: Path(__file__).parent / "corpus.json", 6: Path(__file__).parent / "corpus6.json"}
"""By version of IP."""


@dataclass(frozen=True)
class Mutant:
    """A module of the model with one piece of text replaced."""

    name: str
    module: str
    old: str
    new: str
    version: int = 4
    """Of the IP that notices it."""


MUTANTS = [Mutant(**table) for table in tomllib.loads((Path(__file__).parent / "mutants.toml").read_text())["mutant"]]
ROOMS = ("lab.forwarding", "lab.explain")


@pytest.mark.parametrize("version", CORPORA)
def test_the_model_says_what_the_kernel_said(version: int) -> None:
    for recorded, tally in replay(read_corpus(CORPORA[version])):
        assert not tally.disagreements, f"network {recorded.seed}: {tally.disagreements[0]}"


@pytest.mark.parametrize("version", CORPORA)
def test_the_corpus_belongs_to_this_generator(version: int) -> None:
    """Otherwise: python -m lab.explain.agreement.corpus tests/forwarding/corpus.json 4 SEEDS..., as root."""
    for recorded in read_corpus(CORPORA[version])[:20]:
        assert digest_of(*network_of(recorded.seed, version=recorded.version)) == recorded.digest, (
            f"network {recorded.seed} is another one now: record the corpus anew"
        )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_corpus_notices_a_broken_model(mutant: Mutant) -> None:
    with broken(mutant):
        corpus: Any = importlib.import_module("lab.explain.agreement.corpus")
        for _, tally in corpus.replay(corpus.read_corpus(CORPORA[mutant.version])):
            if tally.disagreements:
                return
    pytest.fail("nobody noticed")


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """Import the rooms afresh, one module of them changed; afterwards everything is as before."""
    kept = {name: module for name, module in sys.modules.items() if name.startswith(ROOMS)}
    for name in kept:
        del sys.modules[name]
    finder = _Breaking(mutant)
    sys.meta_path.insert(0, finder)
    try:
        yield
        assert finder.done, f"{mutant.module} was not imported"
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(ROOMS)]:
            del sys.modules[name]
        sys.modules.update(kept)


class _Breaking(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from changed text."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.done = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.mutant.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        assert found is not None
        assert found.origin is not None
        self.origin = found.origin
        return importlib.util.spec_from_loader(name, self, origin=found.origin)

    def exec_module(self, module: ModuleType) -> None:
        text = Path(self.origin).read_text()
        assert self.mutant.old in text, f"{self.mutant.module} no longer says {self.mutant.old!r}"
        code = compile(text.replace(self.mutant.old, self.mutant.new), self.origin, "exec", dont_inherit=True)
        exec(code, module.__dict__)
        self.done = True
