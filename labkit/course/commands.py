"""The commands `labkit course ...` and `labkit check`: thin. labkit.cli loads this module by name when one is called."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from labkit.course.running import CELL_SECONDS
from labkit.display import json_list, quoted
from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.checks.courses import Course

course = App(name="course")  # its help stands in labkit.cli

Root = Annotated[Path | None, Parameter(help="a course's folder, in place of the one that is served here")]
Source = Annotated[
    Path | None,
    Parameter(name="--from", help="folder of a release (default: the one in which you are, else that of the course)"),
]
Timeout = Annotated[int, Parameter(help="seconds that a cell may take", validator=Number(gte=1))]


@course.command(name="new-exercise")
def new_exercise(
    exercise: str,
    name: str,
    /,
    *,
    lesson: Annotated[
        str | None, Parameter(help="the name of a lesson that is not there yet, such as searching")
    ] = None,
    root: Root = None,
) -> int:
    """Write the skeletons of an exercise: its check, its observer, its cells in the lesson's master, and a test.

    EXERCISE: its id, LESSON.NUMBER, such as 1.3; 0.NUMBER is a warm-up without points.

    NAME: of the function or class that students write.
    """
    from labkit.course.new_exercise import new_exercise

    print("\n".join(map(str, new_exercise(_course(root), exercise, name, lesson))))
    number = f"{int(exercise.partition('.')[0]):02d}"
    then = ("build", f"lint {number}", f"run {number}", f"try {exercise}")
    print(f"Fill in what says TODO. Then: {', '.join(f'labkit course {each}' for each in then)}")
    return 0


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
def lint(lesson: str | None = None, /, *, root: Root = None) -> int:
    """Say what is to be mended in a course, or in one lesson, before students get it. No notebook is run.

    Long cells, missing parts, pictures without words, what gives a solution away, notebooks that are not what their masters
    give, checks that a wrong answer passes. Exit code 1 where there is something.

    LESSON: its number, such as 01, or its name.
    """
    from labkit.course.findings import findings

    found = findings(_course(root), lesson)
    print("\n".join(found) if found else "nothing to mend")
    return int(bool(found))


@course.command
def run(lesson: str, /, *, timeout: Timeout = CELL_SECONDS, root: Root = None) -> int:
    """Run a lesson's two notebooks as CI does: the student's untouched, and the solution, which must pass its checks.

    LESSON: its number, such as 01, or its name.
    """
    from labkit.course.checking import rehearse

    is_odd = False
    for checked, odd in rehearse(_course(root), lesson, timeout):
        said = ", ".join(f"{row.exercise} {row.status}" for row in checked.rows) or "no checks in it"
        print("\n  ".join([f"{checked.notebook}: {checked.seconds:.1f} s; {said}", *odd]), flush=True)
        is_odd = is_odd or bool(odd)
    return int(is_odd)


@course.command(name="try")
def try_answers(
    exercise: str,
    /,
    *,
    right: Annotated[tuple[Path, ...], Parameter(help="a Python file with right answers", negative="")] = (),
    wrong: Annotated[tuple[Path, ...], Parameter(help="a Python file with wrong answers", negative="")] = (),
    seeds: Annotated[int, Parameter(help="with how many seeds of the random cases", validator=Number(gte=1))] = 200,
    timeout: Annotated[float, Parameter(help="seconds that an answer may take", validator=Number(gt=0))] = 10.0,
    root: Root = None,
) -> int:
    """Say what an exercise's check makes of answers of your own, and which of the laws of every check it breaks.

    An answer is the function or class of the exercise's name in a file, or, where it has none, every public one in it. Exit
    code 1 where a right answer fails with some seed, a wrong one passes, or what one earns hangs on the seed. Runs the files
    with all your rights.

    EXERCISE: its id, such as 1.3.
    """
    from labkit.checks.trial import answers_in, broken_laws, try_answer

    asked = _course(root).exercise(exercise)
    groups = [(path, is_right) for paths, is_right in ((right, True), (wrong, False)) for path in paths]
    answers = [(path, is_right, answers_in(path, asked.name)) for path, is_right in groups]
    faults = [f"exercise {exercise}: {law}" for law in broken_laws(asked, seeds)]
    print(
        "\n".join(faults) if faults else f"exercise {exercise}: keeps the laws of every check, with {seeds} seeds",
        flush=True,
    )
    for path, is_right, found in answers:
        for name, answer in found.items():
            trial = try_answer(asked, answer, seeds, timeout=timeout)
            result, fault = trial.telling(is_right), trial.fault(is_right)
            faults += [fault] * bool(fault)
            print(f"{path}: {name}, {'right' if is_right else 'wrong'}: ", end="")
            said = f"{result.status}, {result.points:g} of {result.max_points:g} points. {result.hint}".rstrip(". ")
            print(f"{fault}\n{result}" if fault else said, flush=True)
    return int(bool(faults))


@course.command
def release(
    folder: Path,
    /,
    *,
    wheel: Annotated[Path | None, Parameter(help="labkit's wheel (default: built from labkit's checkout)")] = None,
    root: Root = None,
) -> int:
    """Write what students get into a new folder: notebooks, what to install, a README; no solution."""
    from labkit.course.release import release

    print("\n".join(release(_course(root), folder, wheel)))
    return 0


@course.command
def pages(
    folder: Path = Path("build/pages"),
    /,
    *,
    profile: Annotated[str | None, Parameter(help="in place of the one in course.toml")] = None,
    root: Root = None,
) -> int:
    """Run the solution notebooks and publish them as web pages."""
    from labkit.course.pages import publish

    print(publish(_course(root), folder, profile, lambda said: print(said, file=sys.stderr, flush=True))[-1])
    return 0


@course.command
def start(folder: Path = Path("my-course"), /, *, source: Source = None) -> int:
    """Make your own copy of the course, to work in."""
    from labkit.course.copies import news, start

    lessons = start(folder, source)
    print(
        "\n".join(
            [f"{folder}: {', '.join(lessons)}", *news(folder, source), f"Open it: labkit course open {quoted(folder)}"]
        )
    )
    return 0


@course.command(name="open")
def open_copy(
    folder: Path = Path("my-course"),
    /,
    *arguments: Annotated[str, Parameter(help="what JupyterLab should get", allow_leading_hyphen=True)],
    source: Source = None,
) -> int:
    """Open your own copy in JupyterLab, made first where there is none. Within a copy, it is the one in which you are."""
    from labkit.course.copies import copy_around, news, start
    from labkit.course.running import jupyterlab

    copy = copy_around(folder)
    if copy is None:
        copy = folder
        print(f"your own copy: {copy}: {', '.join(start(copy, source))}", flush=True)
    elif copy != folder:
        print(f"your own copy: {copy}", flush=True)
    print("".join(f"{line}\n" for line in news(copy, source)), end="", flush=True)
    return jupyterlab(copy, arguments)


@course.command
def update(
    folder: Path = Path("."),
    /,
    *,
    source: Source = None,
    older: Annotated[bool, Parameter(help="go back to a release older than yours", negative="")] = False,
) -> int:
    """Bring a newer release into your copy. Every answer and all you added stays, and a backup is made first."""
    from labkit.course.copies import update

    done = update(folder, source, older=older)
    print(done)
    return int(bool(done.left))


@course.command(name="hand-in")
def hand_in(lesson: str, /, *, output: Annotated[Path | None, Parameter(help="the zip to write")] = None) -> int:
    """Make one zip of a lesson's notebook, your predictions and reflections, and count what is in it.

    LESSON: its number, such as 01, or the file name of its notebook.
    """
    from labkit.course.hand_in import counted, hand_in
    from labkit.student_work import course_folder

    archive = hand_in(course_folder(), lesson, output)
    print("\n  ".join([str(archive), *counted(course_folder(), archive)]))
    return 0


@course.command
def collect(hand_ins: Path, grading: Path, /, *, root: Root = None) -> int:
    """Put hand-ins where nbgrader looks for them, in a folder of its own with an assignment for each lesson.

    HAND_INS: a folder that has one for each student, named after them, with their zips in it.

    GRADING: nbgrader's folder, made if it is not there. A hand-in that changed takes the place of the earlier one.
    """
    from labkit.course.submissions import collect

    collected = collect(_course(root), hand_ins, grading)
    print(collected)
    return int(bool(collected.left))


def check(
    *notebooks: Path,
    trust: Annotated[bool, Parameter(help="also run notebooks outside your own course folder", negative="")] = False,
    timeout: Timeout = CELL_SECONDS,
    as_json: Annotated[bool, Parameter(name="--json", help="print JSON", negative="")] = False,
) -> int:
    """Run notebooks from top to bottom and print points and hints by exercise.

    NOTEBOOKS: files NAME.ipynb, zips of hand-ins, patterns such as '*.ipynb', or the numbers of lessons of your own copy, such
    as 01.
    """
    from labkit.course.checking import check_notebooks, matching, refuse_strangers
    from labkit.course.hand_in import notebook_of
    from labkit.student_work import course_folder

    paths = [
        notebook_of(course_folder(), str(path)) if not path.suffix and not path.exists() else path
        for path in matching(notebooks)
    ]
    refuse_strangers(paths, trust)
    is_odd, found = False, check_notebooks(paths, timeout)
    with json_list() if as_json else nullcontext(lambda one: print(one, flush=True)) as tell:
        for checked in found:
            tell(checked.as_json() if as_json else checked)
            is_odd = is_odd or bool(checked.trouble)
    return int(is_odd)


def _course(root: Path | None) -> "Course":
    """The course to work on; it is said which, where that is not the one in whose folder one stands."""
    from labkit.checks.courses import FILE, SETTING, read_course, served

    if root:
        return read_course(root)
    course, here = served(), Path.cwd()
    if course.root.resolve() not in (here, *here.parents):
        masters = (folder for folder in (here, *here.parents) if any(folder.glob("solutions/[0-9][0-9]_*.py")))
        other = next(masters, None)
        if other and not os.environ.get(SETTING):
            raise UsageError(
                f"{other} has masters and no {FILE}; wanted that file, which makes it a course, or --root FOLDER"
            )
        print(f"labkit: you stand outside the course that is served here, {course.root}", file=sys.stderr)
    return course
