"""Five folds of MiniLM on 2,000 movie reviews, beside TF-IDF on the same folds.

    python reference/cross_validation.py --jobs 2

The reviews are a fixed part of the training split, so the test split stays untouched. Writes `cross_validation.json` and
`cross_validation.svg` beside itself. The folds lie in the work folder: the same command goes on after a kill, and reads
what is finished.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any


def main() -> None:
    from labkit.data.reviews import movie_reviews
    from labkit.data.splits import split_reviews
    from labkit.experiments.fine_tuning import environment
    from labkit.experiments.folds import compare_folds, cross_validate
    from labkit.figures import repeated_scores, to_svg
    from labkit.lessons.profiles import profile_settings
    from labkit.training.config import Config

    arguments = _parser().parse_args()
    config = Config().replaced(profile_settings("laptop") | {"seed": arguments.seed})
    reviews = split_reviews(movie_reviews(config.neutral_band), config.seed, train_examples=arguments.reviews).train
    started = time.monotonic()
    found = cross_validate(config, reviews, arguments.work, arguments.folds, jobs=arguments.jobs)
    seconds = time.monotonic() - started
    baseline = tfidf_over_folds(config, reviews, arguments.folds)
    difference = compare_folds(found, baseline)
    print(f"{found}\n\n{baseline}\n\n{found.name} minus {baseline.name}, accuracy: {difference}")
    report = {
        "seed": config.seed,
        "epochs": config.epochs,
        "jobs": arguments.jobs,
        "seconds_of_this_call": round(seconds, 1),
        "data_hash": reviews.hash,
        "environment": environment(config.precision),
        "models": [found.as_json(), baseline.as_json()],
        "difference": {
            "mean": difference.mean.as_json(),
            "p_value": difference.p_value,
            "naive_p_value": difference.naive_p_value,
        },
    }
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    picture = arguments.output.with_suffix(".svg")
    picture.write_text(to_svg(repeated_scores(found)) + "\n", "utf-8")
    print(f"written to {arguments.output} and {picture}")


def tfidf_over_folds(config: Any, reviews: Any, k: int) -> Any:
    """The baseline, trained and tested on the same reviews of each fold."""
    from labkit.evaluation.baselines import tfidf
    from labkit.experiments.folds import CrossValidation, Repetition, fold_splits

    repetitions = []
    for fold, splits in enumerate(fold_splits(reviews, k, config)):
        started = time.monotonic()
        result = tfidf(splits.train, splits.test, config.seed)
        seconds = time.monotonic() - started
        repetitions.append(Repetition(f"fold {fold}", result, len(splits.train), 0, seconds))
    return CrossValidation("TF-IDF", reviews.name, tuple(repetitions))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reviews", type=int, default=2000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="folds at once, each in a process of its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/cross_validation"), help="folder of the folds")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser


if __name__ == "__main__":
    main()
