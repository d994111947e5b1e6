"""What is installed: the wheel, the pinned versions, and the floors that hold the code apart."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("routelab-*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.parametrize("folder", ["topologies", "scenarios", "docs/lessons"])
def test_the_wheel_carries_every_shipped_file(wheel: zipfile.ZipFile, folder: str) -> None:
    here = {f"lab/_shipped/{path.relative_to(ROOT)}".replace("docs/", "") for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert here
    assert here <= set(wheel.namelist())


def test_the_wheel_carries_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"lab"}
    assert "lab/py.typed" in wheel.namelist()


def test_the_command_is_called_lab(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "lab = lab.cli:main" in wheel.read(entry_points).decode()


def test_an_installed_lab_finds_its_files_from_any_folder(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    wheel.extractall(site)
    code = """
import sys
from lab.cli import main
from lab.spec.shipped import folder
print(folder("scenarios"))
sys.argv = ["lab", "check", "calico-24-mismatch"]
main()
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | {"PYTHONPATH": str(site)}
    answer = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[0] == str(site / "lab" / "_shipped" / "scenarios")


def _pinned(lock: Path) -> dict[str, list[str]]:
    """The versions a lock file names, by package; two where Python versions need different ones."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_every_dependency_inside_its_range(lock: Path) -> None:
    pinned = _pinned(lock)
    for text in PYPROJECT["project"]["dependencies"]:
        requirement = Requirement(text)
        versions = pinned[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version, prereleases=True) for version in versions), text


def test_tests_run_on_the_versions_that_users_get() -> None:
    users, tests = (_pinned(ROOT / "requirements" / name) for name in ("run.lock", "test.lock"))
    assert {name: tests[name] for name in users} == users


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_has_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    requirements = re.split(r"\n(?=[A-Za-z0-9])", text.split("\n", 2)[2])
    assert all("--hash=sha256:" in requirement for requirement in requirements)


def test_every_room_has_its_floor() -> None:
    (floors,) = (c for c in PYPROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    listed = set(re.findall(r"\w+", " ".join(floors["layers"]))) | set(floors["exhaustive_ignores"])
    rooms = {path.stem for path in (ROOT / "lab").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} <= listed


def test_the_code_imports_only_what_is_declared() -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in PYPROJECT["project"]["dependencies"]}
    declared |= {canonicalize_name(Requirement(text).name) for text in PYPROJECT["project"]["optional-dependencies"]["mininet"]}
    sources = packages_distributions()
    imported = {
        name.split(".")[0]
        for path in (ROOT / "lab").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported_by(node)
    }
    foreign = imported - set(sys.stdlib_module_names) - {"lab", "pydantic_core"}  # pydantic names its exact version
    undeclared = {name for name in foreign if not declared & {canonicalize_name(source) for source in sources.get(name, [name])}}
    assert undeclared <= {"pytest"}, "the pytest plug-in is loaded by pytest alone"


def _imported_by(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case _:
            return []
