"""For those who write exercises: what a check says of an answer over many seeds, and the laws that every check keeps.

The laws need no answer of the author's. They look at the exercise's cases, at its hints and known wrong answers, and at
answers that are none. Judges as verdict.py does, and knows no exercise.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

from labkit.checks.child import Observations, kernel_left_alone, nothing_to_call, observe_all, observe_one
from labkit.checks.exercise import POINTS, Case, Exercise, Observation
from labkit.checks.verdict import CheckResult, judge_all, score
from labkit.errors import UsageError

SEEDS = 200
HINTED = 10  # of them a hint is asked for too, which takes longer than the points


@dataclass(frozen=True)
class Trial:
    """What a check says of one answer over many seeds.

    verdicts: by status and points, the seeds that gave them. hints: likewise by hint. results: the whole result of the first
    seeds, and of the first seed of each verdict.
    """

    verdicts: Mapping[tuple[str, float], Sequence[int]]
    hints: Mapping[str, Sequence[int]]
    results: Mapping[int, CheckResult]

    @property
    def first(self) -> CheckResult:
        """The result with seed 0."""
        return self.results[0]

    def fault(self, is_right: bool) -> str:
        """Why this does not do for an answer that is right, or for one that is wrong; empty where it does."""
        unwanted = self._unwanted(is_right)
        if unwanted:
            (status, points), seeds = unwanted[0]
            return f"{status} with {_some(seeds)}" + (f": {points:g} points" if is_right else "")
        if len(self.verdicts) > 1:
            return "its points hang on the seed: " + _by_seed(
                {f"{points:g}": seeds for (_, points), seeds in self.verdicts.items()}
            )
        return "its hint hangs on the seed: " + _by_seed(self.hints) if len(self.hints) > 1 else ""

    def telling(self, is_right: bool) -> CheckResult:
        """The result that shows the fault, the first where there is none."""
        unwanted = self._unwanted(is_right)
        return self.results[unwanted[0][1][0]] if unwanted else self.first

    def _unwanted(self, is_right: bool) -> list[tuple[tuple[str, float], Sequence[int]]]:
        return [(said, seeds) for said, seeds in self.verdicts.items() if (said[0] == "passed") != is_right]


def _some(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds, such as {seeds[0]}"


def _by_seed(seeds: Mapping[str, Sequence[int]]) -> str:
    return "; ".join(f"{said} with {_some(of)}" for said, of in seeds.items())


def try_answer(
    exercise: Exercise, answer: Any, seeds: int = SEEDS, hinted: int = HINTED, timeout: float | None = None
) -> Trial:
    """Check an answer with the seeds 0, 1, ... and say what came out.

    hinted: for how many of the seeds a hint is looked for too. timeout: seconds that a seed's cases may take, in a process of
    their own; None for an answer that is known to come back, which is run here. One that does not come back is tried once.
    """
    by_seed = _cases(exercise, seeds)
    with kernel_left_alone():
        observed, died = _observed(exercise, answer, by_seed, timeout)
        by_seed = [cases for cases in by_seed if all(id(case) in observed for case in cases)]
        once = {id(case): case for cases in by_seed for case in cases}  # a fixed case is the same with every seed
        judged = {name: exercise.judge(case, observed[name]) for name, case in once.items()}
        verdicts: dict[tuple[str, float], list[int]] = {}
        hints: dict[str, list[int]] = {}
        results: dict[int, CheckResult] = {}
        for seed, cases in enumerate(by_seed):
            each = [observed[id(case)] for case in cases]
            status, points, _ = score(exercise, each, [judged[id(case)] for case in cases])
            verdicts.setdefault((status, points), []).append(seed)
            if seed < hinted or verdicts[status, points] == [seed]:
                results[seed] = judge_all(exercise, cases, Observations(each, died=died))
            if seed < hinted:
                hints.setdefault(results[seed].hint, []).append(seed)
    return Trial(verdicts, hints, results)


_MADE: dict[str, tuple[Exercise, list[list[Case]]]] = {}


def _cases(exercise: Exercise, seeds: int) -> list[list[Case]]:
    """The cases of each seed, made once; those that are as with seed 0 are the same objects, to be run and judged once."""
    owner, made = _MADE.get(exercise.id, (exercise, []))
    made = made if owner is exercise else []
    for seed in range(len(made), seeds):
        cases = list(exercise.cases(np.random.default_rng(seed)))
        for place, (old, new) in enumerate(zip(made[0] if made else (), cases, strict=False)):
            cases[place] = old if (old.label, old.inputs) == (new.label, new.inputs) else new
        made.append(cases)
    _MADE[exercise.id] = exercise, made
    return made[:seeds]


def _observed(
    exercise: Exercise, answer: Any, by_seed: Sequence[Sequence[Case]], timeout: float | None
) -> tuple[dict[int, Observation], bool]:
    """By case what the answer gave, of the first seed alone where it did not come back; and whether its process died."""
    each = list({id(case): case for cases in by_seed for case in cases}.values())
    if not callable(answer):
        return dict(zip(map(id, each), nothing_to_call(each).each, strict=True)), False
    if timeout is None:
        return {id(case): observe_one(exercise.observe, answer, case.inputs) for case in each}, False
    first, rest = each[: len(by_seed[0])], each[len(by_seed[0]) :]
    began = time.monotonic()
    found = observe_all(exercise.observe, answer, first, timeout)
    if not rest or any(one.missing for one in found.each):
        return dict(zip(map(id, first), found.each, strict=True)), found.died
    more = observe_all(exercise.observe, answer, rest, timeout + 3 * len(by_seed) * (time.monotonic() - began))
    return dict(zip(map(id, each), [*found.each, *more.each], strict=True)), more.died


def answers_in(path: Path, name: str) -> dict[str, Any]:
    """The answers in a Python file: what is called `name`, else every public function and class that it defines.

    Runs the file. Raises UsageError where that fails or gives no answer.
    """
    if not path.is_file() or path.suffix != ".py":
        raise UsageError(f"{path}: no such file; wanted a Python file that defines {name}, or several answers to try")
    spec = spec_from_file_location("answers_to_try", path)
    assert spec and spec.loader, "it ends in .py"
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as why:  # whatever is wrong in it
        raise UsageError(f"{path} cannot be run: {type(why).__name__}: {why}") from why
    if hasattr(module, name):
        return {name: getattr(module, name)}
    own = {
        each: value
        for each, value in vars(module).items()
        if callable(value) and not each.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }
    if not own:
        raise UsageError(f"{path} defines neither {name} nor any other function or class without a leading underscore")
    return own


# The laws


def broken_laws(exercise: Exercise, seeds: int = SEEDS) -> list[str]:
    """What is wrong with an exercise, as far as that can be seen without a right answer: a sentence each."""
    return [*_odd_facts(exercise, seeds), *odd_hints(exercise), *_misjudged(exercise, seeds)]


def _odd_facts(exercise: Exercise, seeds: int) -> Iterator[str]:
    """What is odd before any answer is checked; with a property that some seed has no case for, none would pass."""
    wanted = 0.0 if exercise.id.startswith("0.") else POINTS
    if not exercise.name.isidentifier():
        yield f"{exercise.name!r} is no name for a function or a class"
    if exercise.max_points != wanted:
        yield f"max_points is {exercise.max_points:g}; wanted {wanted:g}, as for every {'exercise' if wanted else 'warm-up'}"
    ideas = [each for each in exercise.properties if each.idea]
    if not ideas:
        yield "no property carries its idea, which has half of the points"
    if ideas and not any(each.core for each in ideas):
        yield "no property that carries its idea is core, so that a trivial answer may earn half of the points"
    if any(each.manners for each in ideas):
        yield "what carries its idea is nothing of manners"
    if not any(each.core for each in exercise.properties):
        yield "no property is core, so that a part of the answer earns nothing"
    if exercise.reference and not exercise.misconceptions:
        yield "it knows no wrong answer; wanted those that students give, each with its hint"
    if [each.name for each in exercise.properties if not (each.test or exercise.test or exercise.reference)]:
        yield "a property without a test needs a reference"
    for each in exercise.all_properties:
        bare = [seed for seed, cases in enumerate(_cases(exercise, seeds)) if not any(map(each.is_for, cases))]
        if bare:
            yield f"the property {each.name!r} has no case with {_some(bare)}"


def odd_hints(exercise: Exercise, solutions: Iterable[str] = (), more: Sequence[str] = ()) -> Iterator[str]:
    """Hints that are none: too long, with code or a line of a solution in them, or the same for two misconceptions.

    The nudge and the idea in words, which may be longer, are hints too. more: hints that the exercise gives besides those of
    its properties and misconceptions.
    """
    own = [*(known.hint for known in exercise.misconceptions), *more]
    given_away = {line.strip() for line in solutions if len(line.strip()) > 12}
    further = [hint for hint in (exercise.nudge, exercise.in_words) if hint]
    for hint in [*(each.hint for each in exercise.all_properties), *own, *further]:
        sentences = len(re.findall(r"[.?!:](?=\s|$)", hint))
        if hint == exercise.in_words and not (1 <= sentences <= 8 and len(hint) < 350):
            yield f"the idea in words is a few sentences in under 350 letters: {hint!r}"
        elif hint != exercise.in_words and not (1 <= sentences <= 4 and len(hint) < 200):
            yield f"a hint is one or two sentences in under 200 letters: {hint!r}"
        if re.search(r"\w\(\w*\)|==|(?<!you )\breturn\b|\bdef\b|\blambda\b|\[-?\d", hint):
            yield f"a hint has no code: {hint!r}"
        if any(line in hint for line in given_away):
            yield f"a hint has no line of a solution: {hint!r}"
    if exercise.in_words and not exercise.nudge:
        yield "the idea in words comes after a nudge, and there is none"
    yield from (f"two wrong answers have the same hint: {hint!r}" for hint in set(own) if own.count(hint) > 1)


def _misjudged(exercise: Exercise, seeds: int) -> Iterator[str]:
    """Wrong answers that pass, or are not told from one another; answers that are none and earn something."""
    missed = []
    for known in exercise.misconceptions:
        trial = try_answer(exercise, known.answer, seeds, hinted=seeds)
        missed += [known.name] if misses_idea(trial.first) else []
        fault = trial.fault(is_right=False)
        if fault:
            yield f"the wrong answer {known.name!r}: {fault}"
        elif trial.first.hint != known.hint:
            yield f"the wrong answer {known.name!r} gets another hint than its own: {trial.first.hint!r}"
    if exercise.misconceptions and not missed:
        yield "every wrong answer that it knows has its idea; wanted one that misses it"
    for name, answer in lazy_answers().items():
        result = try_answer(exercise, answer, 1).first
        if (result.status, result.points) != ("failed", 0.0):
            yield f"an answer that is none ({name}): {result.status}, {result.points:g} points; wanted failed, 0 points"
    if try_answer(exercise, unfinished, 1).first.status != "not attempted":
        yield "what raises NotImplementedError was not taken for an answer that nobody has begun"


def misses_idea(result: CheckResult) -> bool:
    """Whether an answer was found not to have the idea of its exercise, which costs at least half of the points."""
    return any(row.idea and not row.held for row in result.properties)


def lazy_answers() -> dict[str, Callable[..., Any]]:
    """Answers that are none: each gets 0 points in every exercise."""

    def nothing(*arguments: Any, **named: Any) -> None:
        return None

    def itself(first: Any = None, *arguments: Any, **named: Any) -> Any:
        return first

    def raises(*arguments: Any, **named: Any) -> Any:
        raise ValueError("no idea")

    def exits(*arguments: Any, **named: Any) -> Any:
        raise SystemExit(0)

    def always(value: Any) -> Callable[..., Any]:
        return lambda *arguments, **named: value

    values: tuple[Any, ...] = (0, 1, True, 0.0, "", [], {}, [0], (0.0, 0.0))
    constants = {f"always {value!r}": always(value) for value in values}
    lazy: dict[str, Callable[..., Any]] = {"nothing": nothing, "itself": itself, "raises": raises, "exits": exits}
    return lazy | constants


def unfinished(*arguments: Any, **named: Any) -> Any:
    """What a student's notebook has before it was touched."""
    raise NotImplementedError()
