"""A newer notebook and a student's copy of the older one, merged by cell: nothing that the student wrote goes.

Pure: notebooks in, a notebook and notes out. The newer notebook gives the order; into it go the answers, every cell that
the student changed and every cell that is the student's own, each where it stood among its neighbours. Cells that the
student removed come back. What is unchanged is told by the hashes that were recorded when the copy was made.
"""

import copy
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.course.notebooks import Cell, Notebook, cell_hash, grader, is_check, is_solution

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what the notebook format takes for an id
_UNNAMED = re.compile(r"[0-9a-f]{12}")  # the id of a cell that its author gave no name
_RESULTS = ("outputs", "execution_count")  # of code alone
_HEADING = "The release has a new text for the exercise above; your answer stayed as it was. The new text:\n\n"


@dataclass(frozen=True)
class Merged:
    """The merged notebook, and a sentence for every cell that both sides had changed."""

    notebook: Notebook
    notes: tuple[str, ...] = ()


@dataclass
class _Place:
    """One cell of the new notebook on its way: as it came or the student's in its stead, and what was made of it.

    following: the student's own cells that stood behind it.
    """

    cell: Cell
    made_of_it: list[Cell] = field(default_factory=list)
    following: list[Cell] = field(default_factory=list)


def record(notebook: Notebook) -> dict[str, str]:
    """By cell id, the hash by which a later merge tells whether a student changed the cell."""
    return {cell["id"]: cell_hash(cell) for cell in notebook["cells"]}


def merge(mine: Notebook, recorded: Mapping[str, str], newer: Notebook) -> Merged:
    """The newer notebook with all that is the student's in it; the same notebooks give the same.

    mine: the student's notebook. recorded: `record` of the notebook that it began as.
    """
    places = {cell["id"]: _Place(copy.deepcopy(cell)) for cell in newer["cells"]}
    opening = _Place({})  # for the student's cells above the first that is in the newer notebook
    notes: list[str] = []
    has = set(map(cell_hash, mine["cells"]))
    place = opening
    known_as = _known_as(mine["cells"], recorded, places)
    for cell, known in zip(mine["cells"], known_as, strict=True):
        if known in places:
            place = places[known]
            place.made_of_it += _meet(place, cell, recorded.get(known), has, notes)
        elif recorded.get(known) != cell_hash(cell):
            place.following.append(_own(cell))
            if known and is_solution(cell):
                notes.append(
                    f"{known}: it is not in this release; your answer stays below, and counts again when it is back"
                )
            elif known:
                notes.append(
                    f"{_called(known, cell)}: you had changed this cell, and the release has another or none; yours stays"
                )
    notes += _exercises_back(opening, places, set(known_as), recorded)
    used = set(places)
    cells = [_with_id(cell, used) for cell in opening.following]
    for place in places.values():
        cells += [place.cell, *(_with_id(cell, used) for cell in (*place.made_of_it, *place.following))]
    lesson = {key: value for key, value in newer["metadata"].items() if key == "labkit"}
    metadata = {**newer["metadata"], **mine["metadata"], **lesson}  # the student's kernel stays theirs
    minor = max(int(mine.get("nbformat_minor", 0)), int(newer["nbformat_minor"]))
    return Merged({**newer, "cells": cells, "metadata": metadata, "nbformat_minor": minor}, tuple(notes))


def _exercises_back(
    opening: _Place, places: Mapping[str, _Place], present: set[str], recorded: Mapping[str, str]
) -> list[str]:
    """Put an exercise that the student had removed above their own cells in its gap, one of which may answer it.

    Below them its stub would take the answer's name. A note for each, since an answer may stand further up.
    """
    notes = []
    before = opening  # the last place, in the newer order, that the student's notebook has too
    for name, place in places.items():
        if name in recorded and name not in present and is_solution(place.cell):
            place.following, before.following, before = before.following, [], place
            notes.append(
                f"{name}: you had removed this cell, and it is back; an answer counts in it or in a cell below it"
            )
        elif name in present:
            before = place
    return notes


def _known_as(mine: Sequence[Cell], recorded: Mapping[str, str], places: Mapping[str, _Place]) -> list[str]:
    """The ids under which the course knows the student's cells; empty for a cell of the student's own.

    A cell is known by its id; where a program wrote new ids, an answer by its exercise and others by what is in them. An
    exercise that no record has is known too: an update that was cut off brought it, and it may have been answered since.
    """
    left = dict.fromkeys([*recorded, *places])
    known = [_claimed(left, cell.get("id"), cell, recorded, places) for cell in mine]
    for number, cell in enumerate(mine):
        known[number] = known[number] or _claimed(left, grader(cell).get("grade_id"), cell, recorded, places)
    for number, cell in enumerate(mine):
        if not known[number]:
            same = next((name for name in left if recorded.get(name) == cell_hash(cell)), "")
            known[number] = _claimed(left, same, cell, recorded, places)
    return known


def _claimed(
    left: dict[str, None], name: Any, cell: Cell, recorded: Mapping[str, str], places: Mapping[str, _Place]
) -> str:
    """The name, taken out of those that are left, if it is one and means this cell; else the empty string.

    Where no record has it, it may be the newer cell itself, as it came or answered, for an earlier update was cut off; or an
    answer whose exercise had left the course, and is back.
    """
    if not isinstance(name, str) or name not in left:
        return ""
    if name not in recorded:
        newer = places[name].cell
        is_answer = is_solution(cell) or (cell["cell_type"] == "code" and cell.get("id") == name)
        if not (cell_hash(newer) == cell_hash(cell) or (is_solution(newer) and is_answer)):
            return ""
    del left[name]
    return name


def _meet(place: _Place, mine: Cell, recorded: str | None, has: set[str], notes: list[str]) -> Iterable[Cell]:
    """Put the student's cell and the newer one together; what has to follow the place is returned.

    has: hashes of the student's cells, so that an update that was cut off and comes again adds nothing twice.
    """
    newer = place.cell
    if cell_hash(mine) == cell_hash(newer):
        place.cell = _with_outputs(newer, mine)
        return ()
    if cell_hash(mine) == recorded:
        return ()
    untouched_by_release = recorded in (None, cell_hash(newer))
    if is_solution(newer) and mine["cell_type"] == "code":
        place.cell = _with_outputs(newer | {"source": mine["source"]}, mine)  # with the marks that nbgrader needs
        if untouched_by_release:
            return ()
        notes.append(f"{newer['id']}: your answer is kept; the release's new text for it stands below as plain text")
        text = {"cell_type": "raw", "id": newer["id"], "metadata": {}, "source": _HEADING + newer["source"]}
        return () if cell_hash(text) in has else (text,)
    if untouched_by_release and not (is_check(newer) or is_solution(newer)):
        place.cell = _own(mine) | {"id": newer["id"]}  # as the student left it, type included
        return ()
    notes.append(
        f"{_called(newer['id'], newer)}: the release's cell is back or new; what you had made of it stands below"
    )
    return (_own(mine),)


def _called(name: str, cell: Cell) -> str:
    """What a student can find a cell by: the id that its author gave, else the words with which it begins."""
    if not _UNNAMED.fullmatch(name):
        return name
    words = " ".join(cell["source"].split()).lstrip("#*>- ")
    return f'"{words[:40].rstrip()}…"' if len(words) > 40 else f'"{words}"' if words else "a cell that you emptied"


def _with_outputs(cell: Cell, mine: Cell) -> Cell:
    """The cell with what the student's showed, where both are code."""
    shown = mine if mine["cell_type"] == "code" else {}
    fields = {"outputs": shown.get("outputs", []), "execution_count": shown.get("execution_count")}
    return cell | (fields if cell["cell_type"] == "code" else {})


def _own(cell: Cell) -> Cell:
    """A cell as the student's own: without nbgrader's marks, free to edit and delete."""
    marks = ("nbgrader", "deletable", "editable")
    own = cell | {"metadata": {key: value for key, value in cell["metadata"].items() if key not in marks}}
    return _with_outputs({key: value for key, value in own.items() if key not in _RESULTS}, cell)


def _with_id(cell: Cell, used: set[str]) -> Cell:
    """The cell with an id that no cell before it has: its own where it can stay, else one that hangs on its content."""
    name: Any = cell.get("id")
    numbers = itertools.count()
    while not isinstance(name, str) or not _ID.fullmatch(name) or name in used:
        name = hashlib.sha256(f"{cell_hash(cell)}\0{next(numbers)}".encode()).hexdigest()[:12]
    used.add(name)
    return cell | {"id": name}
