"""Score tiny BERT beside the same shape from random weights, over several seeds.

Prints a table, writes it into the model card and every single score as JSON beside it. A seed decides training split,
order, dropout and classifier; the test split is the same for all. `--split validation --output FILE` is for choosing
settings, so that the test split is looked at once.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from itertools import islice, product
from pathlib import Path
from statistics import mean, stdev

from sklearn.metrics import accuracy_score, f1_score
from tqdm.auto import tqdm

from labkit.data import assets
from labkit.data.reviews import movie_reviews
from labkit.data.splits import split_reviews
from labkit.experiments.fine_tuning import make_batchers
from labkit.files import sha256, write_atomically
from labkit.models.encoders import load_encoder
from labkit.training.config import Config
from labkit.training.fit import evaluate, fit

WEIGHTS = ("tiny BERT", "random weights")

Wanted = tuple[str, int | None, int]


@dataclass(frozen=True)
class Score:
    """One fine-tuned model on one split.

    train_examples: None for all training reviews.
    """

    weights: str
    train_examples: int | None
    seed: int
    accuracy: float
    f1: float


def score(wanted: Wanted, split: str, config: Config) -> Score:
    """Fine-tune one model and score it on the test or validation split."""
    weights, train_examples, seed = wanted
    config = replace(config, seed=seed, train_examples=train_examples, pretrained=weights == "tiny BERT")
    splits = split_reviews(movie_reviews(), seed, train_examples=train_examples)
    model, tokenizer = load_encoder(config.model, seed, pretrained=config.pretrained)
    batchers = make_batchers(splits, tokenizer, config)
    epochs = fit(model, batchers["train"], batchers["validation"], config, tell=tqdm.write)
    for _ in islice(epochs, config.epochs):
        pass
    # Before fit puts the best epoch's weights back: nothing is chosen by the validation split.
    found = evaluate(model, batchers[split], config)
    predictions = found.logits.argmax(dim=1)
    accuracy, f1 = accuracy_score(found.labels, predictions), f1_score(found.labels, predictions)
    return Score(weights, train_examples, seed, round(float(accuracy), 4), round(float(f1), 4))


def summarise(scores: list[Score]) -> list[dict[str, object]]:
    """Mean and standard deviation over the seeds of each kind of model."""
    rows = []
    for weights, examples in dict.fromkeys((score.weights, score.train_examples) for score in scores):
        runs = [score for score in scores if (score.weights, score.train_examples) == (weights, examples)]
        row: dict[str, object] = {"weights": weights, "train_examples": examples, "seeds": len(runs)}
        for metric in ("accuracy", "f1"):
            values = [getattr(score, metric) for score in runs]
            row[f"{metric}_mean"] = round(mean(values), 4)
            row[f"{metric}_sd"] = round(stdev(values), 4) if len(values) > 1 else 0.0
        rows.append(row)
    return rows


def table(rows: list[dict[str, object]]) -> str:
    """The summary as Markdown: mean and standard deviation over the seeds."""
    lines = ["| weights | training reviews | seeds | accuracy | F1 |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        accuracy, f1 = (f"{row[f'{metric}_mean']:.3f} ± {row[f'{metric}_sd']:.3f}" for metric in ("accuracy", "f1"))
        lines.append(f"| {row['weights']} | {row['train_examples'] or 'all'} | {row['seeds']} | {accuracy} | {f1} |")
    return "\n".join(lines)


def write_into_card(card: Path, markdown: str) -> None:
    """Put the table between the marks in the model card, in place of the one before."""
    before, begin, rest = card.read_text(encoding="utf-8").partition("<!-- scores -->\n")
    _, end, after = rest.partition("<!-- end of scores -->\n")
    if begin and end:
        write_atomically(card, f"{before}{begin}{markdown}\n{end}{after}")


def finished_scores(path: Path, run: dict[str, object]) -> list[Score]:
    """The scores that an earlier run of the same settings left behind."""
    if not path.is_file():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    if {key: record.get(key) for key in run} != run:
        return []
    return [Score(**row) for row in record["scores"]]


def score_all(wanted: list[Wanted], output: Path, split: str, config: Config) -> list[Score]:
    """One score for each wanted model, written to the file after each.

    What stands in the file is not done again.
    """
    settings = {name: getattr(config, name) for name in ("learning_rate", "epochs", "batch_size", "warmup_ratio")}
    run = {"model_sha256": sha256(Path(config.model) / "model.safetensors"), "split": split, "settings": settings}
    scores = finished_scores(output, run)
    done = {(score.weights, score.train_examples, score.seed) for score in scores}
    for which in tqdm([which for which in wanted if which not in done], desc="models", unit=" models"):
        scores.append(score(which, split, config))
        record = run | {"summary": summarise(scores), "scores": [asdict(score) for score in scores]}
        write_atomically(output, json.dumps(record, indent=2) + "\n")
    return scores


def parse_arguments() -> argparse.Namespace:
    """The command line; refuses to put validation scores into the card."""
    parser = argparse.ArgumentParser(description="Score tiny BERT on the movie reviews, beside random weights.")
    parser.add_argument("--model", type=Path, default=assets.TINY_BERT, help="folder of the model")
    parser.add_argument("--output", type=Path, help="JSON file; the card is left alone then")
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
    parser.add_argument("--weights", nargs="+", choices=WEIGHTS, default=WEIGHTS)
    parser.add_argument("--train-examples", nargs="+", type=int, default=[0, 1000], help="0: all training reviews")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.split == "validation" and arguments.output is None:
        parser.error("--split validation wants an --output: the card and its scores.json are for the test split")
    return arguments


def main() -> None:
    """Score what the command line asks for."""
    arguments = parse_arguments()
    config = Config(
        model=str(arguments.model), learning_rate=arguments.learning_rate, epochs=arguments.epochs, precision="fp32"
    )
    wanted = [
        (weights, examples or None, seed)
        for weights, examples, seed in product(arguments.weights, arguments.train_examples, arguments.seeds)
    ]
    output = arguments.output or arguments.model / "scores.json"
    markdown = table(summarise(score_all(wanted, output, arguments.split, config)))
    print(markdown)
    if arguments.output is None:
        write_into_card(arguments.model / "README.md", markdown)


if __name__ == "__main__":
    main()
