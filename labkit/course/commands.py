"""The commands `labkit course ...` and `labkit check`: thin. labkit.cli loads this module by name when one is called."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from labkit.course.running import CELL_SECONDS

if TYPE_CHECKING:
    from labkit.course.build import Course

course = App(name="course", help="The notebooks: build, release and publish them; start, update and hand in a copy.")

Root = Annotated[Path | None, Parameter(help="a checkout of the course (default: the one labkit runs from)")]
Source = Annotated[
    Path | None,
    Parameter(name="--from", help="folder of a release (default: the one in which you are, else the checkout)"),
]


@course.command
def build(
    *,
    check: Annotated[bool, Parameter(help="write nothing; name the cells that drifted", negative="")] = False,
    root: Root = None,
) -> int:
    """Make the students' and the solution notebooks from their masters, solutions/NN_name.py."""
    from labkit.course.build import build, drift

    if check:
        found = drift(_course(root))
        print("\n".join(found) if found else "every notebook is what its master gives")
        return int(bool(found))
    print("\n".join(map(str, build(_course(root)))) or "every notebook was up to date")
    return 0


@course.command
def release(
    folder: Path,
    /,
    *,
    wheel: Annotated[Path | None, Parameter(help="labkit's wheel (default: built from the checkout)")] = None,
    root: Root = None,
) -> int:
    """Write what students get into a new folder: notebooks, what to install, a README; no solution."""
    from labkit.course.release import release

    print("\n".join(release(_course(root), folder, wheel)))
    return 0


@course.command
def pages(folder: Path = Path("build/pages"), /, *, profile: str = "tiny", root: Root = None) -> int:
    """Run the solution notebooks and publish them as web pages."""
    from labkit.course.pages import publish

    print(publish(_course(root), folder, profile, lambda said: print(said, file=sys.stderr, flush=True))[-1])
    return 0


@course.command
def start(folder: Path = Path("my-course"), /, *, source: Source = None) -> int:
    """Make your own copy of the course, to work in."""
    from labkit.course.copies import start

    lessons = start(folder, source)
    print(f"{folder}: {', '.join(lessons)}\nOpen it: labkit course open {folder}")
    return 0


@course.command(name="open")
def open_copy(
    folder: Path = Path("my-course"),
    /,
    *arguments: Annotated[str, Parameter(help="what JupyterLab should get", allow_leading_hyphen=True)],
    source: Source = None,
) -> int:
    """Open your own copy in JupyterLab, made first where there is none."""
    from labkit.course.copies import RECORD, is_behind, start
    from labkit.course.running import jupyterlab
    from labkit.student_work import FOLDER

    if not (folder / FOLDER / RECORD).is_file():
        print(f"your own copy: {folder}: {', '.join(start(folder, source))}", flush=True)
    elif is_behind(folder, source):
        print(
            f"There is a newer release: labkit course update {folder} brings it in and keeps all your work.", flush=True
        )
    return jupyterlab(folder, arguments)


@course.command
def update(folder: Path = Path("."), /, *, source: Source = None) -> int:
    """Bring a newer release into your copy. Every answer and all you added stays, and a backup is made first."""
    from labkit.course.copies import update

    done = update(folder, source)
    print(done)
    return int(bool(done.left))


@course.command(name="hand-in")
def hand_in(lesson: str, /, *, output: Annotated[Path | None, Parameter(help="the zip to write")] = None) -> int:
    """Make one zip of a lesson's notebook, your predictions and reflections.

    LESSON: its number, such as 01, or the file name of its notebook.
    """
    from labkit.course.hand_in import hand_in
    from labkit.student_work import course_folder

    print(hand_in(course_folder(), lesson, output))
    return 0


def check(
    *notebooks: Path,
    trust: Annotated[bool, Parameter(help="also run notebooks outside your own course folder", negative="")] = False,
    timeout: Annotated[int, Parameter(help="seconds that a cell may take", validator=Number(gte=1))] = CELL_SECONDS,
    as_json: Annotated[bool, Parameter(name="--json", help="print JSON", negative="")] = False,
) -> int:
    """Run notebooks from top to bottom and print points and hints by exercise."""
    from labkit.course.checking import check_notebook, refuse_strangers

    refuse_strangers(notebooks, trust)
    checked = []
    for path in notebooks:
        checked.append(check_notebook(path, timeout))
        if not as_json:
            print(checked[-1], flush=True)
    if as_json:
        print(json.dumps([one.as_json() for one in checked], indent=1, ensure_ascii=False))
    return int(any(one.trouble for one in checked))


def _course(root: Path | None) -> "Course":
    from labkit.course.build import Course, checkout

    return Course(root or checkout())
