"""A beginning for an incident of one's own: files that pass as they stand, with comments that say what to change."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from lab.errors import InputError, quoted
from lab.spec.patterns import NAME
from lab.spec.schema import json_schema

_TEMPLATES: Final = Path(__file__).parent / "templates"
LONGEST: Final = 50
"""How long the name of an incident may be: that of its topology, which is longer, is to be a name as well."""


def beginning(name: str) -> dict[str, str]:
    """Return the files of a new incident, by their names: a scenario, its topology, and the schemas that their modelines name.

    Raises InputError for what can name neither a scenario nor a file.
    """
    if re.fullmatch(NAME, name) is None or len(name) > LONGEST:
        raise InputError(
            f"{quoted(name)} cannot name a scenario", hint=f"letters, digits, '_', '.' and '-', at most {LONGEST}; a letter first"
        )
    files = {f"{name}.yaml": "scenario", f"{name}-topology.yaml": "topology"}
    written = {file: (_TEMPLATES / f"{kind}.yaml").read_text(encoding="utf-8").replace("NAME", name) for file, kind in files.items()}
    return written | {f"{kind}.schema.json": json.dumps(json_schema(kind), indent=2) + "\n" for kind in ("scenario", "topology")}
