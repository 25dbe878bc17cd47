"""Laws of the report page: it needs nothing beside itself, says all in words, and never shows half a run."""

import dataclasses
import errno
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import LabkitError, UsageError
from labkit.evaluation.intervals import score_table
from labkit.evaluation.metrics import EvalResult
from labkit.experiments.run_folder import REPORT_FILE, RESULTS_FILE, RUN_FILE, TEST_FILE, RunError
from labkit.report import page as report
from labkit.report.page import Picture, report_page, summary, write_report
from labkit.report.run_record import LONGEST_SHOWN, read_run
from labkit.training.loop import EpochRecord

FIGURES_OF_THE_ISSUE = ("learning_curves", "confusion_matrix", "reliability", "roc", "lengths")
NASTY = """<script>alert(1)</script></title></style>" onload="alert(2)' & {{ 7 * 7 }} <b>"""
VOID = {"meta", "img", "br", "link", "input", "hr"}
SAME_REMEDY = "--overwrite"


# --- a run's folder -----------------------------------------------------------------------------------------------


def make_record() -> dict:
    history = [
        EpochRecord(epoch, 0.6 / (epoch + 1), loss, 0.8, 1e-4 / (epoch + 1), loss < 0.5, 32, 61.5, 140.0)
        for epoch, loss in enumerate((0.45, 0.41, 0.52))
    ]
    return {
        "format": 1,
        "status": "finished",
        "history": [dataclasses.asdict(epoch) for epoch in history],
        "notices": ["533 neutral reviews left out"],
        "settings": {
            "model": "minilm",
            "epochs": 3,
            "learning_rate": None,
            "max_length": 128,
            "seed": 7,
            "dropout": None,
        },
        "resolved": {"learning_rate": 0.0001, "precision": "fp32", "micro_batch_size": 32},
        "data": {
            "name": "movies",
            "hash": "ab08bddf" * 8,
            "examples": {"train": 200, "validation": 40, "test": 60},
            "class_counts": {"train": [90, 110], "validation": [19, 21], "test": [31, 29]},
            "lengths": {"train": [5, 9, 40, 200], "validation": [8], "test": [7]},
        },
        "model": {"name": "minilm", "parameters": 22_713_986},
        "environment": {"python": "3.11.7", "device": "cpu", "packages": {"torch": "2.13.0"}},
        "test": {"examples": 60, "loss": 0.41, "accuracy": 0.75},
    }


def make_test(n: int = 60) -> dict:
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=n)
    evidence = generator.normal(size=n) + 1.2 * labels - 0.6
    result = EvalResult.from_logits(labels, np.stack([-evidence, evidence], axis=1))
    ids = [f"review-{number}" for number in range(n)]
    return {"ids": ids, "labels": labels.tolist(), "probabilities": result.probabilities.tolist()}


def make_results(rows: dict, p_value: float = 0.0004) -> dict:
    scores = score_table(EvalResult(rows["labels"], rows["probabilities"], 0.41, "minilm"), resamples=50)
    metrics = {
        name: {"value": score.value, "low": score.low, "high": score.high, "note": ""} for name, score in scores.items()
    }
    undefined = {"value": None, "low": None, "high": None, "note": "undefined: no example of class 1"}
    names = {"majority": 0.01, "TF-IDF": 0.7, "minilm": 184.5}
    return {
        "format": 1,
        "rows": [
            {
                "name": name,
                "n": 60,
                "seed": 7,
                "seconds": seconds,
                "metrics": metrics | ({"roc_auc": undefined} if name == "majority" else {}),
            }
            for name, seconds in names.items()
        ],
        "comparison": {
            "first": "minilm",
            "second": "TF-IDF",
            "only_first_right": 20,
            "only_second_right": 5,
            "difference": 0.25,
            "p_value": p_value,
            "text": "minilm is 25.0 points of accuracy above TF-IDF",
        },
        "confidently_wrong": [
            {
                "id": f"wrong-{rank}",
                "text": f"mistake {rank}",
                "label": "negative",
                "prediction": "positive",
                "confidence": 0.99,
            }
            for rank in range(10)
        ],
        "level": 0.95,
        "resamples": 50,
    }


def make_folder(folder: Path, *, results: bool = True, **changes: object) -> Path:
    """A finished run's folder; `changes` are to the top level of run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = make_test()
    write(folder / RUN_FILE, make_record() | changes)
    write(folder / TEST_FILE, rows)
    if results:
        write(folder / RESULTS_FILE, make_results(rows))
    return folder


def write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False), "utf-8")


def changed(folder: Path, name: str, change) -> Path:
    content = json.loads((folder / name).read_text("utf-8"))
    change(content)
    write(folder / name, content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "run")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For laws of the page's text: its pictures are not drawn, which takes most of the time."""
    stub = Picture("Title", "caption", "reading", "words", "data:image/svg+xml;base64,")
    monkeypatch.setattr(report, "pictures", lambda run: dict.fromkeys(FIGURES_OF_THE_ISSUE, stub))


# --- a page as its readers meet it --------------------------------------------------------------------------------


class Page(HTMLParser):
    """The elements of a page in order, each with its attributes, and the text that stands in each."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[list[str]] = []
        self.inside: list[int] = []
        self.declarations: list[str] = []
        self.feed(html)
        self.close()
        assert not self.inside, "every element is closed"

    def handle_decl(self, decl: str) -> None:
        self.declarations.append(decl)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.texts.append([])
        if tag not in VOID:
            self.inside.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        opened = self.inside.pop()
        assert self.elements[opened][0] == tag, f"</{tag}> closes <{self.elements[opened][0]}>"

    def handle_data(self, data: str) -> None:
        for element in self.inside:
            self.texts[element].append(data)

    def find(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    def text_of(self, *tags: str) -> list[str]:
        pairs = zip(self.elements, self.texts, strict=True)
        return [" ".join("".join(text).split()) for (tag, _), text in pairs if tag in tags]

    @property
    def text(self) -> str:
        return self.text_of("body")[0]


@pytest.fixture(scope="module")
def full_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(make_folder(tmp_path_factory.mktemp("full"))).read_text("utf-8")


@pytest.fixture(scope="module")
def lone_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run without the main job's results; its drawings are empty, its words are not."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(report.figures, "to_svg", lambda ax: "<svg/>")
        return report_page(make_folder(tmp_path_factory.mktemp("lone"), results=False))


@pytest.fixture(params=["full_page", "lone_page"])
def page(request: pytest.FixtureRequest) -> Page:
    return Page(request.getfixturevalue(request.param))


# --- laws ---------------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_but_itself(page):
    allowed = {"a": r"#[\w-]+|https://doi\.org/[\w./]+", "img": "data:image/svg\\+xml;base64,[A-Za-z0-9+/=]+"}
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"):
            if name in attributes:
                assert re.fullmatch(allowed.get(tag, "nowhere"), attributes[name])
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"@import|url\(", page.text_of("style")[0])
    policy = next(meta["content"] for meta in page.find("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def with_every_string(content: object, suffix: str) -> object:
    if isinstance(content, dict):
        return {name: with_every_string(value, suffix) for name, value in content.items()}
    if isinstance(content, list):
        return [with_every_string(value, suffix) for value in content]
    return content + suffix if isinstance(content, str) and content != "finished" else content


@pytest.mark.parametrize("results", [True, False])
def test_no_text_of_the_folder_becomes_markup(tmp_path, monkeypatch, results):
    monkeypatch.setattr(report.figures, "to_svg", lambda ax: "<svg/>")
    pages = []
    for suffix in ("harmless", NASTY):
        folder = make_folder(tmp_path / str(len(pages)), results=results)
        for file in folder.glob("*.json"):
            write(file, with_every_string(json.loads(file.read_text("utf-8")), suffix))
        pages.append(Page(report_page(folder)))
    harmless, nasty = pages
    assert [(tag, sorted(attributes)) for tag, attributes in nasty.elements] == [
        (tag, sorted(attributes)) for tag, attributes in harmless.elements
    ]
    shown = " ".join(NASTY.split())
    assert nasty.text.count(shown) == harmless.text.count("harmless") > 20


def test_every_picture_says_in_words_what_it_shows(page):
    pictures = page.find("img")
    assert len(pictures) == len(page.find("figure")) == len(page.text_of("figcaption")) == len(FIGURES_OF_THE_ISSUE)
    for picture, caption in zip(pictures, page.text_of("figcaption"), strict=True):
        assert re.search(r"\d", picture["alt"])
        assert " ".join(picture["alt"].split()) in caption
    assert not page.find("svg", "canvas", "video", "object")


def test_every_figure_of_the_issue_is_on_the_page_with_n_or_interval(page):
    assert {figure["id"] for figure in page.find("figure")} == {f"figure-{name}" for name in FIGURES_OF_THE_ISSUE}
    words = {picture["alt"].split()[0] for picture in page.find("img")}
    assert words == {"Validation", "Confusion", "Reliability", "ROC", "Histogram"}
    assert all(re.search(r"n\s=\s\d|\[\d", caption) for caption in page.text_of("figcaption"))


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(full_page, tmp_path):
    assert write_report(make_folder(tmp_path / "else" / "where")).read_text("utf-8") == full_page


def test_the_page_is_written_beside_the_run_whole_or_not_at_all(folder, undrawn, monkeypatch):
    assert write_report(folder) == folder / REPORT_FILE
    before = (folder / REPORT_FILE).read_bytes()

    def disk_full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(report, "write_atomically", disk_full)
    with pytest.raises(LabkitError, match=r"report\.html: .*No space left") as failure:
        write_report(folder)
    assert failure.value.exit_code == 1
    assert (folder / REPORT_FILE).read_bytes() == before
    assert sorted(file.name for file in folder.iterdir()) == [REPORT_FILE, RESULTS_FILE, RUN_FILE, TEST_FILE]


def test_the_table_holds_every_score_with_its_interval_n_and_seed(full_page, folder):
    page, run = Page(full_page), read_run(folder)
    table = page.text_of("table")[0]
    for model in run.table.models:
        assert model.name in table
        for metric, score in model.scores.items():
            shown = f"{score.value:.3f} {score.low:.3f} to {score.high:.3f}"
            assert (shown in table) or (model.name == "majority" and metric == "roc_auc" and "undefined" in table)
    assert {"Test reviews, n606060", "Seed777", "Training took< 0.1 s0.7 s3 min 4 s"} <= set(page.text_of("tr"))
    assert "95% interval (percentile bootstrap, 50 resamples)" in table
    assert "majority, roc_auc: undefined: no example of class 1" in page.text


def test_without_the_main_job_the_page_shows_what_the_run_has(lone_page, tmp_path):
    page, run = Page(lone_page), read_run(make_folder(tmp_path / "run", results=False))
    expected = score_table(run.test)
    assert f"{expected.accuracy.value:.3f} {expected.accuracy.low:.3f} to {expected.accuracy.high:.3f}" in page.text
    assert "No baseline was tested beside it" in page.text
    wrong = [run.table.mistakes[rank].id for rank in range(10)]
    assert all(f"Review {review}" in page.text for review in wrong)
    order = np.argsort(-run.test.confidences, kind="stable")
    ids = make_test()["ids"]
    assert wrong == [ids[index] for index in order if not run.test.correct[index]][:10]


def test_a_model_without_a_mistake_is_said_to_have_none(tmp_path, undrawn):
    folder = make_folder(tmp_path / "run", results=False)
    write(folder / TEST_FILE, {"ids": ["a", "b"], "labels": [0, 1], "probabilities": [[0.9, 0.1], [0.2, 0.8]]})
    assert "It got every test review right." in Page(report_page(folder)).text


@pytest.mark.parametrize(
    ("difference", "p_value", "said"),
    [
        (0.25, 0.0004, ["25.0 points above the baseline TF-IDF", "the difference is real (p < 0.001, McNemar)"]),
        (-0.25, 0.049, ["25.0 points below the baseline TF-IDF", "the difference is real (p = 0.049, McNemar)"]),
        (0.01, 0.05, ["1.0 points above", "not shown to be real (p = 0.050, McNemar)"]),
        (0.0, 1.0, ["level with the baseline TF-IDF", "not shown to be real (p = 1.000, McNemar)"]),
    ],
)
def test_the_summary_says_whether_luck_explains_the_difference(folder, difference, p_value, said):
    changed(folder, RESULTS_FILE, lambda results: results["comparison"].update(difference=difference, p_value=p_value))
    run = read_run(folder)
    words = " ".join(summary(run))
    accuracy = run.table.models[-1].scores["accuracy"]
    assert all(part in words for part in said)
    assert f"{accuracy.value:.1%} of 60 test reviews" in words
    assert f"(95% interval {accuracy.low:.1%} to {accuracy.high:.1%})" in words
    assert "Of the 25 reviews that only one of the two gets right, minilm has 20 and TF-IDF 5" in words


def test_the_ten_mistakes_stand_there_and_a_long_one_says_how_much_is_left_out(folder, undrawn):
    text = "a" * (LONGEST_SHOWN + 1234)
    changed(folder, RESULTS_FILE, lambda results: results["confidently_wrong"][0].update(text=text))
    page = Page(report_page(folder))
    quotes = page.text_of("blockquote")
    assert quotes[0] == "a" * LONGEST_SHOWN + " … (1,234 more characters)"
    assert quotes[1:] == [f"mistake {rank}" for rank in range(1, 10)]
    assert all(attributes["dir"] == "auto" for attributes in page.find("blockquote"))


def test_a_text_that_is_no_valid_unicode_does_not_stop_the_page(folder, undrawn):
    changed(folder, RUN_FILE, lambda run: run["notices"].append("broken"))
    (folder / RUN_FILE).write_text(
        (folder / RUN_FILE).read_text("utf-8").replace("broken", r"half \ud83d emoji"), "utf-8"
    )
    assert "half ? emoji" in write_report(folder).read_text("utf-8")


def test_settings_notices_environment_and_data_are_all_there(full_page):
    page, record = Page(full_page), make_record()
    rows = page.text_of("tr")
    for name, value in record["settings"].items():
        assert any(row.startswith(name) and (value is None or row.endswith(str(value))) for row in rows)
    assert "learning_ratenot set → 0.0001" in rows
    assert "dropoutnot set" in rows
    assert "torch2.13.0" in rows
    assert "train20090110" in rows
    assert record["data"]["hash"] in page.text
    assert record["notices"][0] in page.text_of("li")


@pytest.mark.parametrize(("name", "links"), [("movies", 2), ("products", 1), ("mine.csv", 0)])
def test_the_data_are_cited_where_they_are_others_work(tmp_path, undrawn, name, links):
    folder = make_folder(tmp_path / "run", data=make_record()["data"] | {"name": name})
    found = [link["href"] for link in Page(report_page(folder)).find("a") if not link["href"].startswith("#")]
    assert len(found) == links
    assert all(link.startswith("https://doi.org/10.") for link in found)


# --- a page for everyone ------------------------------------------------------------------------------------------


def test_headings_tables_regions_and_links_serve_a_screen_reader_and_a_keyboard(page):
    assert page.declarations == ["doctype html"]
    assert page.find("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert all(heading["scope"] in ("row", "col") for heading in page.find("th"))
    assert len(page.find("table")) == len([text for text in page.text_of("caption") if text])
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = [
        attributes[name] for _, attributes in page.elements for name in ("aria-labelledby",) if name in attributes
    ]
    references += [link["href"][1:] for link in page.find("a") if link["href"].startswith("#")]
    assert set(references) <= set(ids)
    scrolled = [attributes for attributes in page.find("div") if attributes.get("class") == "scroll"]
    assert scrolled
    assert all(region["tabindex"] == "0" and region["role"] == "region" for region in scrolled)


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_every_ink_stands_out_from_every_ground_in_light_and_dark(full_page):
    palettes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", full_page, re.DOTALL)
    ]
    light, dark = (palette for palette in palettes if len(palette) == 7)
    for palette in (light, dark):
        for ground in ("paper", "raised"):
            for ink in ("ink", "soft", "accent", "wrong"):
                darker, lighter = sorted((luminance(palette[ink]), luminance(palette[ground])))
                assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground)


# --- what is refused ----------------------------------------------------------------------------------------------


def refusal(folder: Path) -> str:
    """The error's text; no page may have been written, and none that stood there may have changed."""
    there = folder.is_dir()
    if there:
        (folder / REPORT_FILE).write_text("an older page")
    with pytest.raises(RunError) as failure:
        write_report(folder)
    assert issubclass(RunError, UsageError)
    assert failure.value.exit_code == 2
    assert not there or (folder / REPORT_FILE).read_text() == "an older page"
    return str(failure.value)


def test_a_folder_that_is_not_there_and_one_without_a_run_are_named(tmp_path):
    assert f"{tmp_path / 'nowhere'}: no such folder" in refusal(tmp_path / "nowhere")
    assert f"{tmp_path} holds no finished run (run.json is missing)" in refusal(tmp_path)


def test_given_the_model_folder_it_points_to_the_folder_above(folder):
    (folder / "model").mkdir()
    assert "did you mean the folder above it?" in refusal(folder / "model")


def test_an_unfinished_run_says_what_is_missing_and_how_to_go_on(tmp_path):
    folder = make_folder(tmp_path / "run", status="running", history=make_record()["history"][:1])
    text = refusal(folder)
    assert f"{folder / RUN_FILE} holds no finished run: 1 of at most 3 epochs are done" in text
    assert "the command that began it, given again, goes on with it" in text


def test_a_finished_run_without_its_test_file_is_refused_with_the_way_out(folder):
    (folder / TEST_FILE).unlink()
    text = refusal(folder)
    assert f"{folder / TEST_FILE} is missing" in text
    assert SAME_REMEDY in text


@pytest.mark.parametrize("name", [RUN_FILE, TEST_FILE, RESULTS_FILE])
@pytest.mark.parametrize(
    "content", [b"", b'{"format": 1, "st', b"[1, 2]", b"null", b"\xff\xfe{}", b'{"format": 2}', b"{}"]
)
def test_a_broken_file_is_named_with_the_way_out(folder, name, content):
    (folder / name).write_bytes(content)
    text = refusal(folder)
    assert str(folder / name) in text
    assert ("labkit lab --output" if name == RESULTS_FILE else SAME_REMEDY) in text


def paths(content: object, so_far: tuple = ()) -> list[tuple]:
    """The path of every value in plain data, of lists the first element only."""
    if isinstance(content, dict):
        return [so_far, *(path for name, value in content.items() for path in paths(value, (*so_far, name)))]
    if isinstance(content, list) and content:
        return [so_far, *paths(content[0], (*so_far, 0))]
    return [so_far]


@pytest.mark.parametrize("name", [RUN_FILE, TEST_FILE, RESULTS_FILE])
def test_a_file_with_any_one_value_gone_wrong_gives_a_page_or_an_error_that_names_it(folder, undrawn, name):
    whole = (folder / name).read_text("utf-8")
    shown, refusals = 0, []
    for path in paths(json.loads(whole))[1:]:
        for wrong in (None, ["wrong"]):
            content = parent = json.loads(whole)
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = wrong
            write(folder / name, content)
            try:
                shown += report_page(folder).startswith("<!doctype html>")
            except RunError as error:
                refusals.append(str(error))
    assert all(str(folder / name) in text for text in refusals)
    assert shown
    assert len(refusals) > 10
