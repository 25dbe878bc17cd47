"""The lessons as web pages: solution notebooks executed in the course's environment, published as HTML with an index.

Widgets become the still pictures that they carry for this. A page loads nothing from elsewhere but the script that sets
formulas, and that only where it has any.
"""

import html
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labkit.checks.courses import PROFILE, Course
from labkit.course.lint import pictures_without_alt
from labkit.course.notebooks import LESSON_NAME, PAGE, Notebook, about_of, read_notebook, time_needed
from labkit.course.running import run_notebook
from labkit.errors import LabkitError, UsageError, missing_extra
from labkit.files import atomic_folder, write_atomically

GENERATOR = '<meta name="generator" content="labkit course pages">'
CELL_SECONDS = 300
_MARK_LINES = re.compile(r"^[ \t]*### (BEGIN|END) SOLUTION[^\n]*\n?", re.MULTILINE)
_LESSON_LINK = re.compile(r"\]\((\d\d_\w+)\.ipynb\)")


def publish(
    course: Course, folder: Path, profile: str | None = None, tell: Callable[[str], None] = print
) -> list[Path]:
    """Execute every solution notebook and write its page and an index; the paths.

    profile: in place of the one in the course's own environment, where its lessons have profiles.
    Raises UsageError where there is no notebook or no nbconvert, or where the folder holds anything but earlier pages,
    LabkitError where a notebook fails or shows a picture that has no text alternative. Pages that stood there stay until all
    new ones are made.
    """
    index = folder / "index.html"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):  # the whole folder is replaced
        ours = index.is_file() and GENERATOR in index.read_text("utf-8", "replace")
        if not ours or any(path.suffix != ".html" for path in folder.iterdir()):
            raise UsageError(
                f"{folder} holds something else than pages of the course; wanted a new folder, or that of earlier pages"
            )
    paths = [path for path in sorted(course.solutions.glob("*.ipynb")) if LESSON_NAME.fullmatch(path.stem)]
    if not paths:
        raise UsageError(f"{course.solutions} has no notebooks; labkit course build makes them")
    export = _exporter()
    environment = {**course.surroundings(), **course.environment, **({PROFILE: profile} if profile else {})}
    with atomic_folder(folder.absolute()) as new:
        for path in paths:
            tell(f"{path.stem}: running")
            write_atomically(new / f"{path.stem}.html", export(_executed(path, environment, paths)))
        write_atomically(new / "index.html", _index(paths, course.title, environment.get(PROFILE)))
    return [folder / f"{path.stem}.html" for path in paths] + [folder / "index.html"]


def _executed(path: Path, environment: Mapping[str, str], paths: list[Path]) -> Notebook:
    """A lesson that ran, as it is to be shown: in an empty folder, so that it shows nobody's predictions."""
    notebook = read_notebook(path)
    for cell in notebook["cells"]:  # before the run: a check shows the answer's own source again
        cell["source"] = _MARK_LINES.sub("", cell["source"])
    with tempfile.TemporaryDirectory() as empty:
        run = run_notebook(notebook, Path(empty), CELL_SECONDS, environment)
    if run.trouble:
        raise LabkitError(f"{path.name} did not run: {run.trouble}")
    silent = pictures_without_alt(run.notebook)
    if silent:
        raise LabkitError(f"{path.name}: {silent[0]}")
    return shown(run.notebook, {each.stem for each in paths})


def shown(notebook: Notebook, lessons: set[str]) -> Notebook:
    """The executed notebook for readers: stills instead of widgets, links to pages. lessons: those that have one."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            pages = _LESSON_LINK.sub(
                lambda link: f"]({link[1]}.html)" if link[1] in lessons else link[0], cell["source"]
            )
            cell["source"] = pages.replace(f"]({PAGE})", "](index.html)")
    notebook["metadata"].pop("widgets", None)  # without its state nbconvert shows what else a widget carries: the still
    return notebook


def _exporter() -> Callable[[Notebook], str]:
    """From an executed notebook to the text of its page."""
    try:
        from nbconvert.exporters import HTMLExporter
    except ImportError:
        raise missing_extra("publishing pages", "nbconvert", "lab") from None
    import nbformat

    def export(notebook: Notebook) -> str:
        nowhere = dict.fromkeys(("require_js_url", "jquery_url", "mermaid_js_url", "widget_renderer_url"), "")
        exporter = HTMLExporter(embed_images=True, **nowhere)
        if not any("$" in cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown"):
            exporter.mathjax_url = ""  # there are no formulas
        title = _title(notebook)
        resources: dict[str, Any] = {"metadata": {"name": title}}
        page, _ = exporter.from_notebook_node(nbformat.from_dict(notebook), resources)
        return str(page)

    return export


def _title(notebook: Notebook) -> str:
    about = about_of(notebook)
    return f"{about.get('lesson', '')} {about.get('title', 'Lesson')}".strip()


def _index(paths: list[Path], course: str, profile: str | None) -> str:
    rows = []
    for path in paths:
        notebook = read_notebook(path)
        time = time_needed(about_of(notebook))
        title = html.escape(_title(notebook))
        rows.append(f'<li><a href="{path.stem}.html">{title}</a>, {html.escape(time)}</li>')
    under = f", run under the {profile} profile" if profile else ""
    facts = {"title": html.escape(course), "under": html.escape(under), "rows": "\n".join(rows)}
    return _INDEX.format(generator=GENERATOR, **facts)


_INDEX = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{generator}
<title>{title}: the lessons</title>
<style>body{{font:18px/1.5 system-ui,sans-serif;max-width:40em;margin:2em auto;padding:0 1em}}</style>
<h1>{title}: the lessons</h1>
<p>Each page is a lesson with its solutions{under}. To do the exercises yourself and to play with
what is a still picture here, open the notebooks.</p>
<ol start="0">
{rows}
</ol>
</html>
"""
