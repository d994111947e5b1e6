"""The page as a person has it: in a real browser, with mouse and keyboard, narrow, enlarged, at night, on paper, without a script."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.report.page import report_html
from tests.report.browser import Page, browser, program
from tests.report.made import full_of, looping, written

pytestmark = pytest.mark.skipif(program() is None, reason="no Chromium on this machine")

SHOWN = "[...document.querySelectorAll('.scene')].filter(s => s.checkVisibility()).map(s => s.dataset.name)"
CURRENT = "document.querySelector('.scene.current .hop[aria-current] .where')?.textContent"
LIT = "new Set([...document.querySelectorAll('.scene.current .lab-now')].map(e => e.dataset.hop)).size"
TOO_WIDE = """[...document.querySelectorAll('body *')].filter(e => e.checkVisibility()
    && !e.closest('svg, pre, .table, .picture, .unseen, .skip') && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.className || e.tagName)"""
LOW_CONTRAST = """(() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c; }
    return [255, 255, 255]; };
  const low = [];
  for (const e of document.querySelectorAll('body *:not(script)')) {
    if (e.closest('svg') || !e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(e.className + ': ' + e.textContent.slice(0, 40));
  }
  return low;
})()"""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all tests."""
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(window: Page, file: Path) -> Page:
    window.size(1280)
    window.media()
    window.open(file)
    return window


def test_at_first_it_shows_the_phase_where_the_packet_was_lost(page: Page) -> None:
    assert page.run(SHOWN) == ["broken"]


def test_a_click_on_the_switch_shows_another_phase_in_the_same_place(page: Page) -> None:
    frames = (
        "[...document.querySelectorAll('.scene.current .lab-ground rect')].map(r => [r.getAttribute('x'), r.getAttribute('width')].join())"
    )
    before = page.run(frames)
    page.click(".switch label:nth-child(3) input")
    assert page.run(SHOWN) == ["fixed"]
    assert page.run(frames) == before
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert page.run(SHOWN) == ["healthy"]


def test_a_packet_is_followed_hop_by_hop_with_the_buttons(page: Page) -> None:
    found = []
    for _ in range(3):
        page.click(".scene.current .next")
        found.append(page.run(CURRENT))
        assert page.run(LIT) == 1
    assert found == ["c1-w1-a", "c1-w1", "sw-site-1"]
    page.click(".scene.current .previous")
    assert page.run(CURRENT) == "c1-w1"
    assert page.run("document.querySelector('.scene.current .position').textContent").endswith(": c1-w1")


def test_the_keyboard_does_it_as_well_up_to_where_the_packet_ends(page: Page) -> None:
    page.run("document.querySelector('.scene.current .picture').focus()")
    for _ in range(6):
        page.press("ArrowRight")
    assert page.run(CURRENT) == "core-router"
    assert "rejected" in page.run("document.querySelector('.hop[aria-current] tr.ends').textContent")
    page.press("Escape")
    assert page.run(CURRENT) is None
    assert page.run(LIT) == 0


def test_a_click_into_the_picture_opens_the_hop_there(page: Page) -> None:
    page.click(".scene.current svg rect[data-trace='0'][data-hop='1']")
    assert page.run(CURRENT) == "c1-w1"


def test_a_packet_that_goes_round_is_followed_through_every_round(window: Page, tmp_path: Path) -> None:
    file = tmp_path / "loop.html"
    file.write_text(report_html(*looping(), []), encoding="utf-8")
    window.size(1280)
    window.open(file)
    window.run("document.querySelector('.scene.current .picture').focus()")
    where = []
    for _ in range(12):
        window.press("ArrowRight")
        where.append(window.run(CURRENT))
        assert window.run(LIT) == 1, f"nothing, or more than one hop, is lit after {where}"
    assert where == ["a", "r1", *["r2", "r1"] * 5]
    at = "+document.querySelector('.scene.current .hop[aria-current]').dataset.hop"
    clicked = []
    for _ in range(3):
        window.click(".scene.current svg rect[data-trace='0'][data-hop='2']")
        clicked.append(window.run(at))
    assert clicked == [12, 14, 16], "a click into the round that is drawn goes on to the next"


def test_on_a_phone_the_picture_follows_the_packet(page: Page) -> None:
    page.size(400)
    in_sight = """[...document.querySelectorAll('.scene.current svg g.lab-now')].some(e => {
        const frame = e.closest('.picture').getBoundingClientRect(), box = e.getBoundingClientRect();
        return box.left >= frame.left - 1 && box.right <= frame.right + 1; })"""
    assert page.run("document.querySelector('.scene.current .picture').className").split() == ["picture", "more-right"]
    for _ in range(6):
        page.click(".scene.current .next")
        assert page.run(LIT) == 1
        assert page.run(in_sight)
    assert page.run("document.querySelector('.scene.current .picture').scrollLeft") > 100


def test_everything_that_can_be_used_has_a_name(page: Page) -> None:
    names = page.names()
    nameless = [role for role, name in names if role in ("button", "radio", "link", "image", "region", "radiogroup") and not name]
    assert nameless == []
    assert ("radio", "broken") in [(role, name.removeprefix("✗ ")) for role, name in names]
    assert any(role in ("image", "img") and "c1-w1-a" in name for role, name in names)


@pytest.mark.parametrize("width", [1280, 800, 400, 320])
def test_nothing_sticks_out_of_a_narrow_window(page: Page, width: int) -> None:
    """320 CSS pixels are 1280 at 400 per cent (WCAG 2.2, 1.4.10)."""
    page.size(width)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(TOO_WIDE) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_by_day_and_by_night(page: Page, file: Path, scheme: str) -> None:
    page.media(prefers_color_scheme=scheme)
    page.open(file)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.run(LOW_CONTRAST) == []


def test_the_last_two_checks_find_what_is_wrong(page: Page) -> None:
    pale = "<p class=wrong style='width: 200vw; color: #bbb; background: #fff'>pale</p>"
    page.run(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(pale)})")
    assert "wrong" in page.run(TOO_WIDE)
    assert page.run(LOW_CONTRAST) == ["wrong: pale"]


def test_without_a_script_all_phases_stand_one_below_the_other(window: Page, file: Path) -> None:
    window.size(1280)
    window.media()
    window.open(file, scripts=False)
    window.send("Emulation.setScriptExecutionDisabled", value=False)
    assert window.run(SHOWN) == ["healthy", "broken", "fixed"]
    assert (
        window.run("document.querySelector('.switch').checkVisibility() || document.querySelector('.stepper').checkVisibility()") is False
    )


def test_on_paper_all_phases_and_all_explanations_are_there(page: Page, tmp_path: Path) -> None:
    (tmp_path / "page.pdf").write_bytes(page.pdf())
    text = subprocess.run(["pdftotext", "-layout", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True).stdout
    assert all(phase in text for phase in ("healthy", "broken", "fixed"))
    assert "ip route replace 10.42.0.0/16 via 240.18.1.2" in text
    assert "the nearest, 10.42.0.0/24 via 240.18.1.2" in " ".join(text.split())


def test_hostile_text_runs_nothing(window: Page, tmp_path: Path) -> None:
    hostile = full_of("</script><script>document.title = 'broken in'</script><img src=x onerror=\"document.title = 'broken in'\">")
    (tmp_path / "hostile.html").write_text(report_html(hostile, {}, []))
    window.open(tmp_path / "hostile.html")
    assert "broken in" in window.run("document.body.textContent")
    assert window.run("document.title") != "broken in"
