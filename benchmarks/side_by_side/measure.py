"""One task in a process of its own: measure a row, or prepare what all rows need.

    python -m side_by_side.measure '{"task": "row", ...}'

Prints its result as the last line, in JSON. Started by processes.py, which says what a task holds.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from side_by_side.rows import BERT_BASE, LIMIT, TRAINING, Row, Setting

SHOWN = 64  # probabilities that an evaluation keeps, so that two of them can be compared


def main() -> None:
    """Do the task that the command line names."""
    task = json.loads(sys.argv[1])
    work: dict[str, Callable[..., dict[str, Any]]] = {"prepare": prepare, "row": measure_row}
    print("\n" + json.dumps(work[task.pop("task")](**task)), flush=True)


def prepare(data: str, model: str, train: int | None, held_out: int | None, seed: int, part: str) -> dict[str, Any]:
    """Write the reviews; say how many, what machine, and which half precision pays."""
    from importlib.metadata import version

    import psutil

    from labkit.experiments.fine_tuning import environment
    from labkit.training.precision import choose_device, choose_precision
    from side_by_side.examples import write_examples

    sizes = write_examples(Path(data), model, train, held_out, seed, part)
    best = choose_precision("auto", choose_device()).name
    machine = environment(best)
    machine["packages"] |= {name: version(name) for name in ("accelerate", "scipy")}
    machine |= {"cores": os.cpu_count(), "memory_gib": round(psutil.virtual_memory().total / 2**30, 1)}
    return {"machine": machine, "half": best if best != "fp32" else None, "sizes": sizes}


def measure_row(
    row: dict[str, Any], setting: dict[str, Any], seed: int, examples: int, data: str, half: str | None
) -> dict[str, Any]:
    """Whatever the row does."""
    import torch

    from side_by_side.watch import Watch

    chosen, shared = Row(**row), Setting(**setting)
    watch = Watch(torch.cuda.is_available())
    if chosen.does == LIMIT:
        return _measured_limit(half, watch)
    measure = _measured_training if chosen.does in TRAINING else _measured_evaluation
    return measure(chosen, shared, seed, examples, Path(data), half, watch)


def _measured_training(
    row: Row, setting: Setting, seed: int, count: int, data: Path, half: str | None, watch: Any
) -> dict[str, Any]:
    from side_by_side import ours, peers
    from side_by_side.examples import read_examples
    from side_by_side.models import load_model, non_embedding_parameters, plain_evaluation

    name = row.model or setting.model
    model, tokenizer = load_model(name, seed)
    examples = read_examples(data, "train").first(count)
    held_out = read_examples(data, "held_out").share(count / setting.examples)
    if row.model not in ("", BERT_BASE):  # a model with a vocabulary of its own
        examples, held_out = examples.tokenized_by(tokenizer), held_out.tokenized_by(tokenizer)
    if row.length:
        examples = examples.of_length(row.length)
    parameters = non_embedding_parameters(model)
    if row.does == "labkit":
        trained = ours.train_with_labkit(row, setting, seed, model, examples, half, watch)
    else:
        train = peers.train_with_trainer if row.does == "trainer" else peers.train_with_accelerate
        trained = train(peers.Job(row, setting, seed, model, tokenizer, examples, half), watch)
    steps = setting.steps(len(examples))
    if len(trained.losses) != steps:
        raise SystemExit(f"{row.name}: took {len(trained.losses)} optimizer steps, wanted {steps}")
    reviews_per_second = setting.epochs * len(examples) / (watch.seen["seconds"] or float("nan"))
    return {
        **watch.seen,
        "examples": len(examples),
        "precision": trained.precision,
        "tokens_per_review": examples.tokens / len(examples),
        "reviews_per_second": reviews_per_second,
        "useful_gflops": 6e-9 * parameters * examples.tokens / len(examples) * reviews_per_second,
        "peak_memory_mib": trained.peak_memory_mib,
        "losses": [round(loss, 5) for loss in trained.losses],
        "notices": trained.notices,
        **plain_evaluation(name, trained.weights, held_out),
    }


def _measured_evaluation(
    row: Row, setting: Setting, seed: int, count: int, data: Path, half: str | None, watch: Any
) -> dict[str, Any]:
    from side_by_side import ours, peers
    from side_by_side.examples import read_examples
    from side_by_side.models import load_model
    from side_by_side.watch import peak_memory_mib

    examples = read_examples(data, "train").first(count)
    model, tokenizer = load_model(row.model or setting.model, seed)
    if row.does == "pipeline":
        probabilities, precision = peers.evaluate_with_pipeline(model, tokenizer, examples, watch), "fp32"
    else:
        probabilities, precision = ours.evaluate_with_labkit(row, model, tokenizer, examples, half, watch)
    return {
        **watch.seen,
        "examples": len(examples),
        "precision": precision,
        "reviews_per_second": len(examples) / (watch.seen["seconds"] or float("nan")),
        "peak_memory_mib": peak_memory_mib(watch.cuda),
        "probabilities": [round(probability, 6) for probability in probabilities[:SHOWN]],
    }


def _measured_limit(half: str | None, watch: Any) -> dict[str, Any]:
    """Measure the limits for MiniLM's shapes and for BERT base's.

    They are keyed by the model's hidden width and the precision.
    """
    from labkit.training.precision import choose_device
    from side_by_side.limit import limits

    watch.start()
    found = {str(hidden): limits(hidden, 4 * hidden, half, choose_device()) for hidden in (128, 384, 768)}
    watch.stop()
    return {**watch.seen, "gflops": found}


if __name__ == "__main__":
    main()
