"""What every test stands on: no network, a cache folder of its own, and a world small enough to compute in.

The tiny world is a BERT of 2 layers, 32 wide, with random weights, a tokenizer of about 60 words, and 64 short reviews.
"""

import csv
import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: one thread a test process
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest

from labkit.data import assets
from labkit.data.reviews import Reviews
from labkit.data.reviews import movie_reviews as load_movie_reviews

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification, BertTokenizer

collect_ignore = ["sorting_course"]  # a course that tests copy; a conftest.py in it would put it on the path of imports
USERS_ENVIRONMENT = dict(os.environ)
PRAISE, BLAME = ("good", "fine", "superb", "lovely", "great"), ("bad", "dull", "awful", "poor", "weak")
FILLER = re.findall(
    r"\w+",
    "a about actor and as but cast end every fast film first from funny in is it last long love man movie music never "
    "not of old one plot scene script short slow so story than that the there this time to too very was well with",
)
PIECES = ["##s", "##ly", "##ed", "!", ".", ","]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PRAISE, *BLAME, *FILLER, *PIECES]


class NetworkRefused(OSError):
    """What a test sees in place of a network; code that knows how to be offline takes it for a missing one."""


def refuse_beyond_this_machine(address: object) -> None:
    """Raises NetworkRefused for an address that is neither loopback nor a path of a unix socket."""
    host = address[0] if isinstance(address, tuple) else address
    if not isinstance(address, tuple) or host in ("localhost", "", None):
        return
    try:
        if ipaddress.ip_address(str(host)).is_loopback:
            return
    except ValueError:
        pass  # a name, which only a network could resolve
    raise NetworkRefused(f"a test reached for the network: {address!r}")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets lead to this machine alone, and neither labkit nor a pip that it starts goes looking for an index."""
    for name in ("connect", "connect_ex"):
        plain = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, *, plain: Any = plain) -> Any:
            if self.family != getattr(socket, "AF_UNIX", None):
                refuse_beyond_this_machine(address)
            return plain(self, address)

        monkeypatch.setattr(socket.socket, name, guarded)
    resolve = socket.getaddrinfo

    def guarded_resolve(host: Any, *arguments: Any, **named: Any) -> Any:
        refuse_beyond_this_machine((host.decode() if isinstance(host, bytes) else host, 0))
        return resolve(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture(autouse=True)
def labkit_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache folder for this test alone, and no profile from the user's environment."""
    home = tmp_path_factory.mktemp("labkit-home")
    monkeypatch.setenv("LABKIT_HOME", str(home))
    monkeypatch.delenv("LABKIT_PROFILE", raising=False)
    return home


def _use_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    if "LABKIT_HOME" in USERS_ENVIRONMENT:
        monkeypatch.setenv("LABKIT_HOME", USERS_ENVIRONMENT["LABKIT_HOME"])
    else:
        monkeypatch.delenv("LABKIT_HOME", raising=False)
    if not assets.is_cached("reviews"):
        pytest.fail(
            f"the reviews are not in {assets.home()}: run `make setup` or `labkit fetch reviews`", pytrace=False
        )


@pytest.fixture
def users_cache(labkit_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own cache folder, with the real reviews in it, for tests that need them in the environment."""
    _use_the_users_cache(monkeypatch)
    return assets.home()


@pytest.fixture(scope="session")
def movie_reviews() -> Reviews:
    """The real movie reviews out of the user's cache; the test fails with the remedy where they were never fetched."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _use_the_users_cache(monkeypatch)
        return load_movie_reviews()


@dataclass(frozen=True)
class TinyWorld:
    """A tokenizer, reviews whose words decide most labels, and as many equal models as a test wants to change."""

    tokenizer: "BertTokenizer"
    reviews: Reviews

    @property
    def texts(self) -> list[str]:
        return list(self.reviews.texts)

    @property
    def labels(self) -> np.ndarray:
        return self.reviews.labels

    def model(self, dropout: float = 0.0, seed: int = 0, attention: str = "sdpa") -> "BertForSequenceClassification":
        """A new model, float32 and in training mode; the same seed gives the same weights, no other random number is drawn.

        Weights are wide and biases not zero, so that whatever is left out of a computation changes its result.
        """
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=0.2,
            id2label={0: "negative", 1: "positive"},
            label2id={"negative": 0, "positive": 1},
        )
        config._attn_implementation = attention
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = BertForSequenceClassification(config)
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.dim() == 1:
                        parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return model.float().train()


def _tiny_texts(labels: list[int], seed: int) -> list[str]:
    """Different texts of 2 to 40 words, most of them short; one word is praise or blame and agrees with most labels."""
    generator = np.random.default_rng(seed)
    texts: list[str] = []
    for label in labels:
        words = generator.choice(FILLER, size=min(39, 1 + int(generator.exponential(10)))).tolist()
        verdict = PRAISE if label == (generator.random() < 0.9) else BLAME
        words.insert(int(generator.integers(len(words) + 1)), str(generator.choice(verdict)))
        texts.append(" ".join(words))
    assert len(set(texts)) == len(texts)
    return texts


@pytest.fixture(scope="session")
def tiny_world() -> TinyWorld:
    from transformers import BertTokenizer

    tokenizer = BertTokenizer(vocab={word: place for place, word in enumerate(VOCABULARY)})
    labels = [0, 1] * 32
    ids = [f"tiny-{number}" for number in range(len(labels))]
    return TinyWorld(tokenizer, Reviews("tiny", ids, _tiny_texts(labels, seed=0), np.array(labels, dtype=np.int64)))


@pytest.fixture(scope="session")
def tiny_folder(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world's model and tokenizer as saved: what `--model FOLDER` wants. Read it, do not write to it."""
    from labkit.models.encoders import quiet_transformers

    folder = tmp_path_factory.mktemp("tiny-model")
    with quiet_transformers():
        tiny_world.model().save_pretrained(folder)
    tiny_world.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_file(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world's reviews as a CSV with the columns id, text and label: what `--data FILE` wants."""
    path = tmp_path_factory.mktemp("tiny-reviews") / "tiny.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = zip(tiny_world.reviews.ids, tiny_world.texts, tiny_world.labels.tolist(), strict=True)
        csv.writer(file).writerows([("id", "text", "label"), *rows])
    return path
