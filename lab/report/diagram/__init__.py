"""Pictures: one layout, several renderers. `layout` computes where everything is, and every renderer is a function of the layout alone.

`lab.report.diagram.as_image`, which draws PNG and PDF, imports matplotlib and is therefore imported where it is used.
"""

from lab.report.diagram.as_drawio import drawio
from lab.report.diagram.as_mermaid import mermaid
from lab.report.diagram.as_svg import ident, stylesheet, svg
from lab.report.diagram.as_text import rich_text, text
from lab.report.diagram.paths import Diagram, layout
from lab.report.diagram.scene import Scene
from lab.report.diagram.ways import View

__all__ = ["Diagram", "Scene", "View", "drawio", "ident", "layout", "mermaid", "rich_text", "stylesheet", "svg", "text"]
