"""What a report leaves besides its page: JSON by a published schema, Markdown that nothing breaks, a bundle, and a folder that is ours."""

from __future__ import annotations

import copy
import json
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import html5lib
import pytest
from markdown_it import MarkdownIt

from lab.errors import InputError
from lab.report.bundle import bundle_of, read_bundle, unpacked
from lab.report.folder import check_folder, folder_names, write_files
from lab.report.junit import junit_xml
from lab.report.pictures import charts
from lab.report.schema import differences, report_schema
from lab.report.sources import Sources
from lab.report.summary import LARGEST, block, code, escaped, summary_md
from lab.scenario.result import names_of
from lab.spec import open_scenario
from tests.e2e.junit import mistakes
from tests.report.made import full_of, report, told
from tests.spec.json_schema import valid

HOSTILE = '</script>|`` ```mermaid\nclick a href "javascript:alert(1)"```<b>*_[x](y)'


HTML = "{http://www.w3.org/1999/xhtml}"
TAGS = "html head body h2 h3 p strong em code pre ul ol li table thead tbody tr th td details summary br"
"""What a summary is made of."""


def rendered(text: str) -> Element:
    """What a page that shows Markdown, HTML in it included, makes of it."""
    return html5lib.HTMLParser().parse(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


@cache
def schema() -> dict[str, Any]:
    return report_schema()


def values() -> dict[str, Any]:
    """The report of the flagship as the model sees it, as JSON values."""
    return copy.deepcopy(_values())


@cache
def _values() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(report()[0].model_dump_json())
    return made


class TestJson:
    def test_it_keeps_to_its_schema(self) -> None:
        assert valid(values(), schema(), schema())
        assert valid(json.loads(full_of(HOSTILE).model_dump_json()), schema(), schema())

    def test_the_schema_refuses_what_is_no_report(self) -> None:
        for key in ("verdict", "phases", "stories"):
            assert not valid({name: value for name, value in values().items() if name != key}, schema(), schema())
        assert not valid(values() | {"more": 1}, schema(), schema())

    def test_every_key_is_described(self) -> None:
        parts = [schema(), *schema()["$defs"].values()]
        assert [(key, part["title"]) for part in parts for key, value in part["properties"].items() if not value.get("description")] == []

    def test_what_may_differ_between_two_runs_is_declared(self) -> None:
        now = values()
        now["started"], now["duration_ms"] = "2030-01-01T00:00:00+00:00", 99.0
        now["phases"][0] |= {"duration_ms": 7.0, "probes": 7}  # a service is tried until each backend was met
        now["verdict"]["probes"] = 7
        now["machine"]["kernel"] = "7.1"
        assert differences(values(), now) == ()

    @pytest.mark.parametrize(
        ("path", "change"),
        [
            ("verdict.conclusion", lambda now: now["verdict"].update(conclusion="all is lost")),
            (
                "phases[1].steps[0].expectations[0].status",
                lambda now: now["phases"][1]["steps"][0]["expectations"][0].update(status="failed"),
            ),
            ("stories[0].scenes[1].observed", lambda now: now["stories"][0]["scenes"][1].update(observed="silence")),
            ("correction.nodes", lambda now: now["correction"].update(nodes=now["correction"]["nodes"][1:])),
            ("stories[0].scenes[1].lost", lambda now: now["stories"][0]["scenes"][1].update(lost=None)),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_may_not_is_found_and_named(self, path: str, change: Any) -> None:
        now = values()
        change(now)
        assert [one.path for one in differences(values(), now)] == [path]


class TestMarkdown:
    def test_it_has_verdict_story_cause_and_correction(self) -> None:
        text = summary_md(report()[0], charts(report()[1]))
        assert "```mermaid\nflowchart LR" in text
        assert text.startswith("## ✅ Submariner takes a node's /24")
        assert "From 10.128.11.126 icmp\\_seq=1 Destination Host Unreachable" in text
        assert "`two-clusters.yaml:87`" in text
        assert "ip route replace 10.42.0.0/16 via 240.18.1.2" in text

    def test_hostile_text_opens_nothing(self) -> None:
        shown = rendered(summary_md(full_of(HOSTILE), {"story-1": f"flowchart LR\n{HOSTILE}"}))
        assert {element.tag.partition("}")[2] for element in shown.iter()} <= set(TAGS.split())
        assert [element.attrib for element in shown.iter() if "href" in element.attrib or "src" in element.attrib] == []
        assert len({len(list(row)) for table in shown.iter(f"{HTML}table") for row in table.iter(f"{HTML}tr")}) <= 3
        assert "</script>|`` ```mermaid" in "".join(shown.itertext())

    @pytest.mark.parametrize(
        ("text", "shown"), [("a", "`a`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("a|b", "`a\\|b`"), ("a\nb", "`a b`")]
    )
    def test_code_is_fenced_by_more_than_it_holds(self, text: str, shown: str) -> None:
        assert code(text) == shown

    def test_so_is_a_block(self) -> None:
        assert block("```\n````") == "`````\n```\n````\n`````\n"

    def test_a_line_cannot_begin_anything(self) -> None:
        assert [escaped(text)[0] for text in ("# a", "- a", "> a", "| a", "* a")] == ["\\"] * 5

    def test_it_fits_into_the_summary_of_a_job(self) -> None:
        made = report()[0]
        many = tuple(made.stories[0].model_copy(update={"id": f"story-{n}"}) for n in range(3000))
        text = summary_md(made.model_copy(update={"stories": many}), {})
        assert len(text.encode()) <= LARGEST
        assert text.endswith("*The rest did not fit here; report.html has it.*\n")


def test_junit_of_the_run_is_what_its_readers_expect() -> None:
    assert list(mistakes(fromstring(junit_xml([told()[0]]).split("\n", 1)[1]))) == []


def test_runs_of_the_same_name_are_told_apart_by_their_files() -> None:
    one = told()[0]
    again = replace(one, file="other.yaml")
    names = [suite.get("name") for suite in fromstring(junit_xml([one, again]).split("\n", 1)[1])]
    assert len(set(names)) == len(names) == 8
    assert "calico-24-mismatch (other.yaml).broken" in names
    assert names_of([one, replace(again, scenario="other")]) == ["calico-24-mismatch", "other"]


class TestBundle:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "run.zip"
        path.write_bytes(self._bytes())
        return path

    def _bytes(self) -> bytes:
        return bundle_of(report()[0], Sources.of(*open_scenario("calico-24-mismatch")), None, bpf=True)

    def test_it_opens_without_the_files_it_was_made_from(self, file: Path) -> None:
        bundle = read_bundle(file)
        with unpacked(bundle) as (scenario, topology):
            assert (bundle.scenario, scenario.model.scenario) == ("calico-24-mismatch.yaml", "calico-24-mismatch")
            assert "cluster-1" in topology.model.clusters
            assert Path(topology.document.file).read_bytes() == bundle.files["two-clusters.yaml"]
        assert differences(bundle.report, values()) == ()

    def test_the_same_run_is_the_same_bytes(self) -> None:
        assert self._bytes() == self._bytes()

    @pytest.mark.parametrize("content", [b"", b"PK", b"{}", None], ids=["empty", "cut", "JSON", "not there"])
    def test_what_is_no_bundle_is_refused_with_what_to_do(self, content: bytes | None, tmp_path: Path) -> None:
        file = tmp_path / "no.zip"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InputError) as error:
            read_bundle(file)
        assert "is no run bundle" in str(error.value) or "cannot be read" in str(error.value)

    @pytest.mark.parametrize("name", ["../outside.yaml", "/etc/outside.yaml", ".."])
    def test_one_that_leads_elsewhere_writes_nothing(self, name: str, file: Path, tmp_path: Path) -> None:
        bent = tmp_path / "bent.zip"
        with zipfile.ZipFile(file) as good, zipfile.ZipFile(bent, "w") as bad:
            about = json.loads(good.read("run.json")) | {"topology": name}
            bad.writestr("run.json", json.dumps(about))
            for member in ("report.json", "files/calico-24-mismatch.yaml"):
                bad.writestr(member, good.read(member))
            bad.writestr(f"files/{name}", "topology: x")
        with pytest.raises(InputError), unpacked(read_bundle(bent)):
            raise AssertionError("it opened")

    def test_one_that_swells_is_refused(self, file: Path, tmp_path: Path) -> None:
        bomb = tmp_path / "bomb.zip"
        with zipfile.ZipFile(file) as good, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as bad:
            for member in ("run.json", "report.json", "files/calico-24-mismatch.yaml"):
                bad.writestr(member, good.read(member))
            bad.writestr("files/two-clusters.yaml", b" " * (64 << 20))
        with pytest.raises(InputError, match="is no run bundle"):
            read_bundle(bomb)


class TestFolder:
    def test_a_new_one_is_made_and_an_empty_one_taken(self, tmp_path: Path) -> None:
        check_folder(tmp_path / "a" / "b")
        check_folder(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()

    def test_one_that_holds_something_else_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(InputError, match="is not empty, and holds no report"):
            check_folder(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        with pytest.raises(InputError, match="is not a folder"):
            check_folder(tmp_path / "out")

    def test_an_earlier_report_is_replaced_with_all_it_left(self, tmp_path: Path) -> None:
        write_files(tmp_path, {"report.json": report()[0].model_dump_json(indent=1), "run.pcapng": b"old"})
        (tmp_path / "notes.txt").write_text("mine")
        check_folder(tmp_path)
        write_files(tmp_path, {"report.json": report()[0].model_dump_json(indent=1)})
        assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "report.json"]

    def test_runs_of_one_name_have_folders_of_their_own(self) -> None:
        assert folder_names(["a", "b", "a", "a-2", "a"]) == ["a", "b", "a-2", "a-2-2", "a-3"]
