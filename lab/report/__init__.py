"""What people read and machines parse: a run as text, as JSON, as JUnit XML.

What is listed here loads when it is first used: it needs the kernel's room, and what tells and draws predictions works on any system.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lab.report.as_json import diagnosis_json, result_json
    from lab.report.junit import junit_xml
    from lab.report.overview import overview_line, overview_table
    from lab.report.text import RunDisplay, diagnosis_table, result_table

_HOMES: Final = {
    "RunDisplay": "text",
    "diagnosis_json": "as_json",
    "diagnosis_table": "text",
    "junit_xml": "junit",
    "overview_line": "overview",
    "overview_table": "overview",
    "result_json": "as_json",
    "result_table": "text",
}

__all__ = ["RunDisplay", "diagnosis_json", "diagnosis_table", "junit_xml", "overview_line", "overview_table", "result_json", "result_table"]


def __getattr__(name: str) -> object:
    """Load the module that has `name` (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
