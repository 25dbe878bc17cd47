"""The repository itself: what its files promise one another, and the way the imports point."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from labkit.data.reviews import CORPORA, load_corpus

ROOT = Path(__file__).resolve().parent.parent
# The rooms of labkit: what all stand on, the way of a review, the classroom, this course, the program.
GROUND = ["errors", "importing", "files", "display", "pictures", "student_work"]
WAY = ["data", "models", "evaluation", "training", "explanation", "experiments", "serving", "figures", "report"]
CLASSROOM = ["checks", "grading", "course", "widgets"]  # knows no subject
ROOMS = [*GROUND, *WAY, *CLASSROOM, "lessons", "doctor", "cli", "__main__"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("==")) for pin in pinned}


def direct_requirements() -> list[Requirement]:
    return [
        Requirement(line) for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    ]


def repository_files() -> list[Path]:
    """Every file that is committed or would be, or, where this is no checkout, every file that is no tool's."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        ours = (
            path for path in ROOT.rglob("*") if not re.search(r"/(\.venv|runs|build|\..*cache|__pycache__)/", str(path))
        )
        files = list(ours)
    return [path for path in files if path.is_file()]


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def make(*arguments: str, **environment: str) -> str:
    """What make would run."""
    of_a_make_around = {"TORCH", "ARGS", "PYTHON", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}  # `make test` itself
    plain = {name: value for name, value in os.environ.items() if name not in of_a_make_around}
    shown = subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, env=plain | environment, capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


# Versions


@pytest.mark.parametrize("requirement", direct_requirements(), ids=str)
def test_every_direct_dependency_is_pinned_and_the_pin_keeps_its_bound(requirement: Requirement) -> None:
    pin = pins().get(canonicalize_name(requirement.name))
    assert pin is not None, f"constraints.txt does not pin {requirement.name}"
    assert pin in requirement.specifier, (
        f"constraints.txt pins {requirement.name}=={pin}, pyproject.toml wants {requirement}"
    )


@pytest.mark.parametrize("requirement", direct_requirements(), ids=str)
def test_every_lower_bound_is_of_the_series_that_the_tests_run_with(requirement: Requirement) -> None:
    (bound,) = requirement.specifier
    assert bound.operator == ">="
    pin = pins()[canonicalize_name(requirement.name)]
    if requirement.name != "setuptools":  # its bound is what the licence field of pyproject.toml needs
        assert Version(bound.version).release[:2] == pin.release[:2], f"{requirement.name}: tested with {pin}"


def test_constraints_are_plain_pins_that_any_index_can_serve() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    odd = [line for line in lines if line and not line.startswith("#") and not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert not odd, "a pin has no local tag, path, marker or address"
    assert len(pins()) == sum(not line.startswith("#") for line in lines if line), "a package is pinned twice"


def test_conda_takes_the_same_python_and_the_same_package_under_the_same_constraints() -> None:
    assert CONDA[0] == "python" + PROJECT["requires-python"]
    (from_pip,) = (entry["pip"] for entry in CONDA if isinstance(entry, dict))
    assert from_pip == ["-c constraints.txt", "-e .[lab]"]


def test_set_up_wants_the_python_that_the_package_wants() -> None:
    assert PROJECT["requires-python"] == ">=" + ".".join(map(str, setup_script().OLDEST_PYTHON))


def test_a_student_gets_neither_nbgrader_nor_the_sagemaker_sdk() -> None:
    students = [Requirement(line).name for line in [*PROJECT["dependencies"], *EXTRAS["lab"]]]
    assert not [name for name in students if name.startswith(("nbgrader", "sagemaker", "boto"))]
    assert "nbgrader" in {Requirement(line).name for line in EXTRAS["instructor"]}


def test_the_package_and_its_metadata_have_one_version() -> None:
    import labkit

    assert labkit.__version__ == PROJECT["version"]


# The way of the imports


def modules() -> dict[str, Path]:
    """Every module of labkit by its dotted name below it, `labkit/__init__.py` left out: it imports by name, on demand."""
    package = ROOT / "labkit"
    paths = {".".join(path.relative_to(package).with_suffix("").parts): path for path in package.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in paths.items() if name != "__init__"}


def imports_of(source: str, name: str) -> Iterator[str]:
    """The modules of labkit that this source names in its imports, wherever they stand, as dotted names below labkit."""
    package = ["labkit", *name.split(".")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name[7:] for alias in node.names if alias.name.startswith("labkit."))
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: len(package) + 1 - node.level], *filter(None, [node.module])])
            base = base if node.level else node.module or ""
            if base == "labkit":
                yield from (alias.name for alias in node.names if alias.name != "__version__")
            elif base.startswith("labkit."):
                yield base[7:]


def room(name: str) -> str:
    """The room of a module; each room of the ground and of the program is one file."""
    return name.split(".")[0]


def imported_rooms(name: str) -> set[str]:
    """The rooms, besides its own, that a module imports from."""
    return {room(target) for target in imports_of(modules()[name].read_text("utf-8"), name)} - {room(name)}


@pytest.mark.parametrize("name", modules())
def test_every_module_stands_in_a_room(name: str) -> None:
    assert room(name) in ROOMS, f"labkit/{name}.py stands in no room of {Path(__file__).name}"


@pytest.mark.parametrize("name", modules())
def test_nothing_imports_upwards(name: str) -> None:
    upwards = sorted(imported_rooms(name) - set(ROOMS[: ROOMS.index(room(name))]))
    assert not upwards, f"labkit/{name}.py imports from {', '.join(upwards)}, which is no room above it"


SUBJECT = ("widgets.explorers",)  # the one folder of the classroom that knows the subject


@pytest.mark.parametrize("name", [name for name in modules() if room(name) in CLASSROOM])
def test_the_classroom_knows_no_subject(name: str) -> None:
    known = set() if name.startswith(SUBJECT) else imported_rooms(name) - {*GROUND, *CLASSROOM}
    assert not known, f"labkit/{name}.py imports from {', '.join(sorted(known))}: the classroom serves any course"


@pytest.mark.parametrize(
    "name", [name for name in modules() if room(name) in CLASSROOM and not name.startswith(SUBJECT)]
)
def test_the_classroom_names_no_course_but_as_the_default(name: str) -> None:
    """In what it computes with; a docstring may give an example."""
    tree = ast.parse(modules()[name].read_text("utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    said = [
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    named = [text for text in texts if text not in said and re.search(r"BERT|\breviews?\b|labkit\.lessons", text)]
    assert named == (["labkit.lessons"] if name == "checks.courses" else [])


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("lessons.observers")])
def test_what_runs_beside_a_students_code_imports_checks_and_the_ground_alone(name: str) -> None:
    targets = imports_of(modules()[name].read_text("utf-8"), name)
    beyond = {target for target in targets if room(target) not in ("checks", *GROUND)} - {"lessons.observers"}
    beyond = {target for target in beyond if not target.startswith("lessons.observers.")}
    assert not beyond, f"labkit/{name}.py imports {', '.join(sorted(beyond))}"


@pytest.mark.parametrize("name", [name for name in modules() if room(name) == "evaluation"])
def test_evaluation_needs_no_torch(name: str) -> None:
    names = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(ast.parse(modules()[name].read_text("utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert not {one for one in names if one.split(".")[0] in ("torch", "transformers", "tokenizers")}


def test_a_room_can_be_looked_over() -> None:
    folders = [path for path in (ROOT / "labkit").rglob("*") if path.is_dir() and path.name != "__pycache__"]
    sizes = {path.relative_to(ROOT).as_posix(): len(list(path.glob("*.py"))) for path in folders}
    assert max(sizes.values()) <= 16, sizes
    assert sum(path.is_file() for path in (ROOT / "labkit").iterdir()) <= 12


@pytest.mark.parametrize(
    ("source", "name", "found"),
    [
        ("import labkit.cli", "errors", ["cli"]),
        ("from labkit import cli, __version__", "errors", ["cli"]),
        ("from labkit.checks.lesson import check", "errors", ["checks.lesson"]),
        ("def f():\n    from . import cli", "errors", ["cli"]),
        ("from .cli import main", "errors", ["cli"]),
        ("from ..cli import main", "checks.lesson", ["cli"]),
        ("from labkit import Config", "errors", ["Config"]),
        ("import labkitten, labkit\nfrom torch import nn", "errors", []),
    ],
)
def test_no_way_to_write_an_import_escapes_these_laws(source: str, name: str, found: list[str]) -> None:
    assert list(imports_of(source, name)) == found


# What is built and what is committed


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the wheel that a copy of the repository's files gives, built without a network."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for path in repository_files():
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for room in ("solutions", "tests", "notebooks"):  # whatever stands there, now or later
        (copy / room).mkdir(exist_ok=True)
        (copy / room / "__init__.py").touch()
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(built)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True, timeout=120)
    with zipfile.ZipFile(next(built.iterdir())) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_labkit_and_nothing_else(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel} == {"labkit", f"labkit-{PROJECT['version']}.dist-info"}


def test_the_wheel_holds_every_file_of_labkit(wheel: set[str]) -> None:
    ours = {path.relative_to(ROOT).as_posix() for path in repository_files() if path.is_relative_to(ROOT / "labkit")}
    assert {name for name in wheel if name.startswith("labkit/")} == ours


def test_the_wheel_carries_its_licence_and_its_types(wheel: set[str]) -> None:
    assert "labkit/py.typed" in wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


# What the repository says of itself


README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_names_the_rooms_in_their_order() -> None:
    (sentence,) = re.findall(r"A review travels through the rooms of `labkit/`(.*?)\.\s", README, re.DOTALL)
    named = re.findall(r"`(\w+)`", sentence)
    assert named == [name for name in ROOMS if (ROOT / "labkit" / name).is_dir()]
    folders = {path.name for path in (ROOT / "labkit").iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(named), "every room is named, and every room named is there"


@pytest.mark.parametrize("page", ["README.md", "notebooks/README.md"])
def test_the_tables_of_lessons_are_what_the_masters_say(page: str) -> None:
    row = r"^\| (\d\d) \| \[(.+?)\]\((.+?)\).*\| (\d+) \| (\d+) \|$"
    rows = re.findall(row, (ROOT / page).read_text("utf-8"), re.MULTILINE)
    heads = {path.name[:2]: path.read_text("utf-8") for path in sorted((ROOT / "solutions").glob("*.py"))}
    said = {number: dict(re.findall(r"^# (\w+): (.*)$", head, re.MULTILINE)) for number, head in heads.items()}
    whole = {number: int(facts["minutes"]) + int(facts.get("further", 0)) for number, facts in said.items()}
    wanted = [(number, facts["title"], facts["minutes"], str(whole[number])) for number, facts in said.items()]
    assert [row[:2] + row[3:] for row in rows] == wanted
    assert all(((ROOT / page).parent / row[2]).is_file() for row in rows)


@pytest.mark.usefixtures("users_cache")
def test_the_readme_says_how_many_people_rated_each_text() -> None:
    counts = {name: {len(ratings) for ratings in load_corpus(name).rater_ratings} for name in CORPORA}
    spans = {f"{min(each)} to {max(each)}" if len(each) > 1 else str(*each) for each in counts.values()}
    said = " ".join(re.findall(r"each movie review was.*?\.\s", README, re.DOTALL)[0].split())
    assert set(re.findall(r"\d+(?: to \d+)?", said)) == spans


@needs_make
def test_the_line_for_windows_runs_what_make_test_runs() -> None:
    (line,) = [line for line in README.splitlines() if "test instructor &&" in line]
    steps = [step.replace(".venv\\Scripts\\python", "PYTHON").replace("\\", "/") for step in line.split(" && ")]
    made = make("test").splitlines()
    assert [step.replace("PYTHON", ".venv/bin/python") for step in steps[1:]] == [made[1].strip()]
    assert steps[0].split()[1:] == made[0].split()[1:]


def test_nothing_says_to_install_from_an_index_what_is_not_there() -> None:
    said = "pip install " + "labkit"  # the package is on no index: labkit.errors.missing_extra has both ways
    assert not [path for path in repository_files() if said.encode() in path.read_bytes()]


def test_the_citation_names_the_version_and_the_licence_of_the_package() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (cited["version"], cited["license"]) == (PROJECT["version"], PROJECT["license"])
    assert cited["cff-version"] == "1.2.0" and cited["title"] and cited["message"] and cited["authors"]
    source = "".join(path.read_text("utf-8") for path in modules().values())  # which cites them in reports too
    assert {each["doi"] for each in cited["references"]} <= set(re.findall(r"https://doi\.org/([^\s\"']+)", source))


def attributes(name: str) -> dict[str, str]:
    """What git holds of the line ends of a file, which need not exist."""
    asked = ["git", "check-attr", "text", "eol", "--", name]
    answer = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    if answer.returncode != 0:
        pytest.skip("this is no checkout")
    return {row.split(": ")[1]: row.split(": ")[2] for row in answer.stdout.splitlines()}


def test_every_file_keeps_its_bytes_whatever_system_it_is_checked_out_on() -> None:
    kinds = {path.suffix: path for path in repository_files()}
    assert {".ipynb", ".py", ".md", ".toml", ".png", ".safetensors"} <= set(kinds)
    for path in kinds.values():
        binary = b"\0" in path.read_bytes()
        found = attributes(path.relative_to(ROOT).as_posix())
        assert found["text"] == "unset" if binary else found["eol"] == "lf", f".gitattributes and {path.name}"


def test_the_suffixes_whose_bytes_are_compared_are_named_in_gitattributes() -> None:
    lines = (ROOT / ".gitattributes").read_text("utf-8").splitlines()
    named = {line.split()[0] for line in lines if line.endswith("text eol=lf")}
    assert {"*.ipynb", "*.py", "*.md", "*.toml"} <= named


def test_editors_break_lines_where_the_formatter_does() -> None:
    width = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["line-length"]
    assert f"max_line_length = {width}" in (ROOT / ".editorconfig").read_text("utf-8")


FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.name)
def test_a_form_for_issues_is_one_that_can_be_shown(path: Path) -> None:
    form = yaml.safe_load(path.read_text("utf-8"))
    assert form["name"] and form["description"]
    asked = [item for item in form["body"] if item["type"] != "markdown"]
    assert {item["type"] for item in asked} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert all(item["attributes"]["label"] and isinstance(item["validations"]["required"], bool) for item in asked)
    assert len({item["id"] for item in asked}) == len(asked)


def test_there_is_a_form_for_a_wrong_verdict_and_one_for_what_does_not_run() -> None:
    forms = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in FORMS}
    assert set(forms) == {"check", "config", "run"}
    ids = {name: {item.get("id") for item in forms[name]["body"]} for name in ("check", "run")}
    assert {"exercise", "version", "answer", "said"} <= ids["check"]
    assert {"doctor"} <= ids["run"]


# In pieces, so that this file does not hold what it looks for.
PLACES = re.compile(
    "|".join(
        [
            r"(?<![\w.:/])/(?:home|Users|root|work|opt)" + r"/[\w.~-]",
            r"\b[A-Za-z]:\\{1,2}" + r"Users\b",
            r"py" + r"pi\.org",
            r"python" + r"hosted\.org",
            r"anaconda\.(?:org|com)/",
            r"download\.pytorch" + r"\.org",
        ]
    )
)
ALLOWED = {("scripts/setup.py", "download.pytorch" + ".org")}  # PyTorch's own documented index of CPU builds


def test_no_file_speaks_of_one_machine_or_of_one_package_index() -> None:
    found = set()
    for path in repository_files():
        text = path.read_bytes().decode("utf-8", "ignore") if path.stat().st_size < 2**22 else ""
        found |= {(path.relative_to(ROOT).as_posix(), match.group()) for match in PLACES.finditer(text)}
    assert found - ALLOWED == set()


@pytest.mark.parametrize(
    ("text", "speaks"),
    [
        ("see /" + "home/ada/lab", True),
        ('"/' + 'root/x"', True),
        ("C:\\" + "Users\\ada", True),
        ("https://py" + "pi.org/simple", True),
        ("labkit/home/work", False),
        ("https://example.org/" + "home/page", False),
        ("at home and at work", False),
    ],
)
def test_a_path_of_one_machine_is_told_from_a_word(text: str, speaks: bool) -> None:
    assert bool(PLACES.search(text)) == speaks


# The commands


def targets() -> list[str]:
    return re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_the_targets_are_those_that_the_readme_and_ci_rely_on() -> None:
    assert {"help", "setup", "lab", "test", "jupyter", "lint", "clean"} <= set(targets())


@needs_make
@pytest.mark.parametrize("target", targets())
def test_every_target_can_be_run_and_every_script_it_names_is_there(target: str) -> None:
    scripts = re.findall(r"scripts/\w+\.py", make(target))
    assert all((ROOT / script).is_file() for script in scripts)
    phony = re.search(r"^\.PHONY:(.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony and target in phony[1].split(), "or a file of that name would stop it"


@needs_make
def test_make_alone_names_every_target() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
    assert re.findall(r"^  ([a-z]+): \S", shown, re.MULTILINE) == targets()


@needs_make
def test_the_choice_of_torch_and_the_arguments_reach_the_scripts() -> None:
    for spoken in (make("lab", "TORCH=cpu", "ARGS=--seed 7"), make("lab", TORCH="cpu", ARGS="--seed 7")):
        assert re.search(r"scripts/setup\.py --torch cpu\s*$", spoken, re.MULTILINE)
        assert re.search(r"-m labkit lab --seed 7\s*$", spoken, re.MULTILINE)
    assert "--torch" not in make("lab")


def test_ci_runs_what_a_contributor_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^exec make test\b", script.read_text("utf-8"), re.MULTILINE)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    steps = [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
    assert [step for step in steps if step] == [".ci/run"]


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def setup_script() -> ModuleType:
    return script("setup")


@pytest.mark.parametrize("fails", ["ruff check", "ruff format", "mypy", "scripts.run_notebooks", "pytest"])
def test_what_ci_runs_fails_when_one_of_its_parts_fails(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check, ran = script("check"), []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(" ".join(command[2:]))
        return subprocess.CompletedProcess(command, returncode=3 if ran[-1].startswith(fails) else 0)

    monkeypatch.setattr(check.subprocess, "run", run)
    assert check.main([]) == 3
    assert ran[-1].startswith(fails)


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 10, 14), (3, 11, 4)])
def test_an_old_python_is_told_so(version: tuple[int, ...]) -> None:
    setup = setup_script()
    with pytest.raises(setup.SetupError, match=r"needs Python 3\.11\.5 or newer, and this one is"):
        setup.require_python(version)


@pytest.fixture
def set_up_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The set-up script in a repository of its own, whose steps are only noted down in `steps`."""
    setup = setup_script()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    venv = tmp_path / ".venv"
    places = {"ROOT": tmp_path, "CONSTRAINTS": tmp_path / "constraints.txt", "VENV": venv, "LOG": venv / "log"}
    for name, place in (places | {"PYTHON": venv / "python", "STAMP": venv / "stamp.json"}).items():
        monkeypatch.setattr(setup, name, place)
    steps: list[str] = []

    def run(step: str, command: list[str]) -> None:
        steps.append(" ".join(command))
        venv.mkdir(exist_ok=True)
        (venv / "pyvenv.cfg").touch()
        (venv / "python").touch()

    monkeypatch.setattr(setup, "run", run)
    nothing_is_there = subprocess.CompletedProcess([], returncode=1)
    monkeypatch.setattr(setup.subprocess, "run", lambda *_, **__: nothing_is_there)
    monkeypatch.setattr(setup, "venv_works", lambda: (venv / "python").exists())
    monkeypatch.setattr(setup, "fetch_reviews", lambda: None)
    monkeypatch.setattr(setup, "steps", steps, raising=False)
    return setup


def test_set_up_does_nothing_where_nothing_changed(set_up_place: ModuleType) -> None:
    set_up_place.set_up({"test"})
    assert ".[lab,test]" in " ".join(set_up_place.steps)
    set_up_place.steps.clear()
    set_up_place.set_up({"test"})
    set_up_place.set_up(set())
    assert set_up_place.steps == []


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt", ".venv/python"])
def test_set_up_installs_again_where_something_changed(set_up_place: ModuleType, changed: str) -> None:
    set_up_place.set_up(set())
    set_up_place.steps.clear()
    path = set_up_place.ROOT / changed
    path.unlink() if path.name == "python" else path.write_text(path.read_text("utf-8") + "# changed\n", "utf-8")
    set_up_place.set_up(set())
    assert ".[lab]" in " ".join(set_up_place.steps)


def test_one_more_extra_keeps_those_that_are_there(set_up_place: ModuleType) -> None:
    set_up_place.set_up({"test"})
    set_up_place.steps.clear()
    set_up_place.set_up({"instructor"})
    assert ".[instructor,lab,test]" in " ".join(set_up_place.steps)


def test_a_set_up_that_failed_is_not_taken_for_one_that_went_well(
    set_up_place: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_place.set_up(set())
    (set_up_place.ROOT / "constraints.txt").write_text("torch==1.0\n", "utf-8")

    def fails(step: str, command: list[str]) -> None:
        raise set_up_place.SetupError(step)

    with monkeypatch.context() as broken:
        broken.setattr(set_up_place, "run", fails)
        with pytest.raises(set_up_place.SetupError):
            set_up_place.set_up(set())
    assert set_up_place.installed_extras() == set()


@pytest.mark.parametrize("stamp", ["", "{", "[]", json.dumps({"extras": ["lab"]}), json.dumps({"fingerprint": 1})])
def test_a_broken_stamp_is_no_stamp(set_up_place: ModuleType, stamp: str) -> None:
    set_up_place.set_up(set())
    set_up_place.STAMP.write_text(stamp, "utf-8")
    assert set_up_place.installed_extras() == set()


def test_a_folder_that_is_no_virtual_environment_is_left_alone(set_up_place: ModuleType) -> None:
    precious = set_up_place.VENV / "conda-meta" / "history"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine", "utf-8")
    with pytest.raises(set_up_place.SetupError, match="no virtual environment"):
        set_up_place.set_up(set())
    assert precious.read_text("utf-8") == "mine"
    assert set_up_place.steps == []


def test_a_python_without_ensurepip_is_told_what_to_install(
    set_up_place: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = set_up_place.importlib.util.find_spec
    monkeypatch.setattr(
        set_up_place.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name)
    )
    with pytest.raises(set_up_place.SetupError, match="apt install python3-venv"):
        set_up_place.set_up(set())


def test_an_unknown_extra_is_refused_with_the_known_ones(set_up_place: ModuleType) -> None:
    with pytest.raises(set_up_place.SetupError, match=r"no extra nbgrader\. There are: .*instructor.*test"):
        set_up_place.set_up({"nbgrader"})


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the usual build has no CUDA")
def test_pytorchs_own_index_is_asked_for_pytorch_alone_and_only_on_request(set_up_place: ModuleType) -> None:
    set_up_place.set_up(set())
    assert not [step for step in set_up_place.steps if set_up_place.PYTORCH_CPU_INDEX in step]
    set_up_place.STAMP.unlink()
    set_up_place.set_up(set(), torch="cpu")
    (asked,) = [step for step in set_up_place.steps if set_up_place.PYTORCH_CPU_INDEX in step]
    assert re.search(r"--no-deps --extra-index-url \S+ torch==[\d.]+\+cpu$", asked)


def test_a_step_that_fails_ends_in_its_last_words_and_what_to_do(set_up_place: ModuleType) -> None:
    setup = setup_script()
    setup.LOG, setup.STAMP, setup.ROOT = (set_up_place.ROOT / name for name in ("log", "stamp", "."))
    command = [sys.executable, "-c", "print('Progress 1 of 2'); print('no space left'); raise SystemExit(1)"]
    with pytest.raises(setup.SetupError, match=r"(?s)^installing failed:\n *no space left\n.*again goes on"):
        setup.run("installing", command)
    assert (set_up_place.ROOT / "log").read_text("utf-8") == "== installing\nno space left\n"


def test_without_a_network_pips_talk_of_versions_is_not_passed_on() -> None:
    lines = [
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('...')'",
        "ResolutionImpossible",
    ]
    assert "is there a network?" in setup_script().last_words(lines)
    assert "ResolutionImpossible" not in setup_script().last_words(lines)
