"""Photograph the flagship's report for docs/pictures: `sudo .venv/bin/python scripts/screenshots.py`. Needs Chromium and poppler.

It plays the flagship and opens the page that the run leaves in a real browser, at several widths, by day and by night, on paper, and
without a script. Of this machine's kernel the pictures show the version alone.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.report.browser import Page, browser  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"


@dataclass(frozen=True, slots=True)
class Shot:
    """A window, and what is looked at in it."""

    name: str
    width: int
    height: int
    at: str = ""
    """What is scrolled to the top, by default the top of the page."""
    steps: int = 0
    """How many hops the packet is followed."""
    dark: bool = False
    scripts: bool = True


SHOTS = (
    Shot("report", 1280, 900, "#path", steps=2),
    Shot("report-verdict", 1280, 900),
    Shot("report-dark", 1280, 900, "#path", steps=6, dark=True),
    Shot("report-why-dark", 800, 900, "#why", dark=True),
    Shot("report-800", 800, 900, "#path"),
    Shot("report-400", 400, 860, "#path", steps=6),
    Shot("report-400-dark", 400, 860, dark=True),
    Shot("report-without-script", 1280, 900, "#path", scripts=False),
)
PAPER = ("report-print", "report-print-path")
"""The first page on paper, and the one with the picture of the broken phase."""


def main() -> None:
    """Play, look, write."""
    with TemporaryDirectory(prefix="lab-screenshots-") as folder:
        command = [str(ROOT / ".venv" / "bin" / "lab"), "run", "calico-24-mismatch", "--report", f"{folder}/report"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        file = Path(folder) / "report" / "report.html"
        release = os.uname().release
        version = re.match(r"[\d.]+", release)
        file.write_text(file.read_text(encoding="utf-8").replace(release, version[0] if version else "Linux"), encoding="utf-8")
        with browser() as page:
            for shot in SHOTS:
                write(shot.name, look(page, file, shot))
            page.media()
            page.open(file)
            paper = Path(folder) / "paper.pdf"
            paper.write_bytes(page.pdf())
        texts = subprocess.run(["pdftotext", paper, "-"], check=True, capture_output=True, text=True).stdout.split("\f")
        broken = next(
            number for number, text in enumerate(texts, 1) if "ICMP host unreachable" in text and "headers on the way there" in text
        )
        for name, number in zip(PAPER, (1, broken), strict=True):
            png = ["pdftoppm", "-png", "-r", "110", "-f", str(number), "-l", str(number), "-singlefile", str(paper), f"{folder}/{name}"]
            subprocess.run(png, check=True)
            write(name, (Path(folder) / f"{name}.png").read_bytes())


def look(page: Page, file: Path, shot: Shot) -> bytes:
    """Return what the window shows."""
    page.size(shot.width, shot.height)
    page.media(prefers_color_scheme="dark" if shot.dark else "light")
    page.open(file, scripts=shot.scripts)
    page.send("Emulation.setScriptExecutionDisabled", value=False)
    for _ in range(shot.steps):
        page.run("document.querySelector('.scene.current .next').click()")
    if shot.at:
        page.run(f"document.querySelector('{shot.at} h2').scrollIntoView()")
    return page.screenshot()


def write(name: str, png: bytes) -> None:
    """Write a picture as small as it can be without a loss."""
    Image.open(io.BytesIO(png)).convert("RGB").save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
