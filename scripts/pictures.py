"""Write the pictures in docs/pictures from the shipped scenarios: `python scripts/pictures.py`. A test says when they are stale."""

from __future__ import annotations

from pathlib import Path

from lab.api.pictures import draw_map, draw_matrix, draw_path, draw_routes
from lab.report.diagram import svg

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
PODS = ["c1-gw-a", "c1-w1-a", "c2-gw-a", "c2-w1-a"]


def pictures() -> dict[Path, str]:
    """Return every picture by its file."""
    path = draw_path("calico-24-mismatch", "c1-w1-a", "c2-w1-a")
    change = draw_path("calico-24-mismatch", "c1-w1-a", "c2-w1-a", compare=("broken", "fixed"))
    back = draw_path("subm-4099", "other-pod", "worker-pod", phase="broken")
    drawn = {
        "path": svg(path.scene, "broken"),
        "change": svg(change.scene, "broken → fixed"),
        "back": svg(back.scene, "broken"),
        "map": svg(draw_map("calico-24-mismatch", "broken")),
        "reach": svg(draw_matrix("calico-24-mismatch", "routes-only", sources=PODS, targets=PODS)),
        "routes": svg(draw_routes("calico-24-mismatch", "c1-w1", "broken")),
    }
    return {PICTURES / f"{name}.svg": picture for name, picture in drawn.items()}


def main() -> None:
    """Write every file."""
    PICTURES.mkdir(exist_ok=True)
    for path, picture in pictures().items():
        path.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
