"""Make tiny BERT: two layers, 128 wide, distilled from MiniLM.

The texts are the course's own, without their labels:

1. Text: the snippets of all four corpora without their test splits; no label is read.
2. Vocabulary: all single characters of MiniLM's vocabulary and those of its pieces that occur most often in that text.
3. Weights to begin with: MiniLM's embeddings, brought down to 128 dimensions by PCA; the layers are random.
4. Distillation: the student's last states predict the teacher's states of every word (some of the student's pieces are
   masked), and its pooled [CLS] predicts the mean of those states over the text, so that the pooler is of use from the
   first step of fine-tuning on.

Does not fine-tune and does not measure (score_tiny_bert.py). The teacher's states, 0.8 GB, stay in labkit's cache
folder, so a second run starts at once. The same seed gives the same weights on the same machine with as many threads.
"""

import argparse
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    PreTrainedTokenizerBase,
    get_cosine_schedule_with_warmup,
)

from labkit.data import assets
from labkit.data.reviews import CORPORA, load_corpus, normalise
from labkit.data.splits import held_out_places

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY_SIZE = 10_700
HIDDEN_SIZE = 128
MAX_POSITIONS = 512
MAX_WORDS = 80
TEACHER_LAYERS = (3, 6)
MASKED_SHARE = 0.1
SENTENCE_WEIGHT = 1.0


@dataclass(frozen=True)
class Targets:
    """What the student must predict: the teacher's states in `TEACHER_LAYERS`.

    words: (words, 128) states of each word, texts laid end to end, on the first principal axes: a linear map of 128
    numbers can reach no more. starts: (texts,) where each text begins. sentences: (texts, 768) the mean over each text,
    every dimension with variance 1. Both have the variance 1 in the mean.
    """

    words: torch.Tensor
    starts: np.ndarray
    sentences: torch.Tensor


# Text


def unlabelled_texts() -> list[str]:
    """Every snippet of the four corpora once, without the test splits and every copy of a text in them."""
    texts = [text for name in CORPORA for text in load_corpus(name).texts]
    tested = set(held_out_places(texts))
    return list({normalise(text): text for place, text in enumerate(texts) if place not in tested}.values())


def split_words(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[str]]:
    """The words and punctuation marks of each text, before they are cut into pieces."""
    normalizer, splitter = tokenizer.backend_tokenizer.normalizer, tokenizer.backend_tokenizer.pre_tokenizer
    words = [
        [word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))][:MAX_WORDS] for text in texts
    ]
    return [text for text in words if text]


# Vocabulary and the weights to begin with


def choose_pieces(tokenizer: PreTrainedTokenizerBase, texts: Sequence[list[str]], size: int) -> list[str]:
    """Special pieces, every single character and the most frequent pieces.

    With every character no word is unspellable.
    They stand in the teacher's order, but for `[PAD]` and the other special pieces, which come first.
    """
    counts = Counter(piece for text in texts for word in text for piece in tokenizer.tokenize(word))
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    characters = [piece for piece in pieces if len(piece.removeprefix("##")) == 1]
    chosen = {*SPECIAL_PIECES, *characters}
    common = (piece for piece, _ in counts.most_common() if piece not in chosen)
    chosen.update(piece for piece, _ in zip(common, range(size - len(chosen)), strict=False))
    return [*SPECIAL_PIECES, *(piece for piece in pieces if piece in chosen and piece not in SPECIAL_PIECES)]


def make_tokenizer(pieces: Sequence[str]) -> BertTokenizerFast:
    """A lower-casing WordPiece tokenizer that neither truncates nor pads by itself."""
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return BertTokenizerFast(vocab=vocabulary, do_lower_case=True, model_max_length=MAX_POSITIONS)


def make_student(teacher: BertModel, kept: Sequence[int]) -> BertModel:
    """A small BERT with random layers and the teacher's projected embeddings.

    They are projected onto their first principal axes.
    kept: the teacher's ids of the student's pieces, in the student's order.
    """
    config = BertConfig(
        vocab_size=len(kept),
        hidden_size=HIDDEN_SIZE,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=MAX_POSITIONS,
    )
    student = BertModel(config)
    theirs, ours = teacher.embeddings, student.embeddings
    words = theirs.word_embeddings.weight.detach()[list(kept)]
    axes = torch.linalg.svd(words - words.mean(0), full_matrices=False).Vh[:HIDDEN_SIZE].T
    with torch.no_grad():
        ours.word_embeddings.weight.copy_((words - words.mean(0)) @ axes)
        ours.position_embeddings.weight.copy_(theirs.position_embeddings.weight[:MAX_POSITIONS] @ axes)
        ours.token_type_embeddings.weight.copy_(theirs.token_type_embeddings.weight @ axes)
    return student


# What the teacher says


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[list[str]]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Input ids of each text, and the number of the word that each piece belongs to.

    `[CLS]` and `[SEP]` belong to none.
    """
    encoded = tokenizer(list(texts), is_split_into_words=True)
    ids = [np.array(row) for row in encoded["input_ids"]]
    words = [np.array(encoded.word_ids(index)[1:-1]) for index in range(len(texts))]
    return ids, words


def batches_of_equal_length(
    lengths: np.ndarray, batch_size: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Every index once, in batches of equally long texts, in random order.

    So nothing is padded.
    """
    order = generator.permutation(len(lengths))
    order = order[np.argsort(lengths[order], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
    batches = [group[start : start + batch_size] for group in groups for start in range(0, len(group), batch_size)]
    for index in generator.permutation(len(batches)):
        yield batches[index]


def teacher_states(
    teacher: BertModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[list[str]], cache: Path
) -> np.ndarray:
    """The mean state of each word's pieces, (words, 768) float16, cached."""
    digest = hashlib.sha256(repr((TEACHER_LAYERS, texts)).encode()).hexdigest()[:12]
    path = cache / f"states-{digest}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        write_states(teacher, tokenizer, texts, path)
    return np.load(path, mmap_mode="r")


@torch.inference_mode()
def write_states(
    teacher: BertModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[list[str]], path: Path
) -> None:
    """Run the teacher over all texts; the file takes its name when it is whole."""
    ids, words = encode(tokenizer, texts)
    lengths, starts = np.array([len(row) for row in ids]), np.cumsum([0, *map(len, texts)])
    unfinished = path.with_suffix(".part")
    shape = (int(starts[-1]), len(TEACHER_LAYERS) * teacher.config.hidden_size)
    states = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float16, shape=shape)
    with tqdm(total=len(texts), desc="teacher", unit=" texts") as progress:
        for batch in batches_of_equal_length(lengths, 64, np.random.default_rng(0)):
            output = teacher(torch.from_numpy(np.stack([ids[i] for i in batch])), output_hidden_states=True)
            pieces = torch.cat([output.hidden_states[layer] for layer in TEACHER_LAYERS], -1)[:, 1:-1]
            for index, row in zip(batch, pieces, strict=True):
                states[starts[index] : starts[index + 1]] = mean_by_word(row, words[index]).numpy()
            progress.update(len(batch))
    states.flush()
    unfinished.replace(path)


def mean_by_word(pieces: torch.Tensor, words: np.ndarray) -> torch.Tensor:
    """Means of the rows of each word.

    pieces: (n, dimensions); words: (n,) from 0 without gaps. Returns (words, dimensions).
    """
    index = torch.from_numpy(words)
    sums = torch.zeros(int(words[-1]) + 1, pieces.shape[1]).index_add_(0, index, pieces)
    return sums / torch.bincount(index)[:, None]


def make_targets(states: np.ndarray, texts: Sequence[list[str]], dimensions: int = HIDDEN_SIZE) -> Targets:
    """Standardise the teacher's states; project the words' onto principal axes."""
    starts = np.cumsum([0, *map(len, texts)])
    sentences = torch.stack([as_floats(states[begin:end]).mean(0) for begin, end in pairwise(starts)])
    sample = as_floats(states[:: max(1, len(states) // 100_000)])
    mean, scale = sample.mean(0), scale_of(sample)
    variances, axes = torch.linalg.eigh(torch.cov(((sample - mean) / scale).T))
    axes = axes[:, -dimensions:] / variances[-dimensions:].mean().sqrt()
    words = torch.cat([(as_floats(part) - mean) / scale @ axes for part in np.array_split(states, 100)])
    return Targets(words, starts[:-1], (sentences - sentences.mean(0)) / scale_of(sentences))


def as_floats(states: np.ndarray) -> torch.Tensor:
    """Cached half-precision states in single precision."""
    return torch.from_numpy(states.astype(np.float32))


def scale_of(states: torch.Tensor) -> torch.Tensor:
    """Standard deviations (dimensions,), with a floor.

    MiniLM leaves a few dimensions constant.
    """
    return states.std(0).clamp(min=1e-2)


# Distillation


class Distillation(nn.Module):
    """The student with two linear maps to its targets, for words and whole texts.

    Only the student is kept.
    """

    def __init__(self, student: BertModel, targets: Targets) -> None:
        super().__init__()
        self.student, self.targets = student, targets
        self.to_word = nn.Linear(HIDDEN_SIZE, targets.words.shape[1])
        self.to_sentence = nn.Linear(HIDDEN_SIZE, targets.sentences.shape[1])

    def forward(
        self, input_ids: torch.Tensor, words: torch.Tensor, texts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean squared errors of the words' states and of the texts' means.

        input_ids: (batch, length). words: (batch, length - 2) rows of the targets. texts: (batch,).
        """
        output = self.student(input_ids)
        predicted_words = self.to_word(output.last_hidden_state[:, 1:-1])
        predicted_sentences = self.to_sentence(output.pooler_output)
        return (
            nn.functional.mse_loss(predicted_words, self.targets.words[words]),
            nn.functional.mse_loss(predicted_sentences, self.targets.sentences[texts]),
        )


def mask(input_ids: torch.Tensor, mask_id: int) -> torch.Tensor:
    """The batch with some pieces hidden, never `[CLS]` or `[SEP]`.

    The student must guess from their neighbours.
    """
    hidden = torch.rand(input_ids.shape) < MASKED_SHARE
    hidden[:, [0, -1]] = False
    return input_ids.masked_fill(hidden, mask_id)


def distil(
    distillation: Distillation,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[list[str]],
    epochs: int,
    seed: int,
    batch_size: int = 64,
    learning_rate: float = 1.5e-3,
) -> None:
    """Train the student in place, without dropout.

    A few passes over rich targets leave nothing to overfit.
    """
    ids, words = encode(tokenizer, texts)
    lengths, generator = np.array([len(row) for row in ids]), np.random.default_rng(seed)
    batches = [batch for _ in range(epochs) for batch in batches_of_equal_length(lengths, batch_size, generator)]
    optimizer = torch.optim.AdamW(distillation.parameters(), lr=learning_rate, weight_decay=0.01, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, len(batches) // 20, len(batches))
    distillation.eval()
    with tqdm(batches, desc="student", unit=" batches", mininterval=2) as progress:
        for batch in progress:
            input_ids = mask(torch.from_numpy(np.stack([ids[i] for i in batch])), tokenizer.mask_token_id)
            rows = np.stack([distillation.targets.starts[i] + words[i] for i in batch])
            word_loss, text_loss = distillation(input_ids, torch.from_numpy(rows), torch.from_numpy(batch))
            (word_loss + SENTENCE_WEIGHT * text_loss).backward()
            nn.utils.clip_grad_norm_(distillation.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            progress.set_postfix(words=f"{word_loss.item():.3f}", texts=f"{text_loss.item():.3f}", refresh=False)


def make_tiny_bert(output: Path, cache: Path, epochs: int, seed: int) -> None:
    """Build tiny BERT from nothing and save it.

    The card and the scores in the folder are left alone.
    """
    torch.manual_seed(seed)
    source = assets.fetch("minilm")
    teacher = AutoModel.from_pretrained(source).eval()
    teacher_tokenizer = BertTokenizerFast.from_pretrained(source)
    texts = split_words(unlabelled_texts(), teacher_tokenizer)
    pieces = choose_pieces(teacher_tokenizer, texts, VOCABULARY_SIZE)
    tokenizer = make_tokenizer(pieces)
    student = make_student(teacher, teacher_tokenizer.convert_tokens_to_ids(pieces))
    targets = make_targets(teacher_states(teacher, teacher_tokenizer, texts, cache), texts)
    distil(Distillation(student, targets), tokenizer, texts, epochs, seed)
    student.save_pretrained(output)
    tokenizer.save_pretrained(output)
    (output / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Distil tiny BERT from MiniLM on the course's unlabelled text.")
    parser.add_argument("--output", type=Path, default=assets.TINY_BERT, help="folder for the model")
    parser.add_argument(
        "--cache", type=Path, default=assets.home() / "tiny-bert", help="folder for the teacher's states"
    )
    parser.add_argument("--epochs", type=int, default=6, help="passes over the snippets")
    parser.add_argument("--seed", type=int, default=0)
    make_tiny_bert(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
