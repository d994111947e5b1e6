"""The page of a run: whole, valid, telling its story without a script, and safe whatever stood in files and packets."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from xml.etree import ElementTree

import html5lib
import pytest

from lab.errors import printable
from lab.report.model import Report
from lab.report.page import index_html, report_html
from lab.report.page.render import LARGEST
from tests.report.made import full_of, looping, page, report
from tests.scenario.outcomes import STRANGER

HTML = "{http://www.w3.org/1999/xhtml}"
HOSTILE = """</script><script>alert("1")</script><img src=x onerror='alert(2)'>&amp;{{ 7 * 7 }}-->]]>"""


def parsed(text: str) -> ElementTree.Element:
    """Parse a page as strictly as html5lib can."""
    return html5lib.HTMLParser(strict=True).parse(text)


@cache
def tree() -> ElementTree.Element:
    return parsed(page())


def text_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(name: str) -> str:
    (found,) = (element for element in tree().iter(f"{HTML}section") if element.get("id") == name)
    return text_of(found)


def test_the_page_is_valid_and_has_one_heading_of_the_first_rank() -> None:
    assert [text_of(heading) for heading in tree().iter(f"{HTML}h1")] == [report()[0].title]


def test_no_id_is_given_twice() -> None:
    ids = [element.get("id") for element in tree().iter() if element.get("id")]
    assert sorted({name for name in ids if ids.count(name) > 1}) == []


def test_every_link_within_the_page_and_every_reference_leads_somewhere() -> None:
    ids = {element.get("id") for element in tree().iter()}
    links = {element.get("href", "")[1:] for element in tree().iter(f"{HTML}a") if element.get("href", "").startswith("#")}
    references = {name for element in tree().iter() for name in element.get("aria-labelledby", "").split()}
    assert links
    assert (links | references) - ids == set()


def test_it_asks_nothing_of_the_network() -> None:
    loading = [element for element in tree().iter() if any(element.get(name) for name in ("src", "srcset", "data", "action", "poster"))]
    assert loading == []
    assert not list(tree().iter(f"{HTML}link"))
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", page())
    (policy,) = (meta.get("content", "") for meta in tree().iter(f"{HTML}meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_the_verdict_comes_first_and_then_the_story() -> None:
    order = [element.get("id") for element in tree().iter(f"{HTML}section")]
    assert order == ["verdict", "symptom", "path", "why", "correction", "comparison", "expectations", "reproduce", "machine"]
    assert section("verdict").startswith("✓ All expectations hold 3 of 3 expectations hold")


def test_the_symptom_is_told_as_its_sender_saw_it() -> None:
    assert f"c1-w1-a$ ping -c 1 10.42.185.1 From {STRANGER} icmp_seq=1 Destination Host Unreachable" in section("symptom")


def test_without_a_script_every_phase_is_there_with_its_picture_and_every_hop() -> None:
    scenes = [element for element in tree().iter(f"{HTML}div") if element.get("class") == "scene"]
    assert [scene.get("data-name") for scene in scenes] == ["healthy", "broken", "fixed"]
    assert all(len(list(scene.iter("{http://www.w3.org/2000/svg}svg"))) == 1 for scene in scenes)
    assert not any(scene.get("hidden") is not None for scene in scenes)
    hops = [hop for hop in scenes[1].iter(f"{HTML}details") if "hop" in hop.get("class", "")]
    assert [text_of(hop).split()[0] for hop in hops[:3]] == ["c1-w1-a", "c1-w1", "sw-site-1"]


@cache
def round_and_round() -> ElementTree.Element:
    return parsed(report_html(*looping(), []))


@pytest.mark.parametrize("whole", [tree, round_and_round], ids=["flagship", "a loop"])
def test_every_hop_of_a_drawn_packet_is_lit_by_something_in_the_picture(whole: Callable[[], ElementTree.Element]) -> None:
    """The script lights what has the numbers of a hop's trace and visit; of a loop the one round that is drawn stands for all."""
    for scene in (element for element in whole().iter() if element.tag == f"{HTML}div" and element.get("class") == "scene"):
        lit = [element for element in scene.iter() if "svg" in element.tag and element.get("data-hop")]
        drawn = {(e.get("data-trace"), hop) for e in lit for hop in (e.get("data-hop"), *e.get("data-again", "").split())}
        told = {(e.get("data-trace"), e.get("data-hop")) for e in scene.iter(f"{HTML}details") if "hop" in e.get("class", "")}
        assert {hop for hop in told if hop[0] in {trace for trace, _ in drawn}} == drawn


def test_the_explanation_leads_back_to_a_line_of_a_file_and_quotes_it() -> None:
    why = section("why")
    assert "the nearest, 10.42.0.0/24 via 240.18.1.2 dev vx-submariner, misses it by 8 bits" in why
    assert re.search(r"two-clusters\.yaml:\d+ c2-gw: \{address", why)
    assert "The request ends at core-router" in why
    assert "What cures it: subctl join --clustercidr 10.42.0.0/16 in cluster-2" in why


def test_the_correction_has_cause_commands_and_difference() -> None:
    correction = section("correction")
    assert "join: {cluster: cluster-1, clustercidr: 10.46.0.0/16" in correction
    assert "ip route replace 10.42.0.0/16 via 240.18.1.2 dev vx-submariner proto static" in correction
    assert re.search(r"-ip route \S+ 10\.42\.0\.0/24", correction)
    assert re.search(r"\+ip route \S+ 10\.42\.0\.0/16", correction)


def test_the_machine_and_its_witnesses_are_named() -> None:
    assert report()[0].machine.kernel in section("machine")
    assert "Concluded from where a packet was last seen" in section("machine")


@pytest.mark.parametrize("text", [HOSTILE, "\x00\x1b[31m\ud800\u202e", "=cmd|' /C calc'!A0", "a" * 3000])
def test_whatever_stands_in_files_and_packets_is_shown_and_does_nothing(text: str) -> None:
    shown = parsed(report_html(full_of(text), {}, [(printable(text), "")]))
    assert len(list(shown.iter(f"{HTML}script"))) == 1
    assert not list(shown.iter(f"{HTML}img"))
    assert not [name for element in shown.iter() for name in element.attrib if name.startswith("on")]
    assert printable(text)[:20] in text_of(shown)


def test_a_link_that_is_no_address_of_the_web_is_text() -> None:
    shown = parsed(page(links=("javascript:alert(1)", "https://example.com/?a=1&b=2")))
    links = [element.get("href") for element in shown.iter(f"{HTML}a") if not element.get("href", "").startswith("#")]
    assert links == ["https://example.com/?a=1&b=2"]


def test_a_page_stays_small_however_many_stories_there_are() -> None:
    made, pictures = report()
    many = tuple(made.stories[0].model_copy(update={"id": f"story-{number}"}) for number in range(1, 41))
    drawn = {(f"story-{n}", scene): picture for n in range(1, 41) for (_, scene), picture in pictures.items()}
    text = report_html(made.model_copy(update={"stories": many}), drawn, [])
    assert len(text.encode()) <= LARGEST
    assert "more: report.json has them" in text


def test_a_run_without_a_story_is_a_page_as_well() -> None:
    text = page(stories=(), correction=None, same=None, behaviour=None, description="", links=())
    assert [element.get("id") for element in parsed(text).iter(f"{HTML}section")] == ["verdict", "expectations", "reproduce", "machine"]


def test_the_same_run_is_the_same_bytes() -> None:
    assert page() == page()


def test_an_index_leads_to_every_report() -> None:
    entries: list[tuple[str, Report]] = [("one", report()[0]), ("two & <three>", full_of(HOSTILE))]
    shown = parsed(index_html(entries))
    assert [link.get("href") for link in shown.iter(f"{HTML}a")] == ["one/report.html", "two%20%26%20%3Cthree%3E/report.html"]
    assert not list(shown.iter(f"{HTML}script"))
