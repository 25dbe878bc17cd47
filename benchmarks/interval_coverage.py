"""How often the 95 % intervals of `score_table` and `compare_models` hold the truth, by simulation.

    python benchmarks/interval_coverage.py                 every world, n = 50, 200, 1,000; writes interval_coverage.json
    python benchmarks/interval_coverage.py --samples 50    a first look

In each world models are made whose true metrics are known, as those of 300,000 examples. Samples of n examples are drawn,
and it is counted in how many the interval holds the truth: of one model's metrics, and of the differences between two
models on the same examples. The figures in the docstring of `score_table` are from here. Trains nothing.
"""

import argparse
import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit import EvalResult
from labkit.evaluation.comparison import compare_models
from labkit.evaluation.intervals import ALL_METRICS, point_metrics, score_table

SIZES = (50, 200, 1000)
TRUTH_FROM = 300_000
RESAMPLES = 300  # fewer than the table's 2,000, for time


@dataclass(frozen=True)
class World:
    """Two models that read the same reviews.

    shares: of the classes; signal: how far the evidence of the true class lies above the others', in standard deviations,
    for model A and B; sharpness: of their logits, 1 is calibrated; shared: how much of the noise both models share.
    """

    shares: tuple[float, ...]
    signal: tuple[float, float]
    sharpness: tuple[float, float]
    shared: float = 0.7

    def draw(self, n: int, generator: np.random.Generator) -> tuple[EvalResult, EvalResult]:
        """Draw n reviews and what each model says of them."""
        k = len(self.shares)
        labels = generator.choice(k, size=n, p=self.shares)
        common = generator.normal(size=(n, k))
        results = []
        for name, signal, sharpness in zip("AB", self.signal, self.sharpness, strict=True):
            noise = math.sqrt(self.shared) * common + math.sqrt(1 - self.shared) * generator.normal(size=(n, k))
            evidence = signal * np.eye(k)[labels] + noise
            logits = sharpness * (signal * evidence + np.log(self.shares))
            results.append(EvalResult.from_logits(labels, logits, name))
        return results[0], results[1]


WORLDS = {
    "calibrated": World((0.5, 0.5), (1.6, 1.4), (1.0, 1.0)),
    "too sure": World((0.5, 0.5), (1.6, 1.6), (3.0, 1.5)),
    "not sure enough": World((0.5, 0.5), (1.6, 1.6), (0.5, 0.7)),
    "one class in five": World((0.8, 0.2), (1.8, 1.6), (1.0, 1.5)),
    "nearly all right": World((0.5, 0.5), (3.0, 2.8), (1.0, 1.5)),
    "three classes": World((0.4, 0.3, 0.3), (1.8, 1.6), (1.0, 1.5)),
}


def _truths(result: EvalResult, pieces: int = 10) -> dict[str, float]:
    """Compute the true metrics from many examples, in pieces but for the calibration error, which is biased in each."""
    size = len(result) // pieces
    parts = [
        EvalResult(result.labels[start : start + size], result.probabilities[start : start + size], 0.0)
        for start in range(0, size * pieces, size)
    ]
    values = dict(zip(ALL_METRICS, np.mean([point_metrics(part, ALL_METRICS) for part in parts], axis=0), strict=True))
    error = float(point_metrics(result, ["ece"])[0])
    return values | {"ece": error if error > 0.004 else 0.0}  # that of a calibrated model is noise


@functools.cache
def truths(world: World) -> tuple[dict[str, float], dict[str, float]]:
    """Compute the true metrics of model A and B."""
    a, b = world.draw(TRUTH_FROM, np.random.default_rng(1))
    return _truths(a), _truths(b)


def coverage(
    world: World, n: int, samples: int, metrics: Sequence[str] = ALL_METRICS, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Simulate how often the intervals hold the truth, by metric: of model A, and of A minus B."""
    generator = np.random.default_rng([seed, n])
    true_a, true_b = truths(world)
    counts = {metric: np.zeros(4) for metric in metrics}
    for sample in range(samples):
        a, b = world.draw(n, generator)
        table = score_table(a, resamples=RESAMPLES, seed=sample, metrics=metrics)
        compared = compare_models(a, b, resamples=RESAMPLES, seed=sample, metrics=metrics)
        for metric in metrics:
            score, difference = table.scores[metric], compared.scores[metric][2]
            gap = true_a[metric] - true_b[metric]
            counts[metric] += [
                score.low <= true_a[metric] <= score.high,
                difference.low <= gap <= difference.high,
                math.isnan(score.low) + 0.0,
                math.isnan(difference.low) + 0.0,
            ]
    return {
        metric: {
            "truth": round(true_a[metric], 4),
            "of the model": round(float(held / max(samples - none, 1)), 4),
            "of the difference": round(float(paired / max(samples - no_paired, 1)), 4),
            "without an interval": int(none + no_paired),
        }
        for metric, (held, paired, none, no_paired) in counts.items()
    }


def main() -> None:
    """Simulate every world at every n, print the shares and write them beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    found = {}
    for name, world in WORLDS.items():
        found[name] = {str(n): coverage(world, n, options.samples) for n in options.sizes}
        for n, metrics in found[name].items():
            shares = ", ".join(
                f"{m} {row['of the model']:.3f}/{row['of the difference']:.3f}" for m, row in metrics.items()
            )
            print(f"{name}, n = {n}: {shares}", flush=True)
    content = {"samples": options.samples, "resamples": RESAMPLES, "level": 0.95, "coverage": found}
    options.output.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
