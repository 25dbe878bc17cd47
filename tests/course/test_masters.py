"""Laws of reading a master: what is odd is refused with file and line, before anything is built from it."""

from pathlib import Path

import pytest
from courses import KNOWN, LABELS, LENGTHS

from labkit.course.masters import Master, MasterError, read_master


def read(tmp_path: Path, text: str, name: str = "02_labels.py") -> Master:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return read_master(path, KNOWN)


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


def test_a_master_says_what_it_is_and_where_its_cells_stand(tmp_path: Path) -> None:
    master = read(tmp_path, LENGTHS, "01_lengths.py")
    assert (master.lesson, master.title, master.minutes) == ("01", "How long a review is", 5)
    assert master.notebook_name == "01_lengths.ipynb"
    by_id = {cell.id: cell for cell in master.cells}
    assert [(by_id[name].type, by_id[name].line) for name in ("start", "exercise-1-3", "check-1-3")] == [
        ("code", line_of(LENGTHS, 'name="start"')),
        ("code", line_of(LENGTHS, 'exercise="1.3"')),
        ("code", line_of(LENGTHS, 'check="1.3"')),
    ]


def test_prose_loses_its_comment_signs_and_magics_come_alive(tmp_path: Path) -> None:
    cells = read(tmp_path, LABELS + "\n# %%\n# %time 1\n").cells
    assert cells[0].source.startswith("# Labels\n\nAfterwards") and cells[0].type == "markdown"
    assert cells[-1].source == "%time 1"


SHOWN = 'result = check("2.1", rating_to_label)\nresult\n'
HIDDEN = "### BEGIN HIDDEN TESTS\n{}\n### END HIDDEN TESTS\n"
# By what is changed in the master: the old text, the new one, the line that is named, and what is said of it.
REFUSALS = {
    "no head": ("# ---\n# title: Labels\n# minutes: 5\n# ---\n", "", 1, "a master opens with"),
    "a head without its end": ("# minutes: 5\n# ---\n", "# minutes: 5\n", 1, "a master opens with"),
    "an unknown fact": ("# title:", "# titel:", 2, "did you mean title"),
    "no title": ("# title: Labels\n", "", 1, "missing or odd: title"),
    "minutes that are no number": ("minutes: 5", "minutes: ten", 1, "minutes as a whole number"),
    "further minutes that are no number": ("minutes: 5", "minutes: 5\n# further: some", 1, "missing or odd: further"),
    "minutes in odd digits": ("minutes: 5", "minutes: ²", 1, "minutes as a whole number"),
    "something above the first cell": (
        "# ---\n\n# %% [markdown]",
        "# ---\n\nx = 1\n\n# %% [markdown]",
        6,
        "wanted # %%",
    ),
    "an unknown option": ('exercise="2.1"', 'exercice="2.1"', 14, "did you mean exercise"),
    "a title on a cell": ("# %%\nfrom", "# %% Imports\nfrom", 11, "'title' is no option"),
    "a cell sign without its space": ("# %%\nfrom", "#%%\nfrom", 11, "after a space"),
    "tags that are no list": ("# %%\nfrom", '# %% tags="optional"\nfrom', 11, "is not of type 'array'"),
    "an exercise in prose": ("# %% [markdown]", '# %% [markdown] exercise="2.1"', 6, "is a code cell"),
    "an exercise of another lesson": ('exercise="2.1"', 'exercise="1.3"', 14, "does not belong to lesson 02"),
    "an exercise that nobody checks": ('"2.1"', '"2.11"', 14, "the course has no exercise '2.11'; did you mean 2.1"),
    "an exercise without its check": (LABELS[LABELS.index("# %% check") :], "", 14, "has no check below it"),
    "a check without its exercise": ('exercise="2.1"', 'name="e"', 17, "no exercise"),
    "a name that is there twice": ("# %%\nfrom", '# %% name="check 2.1"\nfrom', 23, "there already, on line 11"),
    "no solution": ("    ### BEGIN SOLUTION\n", "", 20, "without its BEGIN"),
    "an empty solution": (
        LABELS[LABELS.index("    if not") : LABELS.index("    ### END")],
        "",
        14,
        "with lines below it",
    ),
    "a solution without its end": ("    ### END SOLUTION\n", "", 17, "without its END"),
    "a solution outside a function": ("    ### BEGIN SOLUTION", "### BEGIN SOLUTION", 17, "not within a function"),
    "a solution in a check": (SHOWN, f"{SHOWN}    ### BEGIN SOLUTION\n", 26, "a cell that is no exercise"),
    "a mark with more on its line": ("### BEGIN SOLUTION", "### BEGIN SOLUTION here", 17, "nothing else on the line"),
    "a mark with fewer signs": ("### BEGIN SOLUTION", "# BEGIN SOLUTION", 17, "wanted ### BEGIN SOLUTION"),
    "a mark in a mark": ("    return None", "    ### BEGIN SOLUTION", 19, "within the region that began on line 17"),
    "a hidden test in an exercise": ("    ### BEGIN SOLUTION", "    ### BEGIN HIDDEN TESTS", 17, "is no check"),
    "hidden tests": (
        SHOWN,
        SHOWN + HIDDEN.format("assert result\nfloat(result.points)"),
        23,
        "wanted none: what must hold",
    ),
    "points that are no float": (SHOWN, SHOWN + HIDDEN.format("result.points"), 23, "wanted none"),
    "points that are not last": (SHOWN, f"{SHOWN}{HIDDEN.format('float(1)')}result\n", 23, "wanted none"),
    "a check that shows no result": (SHOWN, SHOWN.removesuffix("result\n"), 23, "must end in its result"),
    "a check that shows its points": (SHOWN, f"{SHOWN.rstrip()}.points\n", 23, "must end in its result"),
    "a check of another exercise": ('check("2.1"', 'check("1.3"', 23, "must end in its result"),
    "a check that is no Python": (SHOWN, f"{SHOWN}(", 23, "must end in its result"),
}


@pytest.mark.parametrize("odd", REFUSALS)
def test_what_is_odd_is_refused_with_file_and_line(tmp_path: Path, odd: str) -> None:
    old, new, line, said = REFUSALS[odd]
    assert old in LABELS
    with pytest.raises(MasterError, match=said) as refused:
        read(tmp_path, LABELS.replace(old, new))
    assert str(refused.value).startswith(f"{tmp_path / '02_labels.py'} line {line}: "), refused.value


@pytest.mark.parametrize("name", ["labels.py", "2_labels.py", "02-labels.py", "02.py"])
def test_a_master_with_another_name_is_told_the_right_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(MasterError, match="is named NN_name"):
        read(tmp_path, LABELS, name)


def test_a_master_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "02_labels.py"
    path.write_bytes(b"# ---\n# title: \xff\n")
    with pytest.raises(MasterError, match=r"02_labels\.py: not UTF-8"):
        read_master(path, KNOWN)


def test_the_warm_up_has_no_hidden_tests(tmp_path: Path) -> None:
    with pytest.raises(MasterError, match="earns no points"):
        read(tmp_path, LABELS.replace("2.1", "0.1") + HIDDEN.format("float(result.points)"), "00_map.py")
    assert read(tmp_path, LABELS.replace("2.1", "0.1"), "00_map.py").lesson == "00"
