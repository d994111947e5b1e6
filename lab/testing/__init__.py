"""For those who keep incidents of their own: a pytest plug-in with a lab as a fixture, and the command line to be called in tests."""

from __future__ import annotations

from lab.testing.command import Answer, invoke

__all__ = ["Answer", "invoke"]
