"""Scores tiny BERT on the movie reviews, beside the same shape from random weights, over several seeds.

Prints a table, writes it into the model card and every single score as JSON beside it. A seed decides training split,
order, dropout and classifier; the test split is the same for all. `--split validation --output FILE` is for choosing
settings, so that the test split is looked at once.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score
from tqdm.auto import tqdm
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    get_linear_schedule_with_warmup,
)

from labkit import assets
from labkit.files import sha256, write_atomically
from labkit.reviews import Reviews, movie_reviews, split_reviews

WEIGHTS = ("tiny BERT", "random weights")
MAX_LENGTH = 128
BUCKET_BATCHES = 16

Wanted = tuple[str, int | None, int]


@dataclass(frozen=True)
class Settings:
    """How a model is fine-tuned for its score."""

    learning_rate: float = 3e-4
    epochs: int = 3
    batch_size: int = 32
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class Score:
    """One fine-tuned model on one split. train_examples: None for all training reviews."""

    weights: str
    train_examples: int | None
    seed: int
    accuracy: float
    f1: float


def build_model(folder: Path, weights: str) -> PreTrainedModel:
    """A classifier over the pretrained weights, or over random ones of the same shape."""
    config = AutoConfig.from_pretrained(folder, num_labels=2, attn_implementation="eager")  # a third faster on the CPU
    if weights == "tiny BERT":
        return AutoModelForSequenceClassification.from_pretrained(folder, config=config)
    return AutoModelForSequenceClassification.from_config(config)


def length_buckets(lengths: np.ndarray, batch_size: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Every index once, in random batches of about one length: sorted within groups of `BUCKET_BATCHES` batches."""
    order = generator.permutation(len(lengths))
    group = BUCKET_BATCHES * batch_size
    batches = []
    for start in range(0, len(order), group):
        part = order[start : start + group]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[begin : begin + batch_size] for begin in range(0, len(part), batch_size)]
    for index in generator.permutation(len(batches)):
        yield batches[index]


def logits_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, reviews: Reviews, batch: np.ndarray
) -> torch.Tensor:
    """(batch, 2) logits of the reviews at these indices, padded to the longest of them."""
    texts = [reviews.texts[index] for index in batch]
    return model(**tokenizer(texts, truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")).logits


def fine_tune(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, train: Reviews, settings: Settings, seed: int
) -> None:
    """Trains a classifier in place."""
    generator = np.random.default_rng(seed)
    lengths = np.array([len(text) for text in train.texts])
    batches = [b for _ in range(settings.epochs) for b in length_buckets(lengths, settings.batch_size, generator)]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = get_linear_schedule_with_warmup(optimizer, int(settings.warmup_ratio * len(batches)), len(batches))
    model.train()
    for batch in tqdm(batches, leave=False, desc="fine-tuning", unit=" batches", mininterval=2):
        logits = logits_of(model, tokenizer, train, batch)
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(train.labels[batch])).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


@torch.inference_mode()
def predict(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, reviews: Reviews) -> np.ndarray:
    """(n,) predicted classes."""
    model.eval()
    order = np.argsort([len(text) for text in reviews.texts])
    predictions = np.zeros(len(reviews), dtype=np.int64)
    for batch in np.array_split(order, -(-len(order) // 64)):
        predictions[batch] = logits_of(model, tokenizer, reviews, batch).argmax(-1).numpy()
    return predictions


def score(folder: Path, weights: str, train_examples: int | None, seed: int, split: str, settings: Settings) -> Score:
    """Fine-tunes one model and scores it on the test or validation split."""
    torch.manual_seed(seed)
    splits = split_reviews(movie_reviews(), seed, train_examples=train_examples)
    model, tokenizer = build_model(folder, weights), AutoTokenizer.from_pretrained(folder)
    fine_tune(model, tokenizer, splits.train, settings, seed)
    held_out = getattr(splits, split)
    predictions = predict(model, tokenizer, held_out)
    accuracy, f1 = accuracy_score(held_out.labels, predictions), f1_score(held_out.labels, predictions)
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
    """Puts the table between the marks in the model card, in place of the one before."""
    before, begin, rest = card.read_text(encoding="utf-8").partition("<!-- scores -->\n")
    _, end, after = rest.partition("<!-- end of scores -->\n")
    if begin and end:
        write_atomically(card, f"{before}{begin}{markdown}\n{end}{after}")


def finished_scores(path: Path, run: dict[str, object]) -> list[Score]:
    """The scores that an earlier, perhaps interrupted, run of the same model, split and settings left behind."""
    if not path.is_file():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    if {key: record.get(key) for key in run} != run:
        return []
    return [Score(**row) for row in record["scores"]]


def score_all(wanted: list[Wanted], folder: Path, output: Path, split: str, settings: Settings) -> list[Score]:
    """One score for each wanted model; the file is written after each, and what stands in it is not done again."""
    run = {"model_sha256": sha256(folder / "model.safetensors"), "split": split, "settings": asdict(settings)}
    scores = finished_scores(output, run)
    done = {(score.weights, score.train_examples, score.seed) for score in scores}
    for which in tqdm([which for which in wanted if which not in done], desc="models", unit=" models"):
        scores.append(score(folder, *which, split, settings))
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
    parser.add_argument("--learning-rate", type=float, default=Settings.learning_rate)
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    arguments = parser.parse_args()
    if arguments.split == "validation" and arguments.output is None:
        parser.error("--split validation wants an --output: the card and its scores.json are for the test split")
    return arguments


def main() -> None:
    """Scores what the command line asks for."""
    arguments = parse_arguments()
    settings = Settings(learning_rate=arguments.learning_rate, epochs=arguments.epochs)
    wanted = [
        (weights, examples or None, seed)
        for weights, examples, seed in product(arguments.weights, arguments.train_examples, arguments.seeds)
    ]
    output = arguments.output or arguments.model / "scores.json"
    markdown = table(summarise(score_all(wanted, arguments.model, output, arguments.split, settings)))
    print(markdown)
    if arguments.output is None:
        write_into_card(arguments.model / "README.md", markdown)


if __name__ == "__main__":
    main()
