"""The lab's main job: fine-tune on the movie reviews, beside two baselines.

Writes `results.json` beside the run: the table that the terminal shows and the report page draws.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labkit.data.reviews import CLASS_NAMES, Reviews, movie_reviews
from labkit.display import Tell, text_table
from labkit.evaluation.baselines import majority, tfidf
from labkit.evaluation.comparison import McNemar, mcnemar
from labkit.evaluation.intervals import Scores, score_table
from labkit.evaluation.metrics import EvalResult, confidently_wrong
from labkit.experiments.fine_tuning import FineTuned, fine_tune, finished_run
from labkit.experiments.run_folder import FORMAT, RESULTS_FILE
from labkit.files import write_atomically
from labkit.training.config import Config

BASELINE = "TF-IDF"
WRONG_SHOWN = 10  # the surest mistakes, here and on the page
LUCK = 0.05  # a p-value from here on is called luck


def main_job(
    config: Config, folder: Path, *, overwrite: bool = False, progress: bool = True, tell: Tell = print
) -> dict[str, Any]:
    """Train, test beside the baselines, and write the results.

    A run that is finished already is only compared again. Raises what `fine_tune` raises.
    """
    reviews = movie_reviews(config.neutral_band)
    run = None if overwrite else finished_run(folder, config, reviews)
    if run is None:
        run = fine_tune(config, reviews, folder, overwrite=overwrite, progress=progress, tell=tell)
    else:
        tell(f"{folder} holds this run already, finished: --overwrite trains it again")
    results = compare_with_baselines(run, config.seed)
    write_atomically(folder / RESULTS_FILE, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return results


def compare_with_baselines(run: FineTuned, seed: int) -> dict[str, Any]:
    """Score the majority class, TF-IDF and the model on the same test reviews.

    McNemar's test compares the last two.
    """
    timed = [
        _timed(lambda: majority(run.splits.train, run.splits.test)),
        _timed(lambda: tfidf(run.splits.train, run.splits.test, seed)),
    ]
    baseline = dataclasses.replace(timed[1][0], name=BASELINE)
    results = [timed[0][0], baseline, run.test]
    seconds = [timed[0][1], timed[1][1], sum(epoch.seconds for epoch in run.history)]
    scores = [score_table(result, seed=seed) for result in results]
    rows = [
        {"name": table.name, "n": table.n, "seed": seed, "seconds": round(spent, 2), "metrics": scores_as_json(table)}
        for table, spent in zip(scores, seconds, strict=True)
    ]
    test = mcnemar(run.test.labels, run.test.predictions, baseline.predictions)
    return {
        "format": FORMAT,
        "rows": rows,
        "comparison": _comparison(test, run.test.name, BASELINE),
        "confidently_wrong": most_confidently_wrong(run.test, run.splits.test),
        "level": scores[0].level,
        "resamples": scores[0].resamples,
    }


def most_confidently_wrong(result: EvalResult, reviews: Reviews, count: int = WRONG_SHOWN) -> list[dict[str, Any]]:
    """The reviews that the model got wrong while it was surest, the surest first."""
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(result.probabilities), np.finfo(np.float32).min)
    wrong = confidently_wrong(logits, result.labels, threshold=0.0)[:count]
    return [
        {
            "id": reviews.ids[index],
            "text": reviews.texts[index],
            "label": CLASS_NAMES[int(result.labels[index])],
            "prediction": CLASS_NAMES[int(result.predictions[index])],
            "confidence": float(result.confidences[index]),
        }
        for index in wrong
    ]


def results_as_text(results: Mapping[str, Any]) -> str:
    """Show the results in a terminal: the table, the comparison, the surest mistakes."""
    rows: Sequence[Mapping[str, Any]] = results["rows"]
    first = rows[0]
    lines = [f"Test split, n = {first['n']:,}, seed {first['seed']}, {results['level']:.0%} bootstrap intervals", ""]
    heads = ["", *(row["name"][:21] for row in rows)]
    scores = [[metric, *(_score_text(**row["metrics"][metric]) for row in rows)] for metric in first["metrics"]]
    lines.append(text_table([heads, *scores], ["<10", *["<22"] * len(rows)], gap=""))
    lines += ["", results["comparison"]["text"], "", f"The {len(results['confidently_wrong'])} surest mistakes:"]
    for wrong in results["confidently_wrong"]:
        lines.append(
            f"  {wrong['confidence']:.3f} {wrong['prediction']}, but people said {wrong['label']}: {wrong['text']}"
        )
    return "\n".join(lines)


def _score_text(value: float | None, low: float, high: float, note: str) -> str:
    return "undefined" if value is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def scores_as_json(scores: Scores) -> dict[str, Any]:
    """A table of scores as plain data; an undefined value is null."""
    return {metric: score.as_json() for metric, score in scores.items()}


def _comparison(test: McNemar, first: str, second: str) -> dict[str, Any]:
    real = "real" if test.p_value < LUCK else "no more than chance may give"
    better, worse = (first, second) if test.difference >= 0 else (second, first)
    p = f"{test.p_value:.2g}"
    text = (
        f"{better} is {abs(test.difference) * 100:.1f} points of accuracy above {worse}: {real} "
        f"(McNemar's exact test, p = {p}; only {first} right {test.only_a_right}, only {second} right {test.only_b_right})"
    )
    return {
        "first": first,
        "second": second,
        "only_first_right": test.only_a_right,
        "only_second_right": test.only_b_right,
        "difference": test.difference,
        "p_value": test.p_value,
        "text": text,
    }


def _timed(work: Callable[[], EvalResult]) -> tuple[EvalResult, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started
