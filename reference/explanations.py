"""Explanations of a fine-tuned model: do they add up, and name what decides?

    labkit train --output runs/minilm
    python reference/explanations.py --model runs/minilm/model

Four parts, each of which can be run alone with --parts: `complete` (integrated gradients of 200 test reviews, with more
steps until the scores add up), `speed` (64 steps of one review), `faithful` (comprehensiveness and sufficiency beside
random and reversed order) and `cue` (a word planted into one class of the training set, a tiny BERT trained on it, and in
how many of the test reviews that carry the word it is among the top three). What was measured is written to --output
after each part, by default where lesson 06 reads it.
"""

import argparse
import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.data.assets import SHIPPED

if TYPE_CHECKING:
    from labkit.data.reviews import Reviews
    from labkit.explanation.attribution import Attribution
    from labkit.serving.classifier import Classifier

PARTS = ("complete", "speed", "faithful", "cue")
METHODS = ("attention", "rollout", "gradient-x-input", "integrated-gradients", "occlusion")
SPEED_STEPS, SPEED_ROUNDS = 64, 20
TOP = 3


def main() -> None:
    """Measure the parts that are asked for, and write them beside the earlier ones."""
    arguments = _parser().parse_args()
    report = json.loads(arguments.output.read_text("utf-8")) if arguments.output.is_file() else {}
    for part in arguments.parts:
        found = {"complete": complete, "speed": speed, "faithful": faithful, "cue": cue}[part](arguments)
        report[part] = found | {"machine": machine()}
        print(f"{part}: {json.dumps(found, indent=1)}", flush=True)
        arguments.output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(f"written to {arguments.output}")


def complete(arguments: argparse.Namespace) -> dict[str, Any]:
    """Count the reviews that add up within one percent, the steps and the time."""
    from labkit.explanation.attribution import TOLERANCE
    from labkit.explanation.methods import STEPS

    classifier, texts = _classifier(arguments), test_reviews(arguments).texts
    found: list[Attribution] = []
    seconds, processor = time.perf_counter(), time.process_time()
    for text in texts:  # one call a review, as a student makes it
        found += classifier.explain(text)
    seconds, processor = time.perf_counter() - seconds, time.process_time() - processor
    errors = np.array([one.completeness_error for one in found], dtype=np.float64)
    return {
        "model": classifier.name,
        "trained": trained(arguments.model),
        "reviews": len(found),
        "tokens_mean": float(np.mean([len(one.tokens) for one in found])),
        "within_one_percent": int((errors <= TOLERANCE).sum()),
        "flagged": sum(one.is_flagged for one in found),
        "error_median": float(np.median(errors)),
        "error_largest": float(errors.max()),
        "reviews_by_steps": {str(steps): sum(one.steps == steps for one in found) for steps in STEPS},
        "seconds_a_review_mean": seconds / len(found),
        "processor_seconds_a_review_mean": processor / len(found),
    }


def speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time 64 steps of one review of the median length, model loaded and warm."""
    classifier, texts = _classifier(arguments), test_reviews(arguments).texts
    lengths = [len(one.tokens) for one in classifier.explain(texts, "random")]
    text = texts[int(np.argsort(lengths)[len(lengths) // 2])]
    times = []
    for _ in range(SPEED_ROUNDS + 1):
        seconds, processor = time.perf_counter(), time.process_time()
        classifier.explain(text, steps=(SPEED_STEPS,))
        times.append((time.perf_counter() - seconds, time.process_time() - processor))
    walls, processors = zip(*times[1:], strict=True)
    return {
        "steps": SPEED_STEPS,
        "tokens": sorted(lengths)[len(lengths) // 2],
        "seconds_median": median(walls),
        "seconds_shortest": min(walls),
        "processor_seconds_median": median(processors),
    }


def faithful(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure each method's comprehensiveness and sufficiency.

    Beside them stands the paired difference to a random order with its interval.
    """
    from labkit.explanation.agreement import measure_agreement
    from labkit.explanation.faithfulness import measure_faithfulness

    classifier, texts = _classifier(arguments, "eager"), test_reviews(arguments).texts
    explanations = classifier.explain(texts, METHODS)
    found = measure_faithfulness(classifier.model, classifier.tokenizer, explanations)
    print(found, measure_agreement(explanations), sep="\n\n", flush=True)
    rows = [
        {
            "method": row.method,
            "measure": row.measure,
            "replacement": row.replacement,
            "fraction": row.fraction,
            "fall": row.value,
            "random": row.random,
            "reversed": row.reversed,
            "over_random": row.drop_vs_random.as_json(),
            "over_reversed": row.drop_vs_reversed.as_json(),
            "beats_random": row.beats_random,
        }
        for row in found.rows
    ]
    return {"model": classifier.name, "reviews": found.n, "rows": rows}


def cue(arguments: argparse.Namespace) -> dict[str, Any]:
    """Plant a word, fine-tune the tiny BERT on it, and look for it in explanations.

    The explanations are of the reviews that carry it.
    """
    from labkit.data.reviews import movie_reviews
    from labkit.data.splits import Splits, split_reviews
    from labkit.experiments.fine_tuning import make_batchers
    from labkit.explanation.spurious_cue import CUE, cue_found, plant_cue
    from labkit.models.encoders import load_encoder
    from labkit.serving.classifier import Classifier
    from labkit.training.config import Config
    from labkit.training.fit import fit

    splits = split_reviews(movie_reviews(), arguments.seed)
    planted = {name: plant_cue(part, seed=arguments.seed) for name, part in vars(splits).items()}
    config = Config(model="tiny", epochs=2, seed=arguments.seed)
    model, tokenizer = load_encoder("tiny", arguments.seed)
    batchers = make_batchers(Splits(**{name: each.reviews for name, each in planted.items()}), tokenizer, config)
    for epoch in fit(model, batchers["train"], batchers["validation"], config, progress=False):
        print(epoch, flush=True)
    classifier = Classifier(model, tokenizer, config, "tiny, cue planted")
    carriers = planted["test"].carriers
    explanations = classifier.explain(
        carriers.texts, ("integrated-gradients", "occlusion", "gradient-x-input", "random")
    )
    negatives = splits.test.select(np.flatnonzero(splits.test.labels == 0))
    with_cue = plant_cue(negatives, label=0, share=1.0, seed=arguments.seed)
    return {
        "model": config.model,
        "epochs": config.epochs,
        "seed": arguments.seed,
        "train_examples": len(splits.train),
        "cue": CUE,
        "share_of_the_class": float(planted["train"].carries.sum() / splits.train.class_counts[1]),
        "carriers": len(carriers),
        "top": TOP,
        "found": {method: cue_found(explanations.of(method), top=TOP).as_json() for method in explanations.methods},
        "accuracy_on_plain_test": classifier.evaluate(splits.test).correct.mean(),
        "accuracy_on_planted_test": classifier.evaluate(planted["test"].reviews).correct.mean(),
        "called_positive_of_the_negatives": {
            "as_they_are": classifier.evaluate(negatives).predictions.mean(),
            "with_the_cue": classifier.evaluate(with_cue.reviews).predictions.mean(),
        },
    }


def test_reviews(arguments: argparse.Namespace) -> "Reviews":
    """A random part of the test reviews, the same for every part of this script."""
    from labkit.data.reviews import movie_reviews
    from labkit.data.splits import split_reviews

    test = split_reviews(movie_reviews()).test
    return test.select(np.random.default_rng(arguments.seed).permutation(len(test))[: arguments.reviews])


def _classifier(arguments: argparse.Namespace, attention: str = "sdpa") -> "Classifier":
    from labkit.serving.classifier import Classifier

    if arguments.model is None:
        raise SystemExit("--model: wanted the folder of a fine-tuned model, such as FOLDER/model of `labkit train`")
    return Classifier.load(arguments.model, attention=attention)


def trained(model: Path) -> dict[str, Any]:
    """Say how the model was made, if the record of its run lies beside it."""
    from labkit.experiments.run_folder import read_record

    run = read_record(model.parent)
    if run is None:
        return {}
    settings = {name: run["settings"][name] for name in ("model", "epochs", "seed", "train_examples")}
    return settings | {"test_accuracy": run["test"]["accuracy"]}


def machine() -> dict[str, Any]:
    """Where it was measured, and how busy the machine was."""
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "packages": {name: metadata.version(name) for name in ("labkit", "torch", "transformers", "numpy")},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a fine-tuned model")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=SHIPPED / "explanations.json")
    return parser


if __name__ == "__main__":
    main()
