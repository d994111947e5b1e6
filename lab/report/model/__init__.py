"""What a report holds: the one definition behind report.json, its published schema, the page and the summary."""

from lab.report.model.base import (
    FORMAT,
    VARIES,
    VERSION,
    Entry,
    Origin,
    Part,
    Source,
    StatusName,
    VaryingFloat,
    VaryingInt,
    VaryingText,
    VaryingTexts,
)
from lab.report.model.run import (
    Behaviour,
    Cell,
    Commands,
    Correction,
    Difference,
    Expectation,
    File,
    Found,
    Machine,
    Phase,
    Report,
    Row,
    Same,
    Step,
    Verdict,
)
from lab.report.model.story import Cause, Decision, Evidence, Explanation, Hop, Lost, Packet, Scene, Sight, Story, Turn

# fmt: off
__all__ = [
    "FORMAT", "VARIES", "VERSION", "Behaviour", "Cause", "Cell", "Commands", "Correction", "Decision", "Difference", "Entry",
    "Evidence", "Expectation", "Explanation", "File", "Found", "Hop", "Lost", "Machine", "Origin", "Packet", "Part", "Phase",
    "Report", "Row", "Same", "Scene", "Sight", "Source", "StatusName", "Step", "Story", "Turn", "VaryingFloat", "VaryingInt",
    "VaryingText", "VaryingTexts", "Verdict",
]
# fmt: on
