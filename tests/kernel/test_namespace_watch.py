"""The tests' own watch over network namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kernel.sandbox import Sandbox

pytestmark = pytest.mark.kernel


def test_one_namespace_seen_at_two_places_is_watched_once(sandbox: Sandbox, watch_namespaces: Any) -> None:
    sandbox.add_namespace("one")
    watch = watch_namespaces()
    for _ in range(2):
        watch.follow(f"/proc/self/fd/{sandbox.descriptor('one')}")
    assert watch.follows_any
    sandbox.remove_namespace("one")
    watch.wait_until_all_are_gone()
    assert not watch.follows_any
