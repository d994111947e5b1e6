"""Pictures that several tests look at."""

from __future__ import annotations

import pytest

from lab.api.pictures import draw_map, draw_path
from lab.report.diagram import Diagram, Scene


@pytest.fixture(scope="session")
def flagship() -> Diagram:
    """A ping from worker to worker in all phases of the flagship, and broken against fixed."""
    return draw_path("calico-24-mismatch", "c1-w1-a", "c2-w1-a", compare=("broken", "fixed"))


@pytest.fixture(scope="session")
def service() -> Diagram:
    """A connection to a service in all phases of the flagship: translated, and lost on its way back."""
    return draw_path("calico-24-mismatch", "c1-w1-a", "service/nginx", "tcp")


@pytest.fixture(scope="session")
def small_map() -> Scene:
    """The map of the flagship's two clusters."""
    return draw_map("calico-24-mismatch", "broken")
