"""The play: phases of a scenario on the real kernel, what must be seen in each, and what is compared at the end.

This face shows what needs no kernel; `lab.scenario.play` runs a scenario, `lab.scenario.stage` is a running lab.
"""

from lab.scenario.changes import Live, apply_changes
from lab.scenario.phases import Stage, compile_stage, find_stage, live, stages

__all__ = ["Live", "Stage", "apply_changes", "compile_stage", "find_stage", "live", "stages"]
