"""What the laws of explanations stand on: models whose right explanation is known, tiny models, tokenizers and texts."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import VOCABULARY
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
)

from labkit.explanation.registry import METHODS, Method

TEXT = "a superb film , not the slow and dull one"
LONGER = "the films was slowly bad and the cast lovely ! ! it is a fine old movie to love"
WEIGHTS = {"superb": 2.0, "good": 1.0, "fine": 0.5, "dull": -2.0, "bad": -1.0, "not": -0.5}
TEXTS = [
    "a superb film and not so long",
    "dull and bad and not even short but fine",
    "good cast , good music , dull script",
    "the film is superb",
    "bad",
    "it is a fine old movie to love with the very good cast",
]
SHARED = {"vocab_size": len(VOCABULARY), "max_position_embeddings": 128, "num_labels": 2, "pad_token_id": 0}
BERT_LIKE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "initializer_range": 0.2,
}
SPECIAL = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
FAMILIES = {
    "bert": BertConfig(**SHARED, **BERT_LIKE),
    "albert": AlbertConfig(**SHARED, **BERT_LIKE, embedding_size=8),
    "distilbert": DistilBertConfig(**SHARED, dim=16, n_layers=2, n_heads=2, hidden_dim=24, initializer_range=0.2),
    "modernbert": ModernBertConfig(**SHARED, **BERT_LIKE, **SPECIAL),
}


def of_family(name: str, attention: str = "sdpa") -> Any:
    """A tiny model of that family with random weights, the same at every call, in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(FAMILIES[name], attn_implementation=attention)
    return model.float().train()


def add_method(monkeypatch: pytest.MonkeyPatch, name: str, function: Any, **what: Any) -> None:
    """One more method of attribution while a test runs: an entry of the registry, and its function."""
    monkeypatch.setattr(sys.modules[__name__], name, function, raising=False)
    described = {"about": "", "unit": "logits", "colour": "#000000"} | what
    monkeypatch.setitem(METHODS, name, Method(function=f"{__name__}:{name}", **described))


def encoded(tokenizer, text: str) -> dict[str, torch.Tensor]:
    return {name: tokenizer(text, return_tensors="pt")[name] for name in ("input_ids", "attention_mask")}


def margin(model, **inputs) -> torch.Tensor:
    logits = model.eval()(**inputs).logits
    return logits[:, 1] - logits[:, 0]


def byte_level(lines: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of ModernBERT's kind: pieces of bytes, white space in front of a piece is part of it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    )
    return with_special_tokens(tokenizer)


def unigram(lines: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of ALBERT's kind: pieces of characters, white space is a sign in front of a piece."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"]
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=special, unk_token="[UNK]", show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    return with_special_tokens(tokenizer)


def with_special_tokens(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    pair = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pair)
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


class SumOfWords(nn.Module):
    """A model whose margin is the sum of what its words weigh, so that every right explanation is known: the weights.

    weights: by word of the tiny world; every other token weighs nothing.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), 1)
        with torch.no_grad():
            self.embedding.weight.zero_()
            for word, weight in weights.items():
                self.embedding.weight[VOCABULARY.index(word)] = weight
        self.config = SimpleNamespace(num_labels=2, max_position_embeddings=128, _attn_implementation="none at all")
        self.device = torch.device("cpu")
        self.rows = 0  # how many texts it was asked

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **ignored: Any,
    ) -> Any:
        embedded = self.embedding(input_ids) if inputs_embeds is None else inputs_embeds
        values = embedded[..., 0]
        self.rows += len(values)
        margin = (values if attention_mask is None else values * attention_mask).sum(dim=1)
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(margin), margin], dim=1), attentions=None)
