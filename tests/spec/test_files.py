"""What a person may name as a file, and what may be in it: a positioned message, never a wait, never a traceback."""

from __future__ import annotations

import os
import socket
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import InputError, Place
from lab.spec import open_file, open_scenario, open_scenarios, open_topology
from lab.spec.yaml import MAX_BYTES, MAX_VALUES, read_yaml

SMALL = (Path(__file__).parent / "golden" / "small.yaml").read_bytes()
unix = pytest.mark.skipif(sys.platform == "win32", reason="needs the files of Unix")


def refused(file: Path | str) -> InputError:
    with pytest.raises(InputError) as caught:
        open_file(str(file))
    return caught.value


def refused_text(text: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        read_yaml(text, "f.yaml")
    return caught.value


class TestWhatIsNoFile:
    def test_nothing_of_that_name(self, tmp_path: Path) -> None:
        assert refused(tmp_path / "none.yaml").message.startswith("there is no file")

    def test_the_nearest_shipped_name_is_offered(self) -> None:
        assert refused("two-cluster").hint == "did you mean 'two-clusters'?"

    def test_a_forgotten_ending_is_offered(self, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_bytes(SMALL)
        assert refused(tmp_path / "mine").hint == f"did you mean {str(tmp_path / 'mine.yaml')!r}?"

    def test_a_folder(self, tmp_path: Path) -> None:
        assert refused(tmp_path).message.endswith("is a folder, not a file")

    @unix
    def test_a_pipe_without_a_writer(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert refused(tmp_path / "pipe").message.endswith("is a pipe, not a file")

    @unix
    def test_a_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
            assert refused("socket").message == "'socket' is a socket, not a file"

    @unix
    @pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
    def test_a_device(self, device: str) -> None:
        assert refused(device).message == f"{device!r} is a device, not a file"

    @unix
    def test_a_loop_of_links(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        assert "cannot be reached" in refused(tmp_path / "loop").message

    @unix
    def test_a_link_to_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "dangling").symlink_to("nothing")
        assert "there is no file" in refused(tmp_path / "dangling").message

    @unix
    @pytest.mark.skipif(sys.platform != "win32" and os.geteuid() == 0, reason="root may read everything")
    def test_a_file_of_somebody_else(self, tmp_path: Path) -> None:
        (tmp_path / "secret.yaml").write_bytes(SMALL)
        (tmp_path / "secret.yaml").chmod(0)
        assert refused(tmp_path / "secret.yaml").message.endswith("cannot be read: Permission denied")

    @pytest.mark.parametrize("name", ["", "\0", "a\0b", "x" * 5000, "a/" * 3000, "\udce9.yaml", "\x1b[2J"])
    def test_a_hostile_name(self, name: str) -> None:
        said = str(refused(name))
        assert len(said) < 400
        assert said.isascii()

    def test_the_topology_of_a_scenario_that_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "s.yaml").write_text('scenario: s\ntopology: "../x/\\0"\nphases: {one: {}}\n')
        assert refused(tmp_path / "s.yaml").place == Place(str(tmp_path / "s.yaml"), 2, 11)
        (tmp_path / "s.yaml").write_text("scenario: s\ntopology: .\nphases: {one: {}}\n")
        assert refused(tmp_path / "s.yaml").place == Place(str(tmp_path / "s.yaml"), 2, 11)


class TestNames:
    def test_a_file_of_one_s_own_comes_before_a_shipped_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert open_topology("two-clusters").model.topology == "two-clusters"
        Path("two-clusters").write_bytes(SMALL)
        assert open_topology("two-clusters").model.topology == "small"

    def test_a_folder_of_that_name_hides_no_shipped_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("two-clusters").mkdir()
        assert open_topology("two-clusters").model.topology == "two-clusters"

    def test_a_topology_where_a_scenario_is_needed(self) -> None:
        with pytest.raises(InputError, match="this is a topology file, and a scenario file is needed here"):
            open_scenario(str(Path(__file__).parent / "golden" / "small.yaml"))

    def test_a_variant_is_named_behind_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "small.yaml").write_bytes(SMALL)
        file = tmp_path / "v.yaml"
        file.write_text(
            "scenario: v\ntopology: small.yaml\nvariants: {a: {title: A, phases: {one: {}}}, b: {title: B, phases: {one: {}}}}\n"
        )
        assert list(open_scenarios(str(file))) == ["a", "b"]
        assert open_scenario(f"{file}#b")[0].model.scenario == "v-b"
        assert refused(f"{file}#c").message.endswith("has no variant 'c'")
        with pytest.raises(InputError, match="has variants, and one has to be named"):
            open_scenario(str(file))

    def test_a_file_may_have_a_hash_in_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "a#b.yaml").write_bytes(SMALL)
        open_topology(str(tmp_path / "a#b.yaml"))
        open_file(str(tmp_path / "a#b.yaml"))


class TestBytes:
    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace(b"\n", b"\r\n"),
            lambda text: b"\xef\xbb\xbf" + text,
            lambda text: b"%YAML 1.2\n---\n" + text + b"...\n",
            lambda text: text.rstrip(b"\n"),
        ],
        ids=["line ends of Windows", "byte order mark", "document markers", "no last line end"],
    )
    def test_a_file_is_the_same_as(self, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
        (tmp_path / "plain.yaml").write_bytes(SMALL)
        (tmp_path / "changed.yaml").write_bytes(change(SMALL))
        assert open_topology(str(tmp_path / "changed.yaml")).model == open_topology(str(tmp_path / "plain.yaml")).model

    def test_places_are_the_same_with_the_line_ends_of_windows(self) -> None:
        assert refused_text(b"a: 1\r\nb: {c: 2}\r\nb: 3\r\n").place == Place("f.yaml", 3, 1)

    def test_other_encodings(self) -> None:
        error = refused_text("title: é".encode("latin-1"))
        assert (error.message, error.place) == ("the file is not UTF-8 text", Place("f.yaml", 1, 8))
        assert refused_text("é: 1\né: ".encode() + b"\xff").place == Place("f.yaml", 2, 4)
        assert refused_text("a: 1".encode("utf-16")).place == Place("f.yaml", 1, 1)

    def test_columns_count_characters(self) -> None:
        assert refused_text("é: ['ü', 'ö' x]".encode()).place == Place("f.yaml", 1, 14)
        assert read_yaml("🦭: {🦭: a}".encode(), "f.yaml").place("🦭", "🦭") == Place("f.yaml", 1, 8)

    @pytest.mark.parametrize(
        "character", ["\0", "\a", "\x1b", "\x7f", "\x85", "\x9b", "\r", "\u202e", "\u2066", "\u2028", "\ufeff", "\uffff"]
    )
    def test_what_could_drive_a_terminal_is_refused_raw_and_escaped(self, character: str) -> None:
        for text in (f"a: x{character}y", f'a: "x\\u{ord(character):04x}y"', f'"x\\u{ord(character):04x}y": a'):
            error = refused_text(text.encode())
            assert f"U+{ord(character):04X}" in error.message
            assert error.place is not None

    @pytest.mark.parametrize("text", ["naïve", "10\u00a0s", "नमस्ते", "👩\u200d💻", "a\tb", "co\u00adop"])
    def test_the_writing_of_people_is_not(self, text: str) -> None:
        assert read_yaml(f'a: "{text}"'.encode(), "f.yaml").root.plain() == {"a": text}

    def test_no_message_says_anything_unprintable(self) -> None:
        for number in range(0x3000):
            if unicodedata.category(chr(number)) in ("Cc", "Zl", "Zp") and chr(number) not in "\t\n":
                assert str(InputError(chr(number), place=Place(chr(number)), hint=chr(number))).replace("\n", "").isprintable()


class TestBounds:
    def test_a_large_file(self) -> None:
        assert refused_text(b"a" * (MAX_BYTES + 1)).message == f"the file is too large: at most {MAX_BYTES} bytes are read"

    def test_of_a_larger_one_no_more_than_that_is_read(self, tmp_path: Path) -> None:
        with (tmp_path / "sparse.yaml").open("wb") as file:
            file.truncate(1 << 40)
        assert "too large" in refused(tmp_path / "sparse.yaml").message

    @pytest.mark.parametrize(
        "text",
        [
            b"- a\n" * (MAX_BYTES // 4),
            b"[" * MAX_BYTES,
            b"{" * MAX_BYTES,
            b"- " * (MAX_BYTES // 2),
            b"? " * (MAX_BYTES // 2),
            b"a: " * (MAX_BYTES // 3),
            b"&a " * (MAX_BYTES // 3),
            b"'" * MAX_BYTES,
            b'"' + b"\\n" * (MAX_BYTES // 2 - 1),
            b"#" * MAX_BYTES,
            b"\n" * MAX_BYTES,
            b" " * MAX_BYTES,
            b"!" * MAX_BYTES,
            b"*a " * (MAX_BYTES // 3),
            b"x" * MAX_BYTES,
            b"%" * MAX_BYTES,
            b"---\n" * (MAX_BYTES // 4),
        ],
        ids=lambda text: repr(text[:4]),
    )
    def test_a_large_file_of_one_thing_is_refused_at_once(self, text: bytes, tmp_path: Path) -> None:
        (tmp_path / "f.yaml").write_bytes(text)
        assert refused(tmp_path / "f.yaml").place is not None

    def test_many_values(self) -> None:
        text = b"a: [" + b"1," * MAX_VALUES + b"]"
        assert refused_text(text).message == f"the file holds more than {MAX_VALUES} values"

    def test_many_mistakes_are_not_all_explained(self, tmp_path: Path) -> None:
        (tmp_path / "f.yaml").write_text("topology: f\n" + "".join(f"key-{number}: 1\n" for number in range(20_000)))
        said = str(refused(tmp_path / "f.yaml"))
        assert "and 19951 more mistakes" in said
        assert len(said.splitlines()) < 150

    def test_many_segments_are_compared_without_comparing_each_with_each(self, tmp_path: Path) -> None:
        segments = "".join(f"  s-{n}: {{cidr: 10.{n >> 8}.{n & 255}.0/24}}\n" for n in range(8_000))
        (tmp_path / "f.yaml").write_text(SMALL.decode().replace("segments:\n", f"segments:\n{segments}"))
        assert len(open_topology(str(tmp_path / "f.yaml")).model.segments) == 8_002


def test_a_shipped_file_is_named_by_its_path_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    assert [loaded.document.file for loaded in open_scenario("calico-24-mismatch")] == [
        "scenarios/calico-24-mismatch.yaml",
        "topologies/two-clusters.yaml",
    ]
    monkeypatch.chdir(tmp_path)
    assert open_scenario("calico-24-mismatch")[0].document.file == str(root / "scenarios" / "calico-24-mismatch.yaml")
