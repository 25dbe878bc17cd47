"""The exercises' checks: `check("3.3", accumulate_gradients)` says what is right, or which misconception it matches.

Which exercises there are says the course that is served (courses.py). An answer may loop, crash or lie: `check` gives a
result and never raises for it.
"""

import contextlib
import dataclasses
import pkgutil
import sys
import time
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from labkit.checks.beside import beside
from labkit.checks.child import kernel_left_alone, nothing_to_call, observe_all
from labkit.checks.courses import served
from labkit.checks.exercise import POINTS, Case, Exercise, Failure, Misconception, Observation, Property
from labkit.checks.further import another_hint, hints_so_far
from labkit.checks.progress import Progress
from labkit.checks.verdict import CheckResult, Example, PropertyRow, judge_all
from labkit.display import in_notebook
from labkit.errors import UsageError

TIMEOUT = 10.0

__all__ = [
    "POINTS",
    "Case",
    "CheckResult",
    "Example",
    "Exercise",
    "Failure",
    "Misconception",
    "Observation",
    "Property",
    "PropertyRow",
    "another_hint",
    "check",
    "exercise",
    "exercises",
    "progress",
]

with contextlib.suppress(UsageError, OSError):  # what is odd is said when an exercise is asked for
    served().make_importable()  # a lesson may import helpers from its course's package


def exercises() -> dict[str, Exercise]:
    """Every exercise of the course that earns points, by its id, in the order of the course."""
    course = served()
    return {exercise_id: course.exercise(exercise_id) for exercise_id in course.earning()}


def exercises_in(package: ModuleType) -> list[Exercise]:
    """The exercises of a folder, one in each of its modules that has an EXERCISE, in the order of their ids."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    found = [module.EXERCISE for module in map(import_module, names) if hasattr(module, "EXERCISE")]
    return sorted(found, key=lambda one: [int(part) for part in one.id.split(".")])


def exercise(exercise_id: str) -> Exercise:
    """The exercise of that id. Raises UsageError with the nearest id."""
    return served().exercise(str(exercise_id))  # also for 3.3 without quotes


def check(exercise_id: str, answer: Any, timeout: float = TIMEOUT, seed: int | None = None) -> CheckResult:
    """Check an answer, a function or class, and keep the result in the student's folder.

    timeout: seconds that the answer has for all cases together. seed: of the random cases; fresh ones where None. Raises
    UsageError for an id that is none, never for what the answer does.
    """
    from labkit.student_work import Work

    asked = exercise(exercise_id)
    result = check_only(asked, answer, timeout, seed)
    if result.passed:
        result = dataclasses.replace(result, beside=beside(served(), asked, answer))
    work = Work()
    if work.exists or in_notebook():
        facts = {name: getattr(result, name) for name in ("status", "points", "max_points", "hint")}
        try:
            work.save("checks", result.exercise, facts | {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
        except OSError as why:  # a folder that cannot be written to costs a sentence, not the result
            print(f"The result could not be kept: {why}")
        else:
            result = dataclasses.replace(result, further=hints_so_far(result.exercise))
    widgets = sys.modules.get("labkit.widgets")  # on the page, if the lesson has imported them
    if widgets is not None and in_notebook() and result.further and result.further.following:
        widgets.offer_further_hint(result.exercise)
    return result


def check_only(asked: Exercise, answer: Any, timeout: float = TIMEOUT, seed: int | None = None) -> CheckResult:
    """The same without a trace on the disk."""
    with kernel_left_alone():
        cases = list(asked.cases(np.random.default_rng(seed)))
        if not callable(answer):
            return judge_all(asked, cases, nothing_to_call(cases))
        return judge_all(asked, cases, observe_all(asked.observe, answer, cases, timeout))


def progress() -> Any:
    """How far one is: every exercise with its last status and points, as a table that shows itself."""
    # Progress is imported on top: here, its module would take the place of this function in the package.
    from labkit.student_work import Work

    return Progress(tuple(served().earning()), Work().checks, Work().hints)
