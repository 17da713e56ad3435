"""What the files at the root promise each other."""

import json
import os
import re
import subprocess
import tomllib
import zipfile
from copy import deepcopy
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import nbformat
import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder
from jupyter_cache import get_cache
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from pybtex.database import parse_file

import dbn_lite

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
EXECUTED = ROOT / "_build" / ".jupyter_cache"  # emptied by book/prepare.py when library, data or pins have changed
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())

SHIPPED = {"registry.json", "dreamed-digits.npz", "results", "trained"}  # without results no recorded row is printed
LOCKED = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] != "#"]
PINS = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LOCKED)}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("extra", ["", "book", "test"])
def test_lock_satisfies_pyproject(extra: str) -> None:
    asked = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)]), str(requirement)


def test_lock_pins_each_package_once_and_exactly() -> None:
    assert len(LOCKED) > 100
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", line) for line in LOCKED)
    assert len(PINS) == len(LOCKED)


def test_lock_is_closed_for_what_is_installed() -> None:
    """No package that the lock pulls in is left unpinned."""
    for name in PINS:
        try:
            needed = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed: this environment is not the one of the lock")
        for requirement in needed:
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in PINS, f"{name} needs {requirement}"


def test_conda_has_what_the_package_and_its_notebooks_need() -> None:
    """Within the same bounds, from conda itself: pip adds the checkout and nothing else."""
    conda = {r.name: r for r in (Requirement(e) for e in ENVIRONMENT["dependencies"] if isinstance(e, str))}
    pip = next(entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict))
    assert "--no-deps" in pip
    assert pip[-1] == "-e ."
    extras = PROJECT["optional-dependencies"]
    shown = {"ipykernel", "ipywidgets", "anywidget", "jupyterlab"}
    asked = [r for line in (*extras["book"], *extras["lab"]) if (r := Requirement(line)).name in shown]
    for requirement in [*map(Requirement, PROJECT["dependencies"]), *asked]:
        assert conda[requirement.name].specifier == requirement.specifier


def test_pythons_are_the_same_everywhere() -> None:
    """The book's, in Makefile and environment.yml, are among the library's, which CI tests and pyproject.toml lists."""
    window = re.search(r"\(3, (\d+)\) <= sys.version_info\[:2\] <= \(3, (\d+)\)", (ROOT / "Makefile").read_text())
    assert window
    low, high = map(int, window.groups())
    conda = {r.name: r for r in (Requirement(e) for e in ENVIRONMENT["dependencies"] if isinstance(e, str))}
    assert conda["python"].specifier == SpecifierSet(f">=3.{low},<3.{high + 1}")
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    tested = jobs["library"]["strategy"]["matrix"]["python"]
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={tested[0]}")
    assert {f"3.{minor}" for minor in range(low, high + 1)} <= set(tested)
    listed = [found[1] for line in PROJECT["classifiers"] if (found := re.search(r"Python :: (3\.\d+)$", line))]
    assert listed == tested


def test_wheel_carries_the_library_and_what_ships_but_no_download(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    files = [path.relative_to(ROOT) for path in tracked()]
    shipped = [f for f in files if f.parts[0] == "data" and f.parts[1] in SHIPPED]
    assert shipped
    assert {f"dbn_lite/_{f}" for f in shipped} | {str(f) for f in files if f.parts[0] == "dbn_lite"} <= set(names)
    assert not [name for name in names if "cache" in name or name.endswith(".pyc")]


def test_readme_commands_are_targets_of_the_makefile() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^(\w+):", makefile, flags=re.MULTILINE))
    commands = re.findall(r"^make (\w+)", readme, flags=re.MULTILINE)
    assert commands == ["book", "test"]
    assert set(re.findall(r"`make (\w+)`", readme)) | set(commands) <= targets


def test_readme_lists_the_extras_there_are() -> None:
    listed = (ROOT / "README.md").read_text().split("the extras ")[1].split(".")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == PROJECT["optional-dependencies"].keys()


def test_citation_has_the_required_fields() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()
    assert CITATION["version"] == PROJECT["version"] == dbn_lite.__version__


def test_citation_cites_the_paper_as_the_bibliography_does() -> None:
    (paper,) = CITATION["references"]
    entry = parse_file(str(ROOT / "book" / "references.bib")).entries["hinton2006fast"]
    assert paper["doi"] == entry.fields["doi"]
    assert f"{paper['start']}--{paper['end']}" == entry.fields["pages"]
    assert paper["year"] == int(entry.fields["year"])
    assert paper["title"] == entry.fields["title"]
    assert [a["family-names"] for a in paper["authors"]] == [p.last_names[0] for p in entry.persons["author"]]


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = re.findall(r"'(?:file|root)': '([^']+)'", str(contents))
    pages = [f"book/{p.stem}" for p in (ROOT / "book").iterdir() if p.suffix in {".md", ".rst", ".ipynb"}]
    assert sorted(listed) == sorted(pages)


def test_no_tracked_file_names_a_path_of_a_machine() -> None:
    machine = re.compile(r"(?<![\w.:/~])/(?:home|root|Users|tmp|opt|work)/\w")
    for path in tracked():
        if path.suffix not in {".npz", ".png"}:
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not machine.search(text), path.relative_to(ROOT)


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_is_valid_and_asks_for_any_python_3(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"

    def test_checked_cells_have_an_output_that_nbval_compares(self, path: Path) -> None:
        """nbval never compares a cell without an execution count, whatever its tags."""
        cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        checked = [c for c in cells if "nbval-check-output" in c.metadata.get("tags", [])]
        assert checked
        for cell in checked:
            assert cell.execution_count, cell.source
            assert printed(cell), cell.source

    @pytest.mark.skipif(not EXECUTED.exists() and not os.environ.get("CI"), reason="run make book first: none was run")
    def test_the_build_printed_what_the_file_says(self, path: Path) -> None:
        """`make test` has run each for the book, with the library, data and pins in force; its file says the same."""
        notebook = nbformat.read(path, as_version=4)
        _, executed = get_cache(EXECUTED).merge_match_into_notebook(deepcopy(notebook))  # KeyError: make book is due
        for told, said in zip(notebook.cells, executed.cells, strict=True):
            if "nbval-check-output" in told.metadata.get("tags", []):
                assert printed(said) == printed(told), told.source

    def test_cells_stay_thin(self, path: Path) -> None:
        cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        assert max(len(c.source.splitlines()) for c in cells) <= 25

    def test_stored_outputs_are_small(self, path: Path) -> None:
        assert len(json.dumps(nbformat.read(path, as_version=4))) < 1_000_000
