"""Laws of merging: whatever a student and a release do to a notebook, nothing that the student wrote goes."""

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from courses import cell_of, code
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.course.merge import Merged, merge, record
from labkit.course.notebooks import cell_hash, is_check, is_solution, notebook_bytes, parse_notebook

Notebook = dict[str, Any]
STUB = "def f():\n    # YOUR CODE HERE\n    raise NotImplementedError()"


def notebook(cells: list[dict[str, Any]]) -> Notebook:
    return {"cells": cells, "metadata": {"labkit": {"lesson": "01"}}, "nbformat": 4, "nbformat_minor": 5}


def prose(source: str, name: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def graded(source: str, name: str, check: bool = False) -> dict[str, Any]:
    facts = {"grade": check, "locked": check, "solution": not check, "grade_id": name, "schema_version": 3}
    locks = {"deletable": False} | ({"editable": False} if check else {})
    return code(source, name) | {"metadata": {"nbgrader": facts, **locks}}


def lesson(version: int = 1) -> Notebook:
    """A lesson of six cells; another version has another text in the experiment."""
    return notebook(
        [
            prose("# Lesson", "title"),
            graded(STUB, "exercise-1-1"),
            graded("result = check('1.1', f)\nresult", "check-1-1", check=True),
            code(f"experiment({version})", "experiment"),
            graded(STUB.replace("f()", "g()"), "exercise-1-2"),
            graded("check('1.2', g)", "check-1-2", check=True),
        ]
    )


def updated(change: Callable[[Notebook], object], newer: Notebook | None = None) -> Merged:
    mine = lesson()
    change(mine)
    return merge(mine, record(lesson()), newer or lesson())


def sources(notebook: Notebook) -> list[str]:
    return [cell["source"] for cell in notebook["cells"]]


# By hand


def test_an_untouched_notebook_becomes_the_newer_one() -> None:
    assert updated(lambda mine: None, lesson(2)) == Merged(lesson(2))


def test_an_answer_stays_in_its_place_and_takes_the_marks_of_the_newer_exercise() -> None:
    answer = STUB.replace("raise NotImplementedError()", "return 1")
    newer = lesson(2)
    cell_of(newer, "exercise-1-1")["metadata"]["nbgrader"]["schema_version"] = 4
    merged = updated(lambda mine: cell_of(mine, "exercise-1-1").update(source=answer), newer).notebook
    cell = cell_of(merged, "exercise-1-1")
    assert cell["source"] == answer and cell["metadata"]["nbgrader"]["schema_version"] == 4
    assert sources(merged)[3] == "experiment(2)"


def test_a_new_text_of_an_answered_exercise_stands_below_the_answer_once() -> None:
    newer = lesson()
    cell_of(newer, "exercise-1-1")["source"] = STUB.replace("f()", "f(x)")
    first = updated(lambda mine: cell_of(mine, "exercise-1-1").update(source="def f(): return 1"), newer)
    answer, text = first.notebook["cells"][1:3]
    assert answer["source"] == "def f(): return 1"
    assert text["cell_type"] == "raw" and "def f(x):" in text["source"]
    assert len(first.notes) == 1 and "exercise-1-1" in first.notes[0]
    again = merge(first.notebook, record(lesson()), newer)  # cut off before the record was written
    assert again.notebook == first.notebook


def test_a_check_that_was_changed_or_deleted_comes_back_and_the_change_is_kept_below() -> None:
    changed = updated(lambda mine: cell_of(mine, "check-1-1").update(source="10.0"))
    assert sources(changed.notebook)[2:4] == [sources(lesson())[2], "10.0"]
    own = changed.notebook["cells"][3]
    assert own["metadata"] == {} and own["id"] != "check-1-1"
    assert updated(lambda mine: mine["cells"].pop(2)).notebook == lesson()


def test_a_check_whose_marks_were_taken_off_gets_them_back() -> None:
    assert updated(lambda mine: cell_of(mine, "check-1-1")["metadata"].clear()).notebook == lesson()


def test_cells_of_ones_own_stay_behind_the_cell_that_they_stood_behind() -> None:
    def add(mine: Notebook) -> None:
        mine["cells"].insert(4, code("mine()", "own"))
        mine["cells"].insert(0, prose("my title", "own-title"))

    newer = lesson(2)
    newer["cells"].insert(3, prose("new", "new"))
    assert sources(updated(add, newer).notebook) == [
        "my title",
        *sources(newer)[:5],
        "mine()",
        *sources(newer)[5:],
    ]


def test_an_experiment_that_both_changed_is_there_twice() -> None:
    merged = updated(lambda mine: cell_of(mine, "experiment").update(source="experiment(7)"), lesson(2))
    assert sources(merged.notebook)[3:5] == ["experiment(2)", "experiment(7)"]
    assert len(merged.notes) == 1


def test_an_experiment_that_only_the_student_changed_stays_as_they_left_it() -> None:
    def change(mine: Notebook) -> None:
        cell_of(mine, "experiment").update(source="experiment(7)", outputs=[{"output_type": "stream"}])

    (cell,) = [cell for cell in updated(change).notebook["cells"] if cell["id"] == "experiment"]
    assert cell["source"] == "experiment(7)" and cell["outputs"] == [{"output_type": "stream"}]


def test_an_answer_in_a_cell_that_is_no_code_any_more_is_kept_below_the_exercise() -> None:
    def change(mine: Notebook) -> None:
        mine["cells"][1] = prose("I think of a loop.", "exercise-1-1") | {"attachments": {"a.png": {}}}

    cells = updated(change).notebook["cells"]
    assert cells[1] == lesson()["cells"][1]
    assert cells[2]["source"] == "I think of a loop." and cells[2]["attachments"] == {"a.png": {}}


def test_what_the_release_no_longer_has_stays_where_the_student_changed_it() -> None:
    newer = lesson()
    del newer["cells"][1:4]

    def change(mine: Notebook) -> None:
        cell_of(mine, "exercise-1-1").update(source="def f(): return 1")

    assert sources(updated(change, newer).notebook) == ["# Lesson", "def f(): return 1", *sources(newer)[1:]]


def test_an_exercise_that_left_and_came_again_has_its_answer_again() -> None:
    without = notebook([cell for cell in lesson()["cells"] if not cell["id"].endswith("1-1")])

    def change(mine: Notebook) -> None:
        cell_of(mine, "exercise-1-1").update(source="def f(): return 1", outputs=[{"output_type": "stream"}])
        mine["cells"].insert(2, code("f()"))

    gone = updated(change, without)
    assert sources(gone.notebook)[1:3] == ["def f(): return 1", "f()"]
    (note,) = gone.notes
    assert note.startswith("exercise-1-1: it is not in this release; your answer stays")
    answer = cell_of(gone.notebook, "exercise-1-1")
    answer.update(source="def f(): return 2")  # it is the student's, also meanwhile
    back = merge(gone.notebook, record(without), lesson())
    assert sources(back.notebook) == ["# Lesson", "def f(): return 2", "f()", *sources(lesson())[2:]]
    assert cell_of(back.notebook, "exercise-1-1")["outputs"] == [{"output_type": "stream"}]
    assert is_solution(cell_of(back.notebook, "exercise-1-1")) and back.notes == ()


def test_a_cell_without_a_name_that_both_changed_is_there_twice_with_a_note_of_its_words() -> None:
    """Its id hangs on its text, so that the release's new text has another."""

    def with_text(kind: Callable[[str, str], dict[str, Any]], text: str, name: str) -> Notebook:
        return notebook([*lesson()["cells"][:1], kind(text, name), *lesson()["cells"][1:]])

    for kind in (prose, code):
        older = with_text(kind, "# How long is\na review? Longer than one may believe of it.", "29e4c5c9a1c5")
        newer = with_text(kind, "# How long is a tweet?", "0123456789ab")
        for text, called in (
            ("## As long as\nit takes to say what one thinks.", '"As long as it takes to say what one thin…"'),
            ("Mine.", '"Mine."'),
            ("", "a cell that you emptied"),
        ):
            mine = copy.deepcopy(older)
            cell_of(mine, "29e4c5c9a1c5").update(source=text)
            merged = merge(mine, record(older), newer)
            assert sources(merged.notebook)[:3] == ["# Lesson", text, "# How long is a tweet?"]
            assert merged.notes == (
                f"{called}: you had changed this cell, and the release has another or none; yours stays",
            )
            assert merge(merged.notebook, record(newer), newer).notes == ()


def test_new_ids_from_another_program_hide_neither_answer_nor_cell() -> None:
    def change(mine: Notebook) -> None:
        cell_of(mine, "exercise-1-1").update(source="def f(): return 1")
        for number, cell in enumerate(mine["cells"]):
            cell["id"] = f"new-{number}"

    merged = updated(change, lesson(2)).notebook
    assert [cell["id"] for cell in merged["cells"]] == [cell["id"] for cell in lesson()["cells"]]
    assert cell_of(merged, "exercise-1-1")["source"] == "def f(): return 1"
    assert sources(merged)[3] == "experiment(2)"


def test_a_notebook_without_ids_gets_them() -> None:
    def change(mine: Notebook) -> None:
        mine["nbformat_minor"] = 4
        mine["cells"].append(code("mine()"))
        for cell in mine["cells"]:
            del cell["id"]

    merged = updated(change).notebook
    assert merged["nbformat_minor"] == 5 and sources(merged) == [*sources(lesson()), "mine()"]
    assert len({cell["id"] for cell in merged["cells"]}) == 7


def test_a_copy_of_an_answer_is_no_second_exercise() -> None:
    def change(mine: Notebook) -> None:
        mine["cells"].insert(2, copy.deepcopy(mine["cells"][1]) | {"id": "pasted", "source": "def f(): return 2"})

    cells = updated(change).notebook["cells"]
    assert [is_solution(cell) for cell in cells[1:3]] == [True, False]
    assert cells[2]["source"] == "def f(): return 2"


def test_an_exercise_answered_after_an_update_that_was_cut_off_keeps_its_answer_in_its_place() -> None:
    newer = lesson()
    newer["cells"].append(graded(STUB, "exercise-1-3"))
    half_done = merge(lesson(), record(lesson()), newer).notebook
    cell_of(half_done, "exercise-1-3")["source"] = "def f(): return 3"
    merged = merge(half_done, record(lesson()), newer)
    assert sources(merged.notebook) == [*sources(lesson()), "def f(): return 3"]
    assert merged.notes == ()


def test_an_exercise_that_was_removed_comes_back_above_the_students_own_answer_with_a_note() -> None:
    def change(mine: Notebook) -> None:
        mine["cells"][1] = code("def f(): return 1", "own")
        mine["cells"].insert(1, code("import math", "own-too"))

    newer = lesson(2)
    newer["cells"].insert(1, prose("new", "new"))
    for release, first in ((lesson(), 1), (newer, 2)):
        merged = updated(change, release)
        assert sources(merged.notebook)[first : first + 3] == [STUB, "import math", "def f(): return 1"]
        assert [note.partition(":")[0] for note in merged.notes] == ["exercise-1-1"]
        assert "you had removed this cell" in merged.notes[0]
        assert merge(merged.notebook, record(release), release) == Merged(merged.notebook)


def test_a_new_text_stays_below_its_own_exercise_where_the_next_one_comes_back() -> None:
    def change(mine: Notebook) -> None:
        cell_of(mine, "exercise-1-1").update(source="def f(): return 1")
        del mine["cells"][2:5]

    newer = lesson()
    cell_of(newer, "exercise-1-1")["source"] = STUB.replace("f()", "f(x)")
    merged = updated(change, newer).notebook
    assert merged["cells"][2]["cell_type"] == "raw" and "def f(x):" in merged["cells"][2]["source"]


def test_an_exercise_that_is_new_brings_no_note_of_one_that_was_removed() -> None:
    newer = lesson()
    newer["cells"].append(graded(STUB, "exercise-1-3"))
    assert updated(lambda mine: None, newer).notes == ()


def test_the_students_kernel_and_the_newer_lessons_facts_are_kept() -> None:
    newer = lesson()
    newer["metadata"] = {"labkit": {"lesson": "01", "minutes": 50}, "kernelspec": {"name": "python3"}}

    def change(mine: Notebook) -> None:
        mine["metadata"].update(kernelspec={"name": "my-env"}, widgets={"state": 1})

    assert updated(change, newer).notebook["metadata"] == {
        "labkit": {"lesson": "01", "minutes": 50},
        "kernelspec": {"name": "my-env"},
        "widgets": {"state": 1},
    }


# Over random edits


patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # also where the machine is busy
TEXTS = st.sampled_from(["", "a", "b\n", "  c", "experiment(1)", STUB, "def f(): return 1", "😀", "half \ud83d"])


@st.composite
def edited(draw: st.DrawFn, original: Notebook, names: Iterator[str], release: bool) -> Notebook:
    """A notebook after some edits; a release keeps every cell's kind and its ids apart."""
    result = copy.deepcopy(original)
    cells = result["cells"]
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(cells)))
        action = draw(
            st.sampled_from(["change", "delete", "add", "move", *([] if release else ["retype", "copy", "rename"])])
        )
        if action == "add":
            new = graded if release and draw(st.booleans()) else code
            cells.insert(at, new(draw(TEXTS), next(names)))
        if not cells or action == "add":
            continue
        cell = cells[at % len(cells)]
        if action == "change":
            cell["source"] = draw(TEXTS)
        elif action == "delete":
            cells.remove(cell)
        elif action == "move":
            cells.remove(cell)
            cells.insert(draw(st.integers(0, len(cells))), cell)
        elif action == "retype":
            new = prose(cell["source"], cell["id"]) if cell["cell_type"] == "code" else code(cell["source"], cell["id"])
            cells[at % len(cells)] = new | {"metadata": cell["metadata"]}
        elif action == "copy":
            cells.insert(at, copy.deepcopy(cell))
        elif action == "rename":
            cell["id"] = draw(st.sampled_from(["", 7, "has space", "title", "exercise-1-2", next(names)]))
    return result


@st.composite
def situations(draw: st.DrawFn) -> tuple[Notebook, Notebook, Notebook]:
    """An older release, what a student made of it, and a newer release."""
    older = draw(edited(lesson(), (f"old-{n}" for n in itertools.count()), release=True))
    mine = draw(edited(older, (f"own-{n}" for n in itertools.count()), release=False))
    newer = draw(edited(older, (f"new-{n}" for n in itertools.count()), release=True))
    return older, mine, newer


def students(mine: Notebook, older: Notebook) -> "Counter[str]":
    """How often each text stands in a cell that is not a cell of the older release as it was."""
    released = Counter(map(cell_hash, older["cells"]))
    changed: Counter[str] = Counter()
    for cell in mine["cells"]:
        released[cell_hash(cell)] -= 1
        if released[cell_hash(cell)] < 0 and cell["source"].strip():
            changed[cell["source"].rstrip()] += 1
    return changed


@patiently
@given(situations())
def test_no_text_of_the_students_is_lost(situation: tuple[Notebook, Notebook, Notebook]) -> None:
    older, mine, newer = situation
    merged = merge(mine, record(older), newer).notebook
    there = Counter(cell["source"].rstrip() for cell in merged["cells"])
    lost = {text: n for text, n in students(mine, older).items() if there[text] < n}
    assert not lost


@patiently
@given(situations())
def test_all_of_the_release_is_there_in_its_order_with_its_checks_as_they_are(
    situation: tuple[Notebook, Notebook, Notebook],
) -> None:
    older, mine, newer = situation
    merged = merge(mine, record(older), newer).notebook
    released = {cell["id"]: cell for cell in newer["cells"]}
    kept = [cell for cell in merged["cells"] if cell["id"] in released]
    assert [cell["id"] for cell in kept] == list(released)
    for cell in kept:
        wanted = released[cell["id"]]
        assert is_check(cell) == is_check(wanted) and is_solution(cell) == is_solution(wanted)
        if is_check(wanted):
            assert (cell["source"].rstrip(), cell["metadata"]) == (wanted["source"].rstrip(), wanted["metadata"])
    assert not any(cell["metadata"] for cell in merged["cells"] if cell["id"] not in released)


@patiently
@given(situations())
def test_the_same_update_again_changes_nothing_also_where_the_first_was_cut_off(
    situation: tuple[Notebook, Notebook, Notebook],
) -> None:
    older, mine, newer = situation
    once = merge(mine, record(older), newer).notebook
    assert merge(once, record(newer), newer) == Merged(once)
    again = merge(once, record(older), newer).notebook
    gone = [cell for cell in once["cells"] if cell not in again["cells"]]
    assert [cell for cell in once["cells"] if cell not in gone] == again["cells"]
    assert {cell_hash(cell) for cell in gone} <= set(record(older).values()), "only copies of what the release gave up"


@patiently
@given(situations())
def test_what_comes_out_is_a_notebook_with_ids_of_their_own(situation: tuple[Notebook, Notebook, Notebook]) -> None:
    older, mine, newer = situation
    merged = merge(mine, record(older), newer).notebook
    ids = [cell["id"] for cell in merged["cells"]]
    assert len(set(ids)) == len(ids)
    assert parse_notebook(notebook_bytes(merged), "merged") == merged


@patiently
@given(situations())
def test_what_goes_in_is_left_as_it_was(situation: tuple[Notebook, Notebook, Notebook]) -> None:
    older, mine, newer = situation
    before = copy.deepcopy((mine, newer))
    merge(mine, record(older), newer)
    assert (mine, newer) == before


@patiently
@given(situations())
def test_the_same_notebooks_give_the_same_bytes(situation: tuple[Notebook, Notebook, Notebook]) -> None:
    older, mine, newer = situation
    once, again = (merge(mine, record(older), newer).notebook for _ in range(2))
    assert notebook_bytes(once) == notebook_bytes(again)
