"""Laws of the tokens that are kept: what is found is what tokenizing gives, and nothing else is ever found."""

import copy
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.ipc
import pytest
import torch

from labkit.data import token_cache
from labkit.data.batching import Batcher
from labkit.data.token_cache import folder, tokenize_parts
from labkit.data.tokens import TRUNCATIONS, Tokenized, tokenize

if TYPE_CHECKING:
    from conftest import TinyWorld


@pytest.fixture(autouse=True)
def small_inputs_are_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "FEWEST", 1)


@pytest.fixture
def tokenized_texts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call tokenized; nothing is added where all of them were found."""
    counts: list[int] = []

    def counted(texts: list[str], *arguments: Any) -> Tokenized:
        counts.append(len(texts))
        return tokenize(texts, *arguments)

    monkeypatch.setattr(token_cache, "tokenize", counted)
    return counts


def same(ours: Tokenized, oracle: Tokenized) -> bool:
    return (
        [ids.tolist() for ids in ours.input_ids] == [ids.tolist() for ids in oracle.input_ids]
        and {ids.dtype for ids in ours.input_ids} <= {np.dtype(np.int32)}
        and ours.truncated.dtype == bool
        and ours.truncated.tolist() == oracle.truncated.tolist()
        and ours.lengths.tolist() == oracle.lengths.tolist()
        and ours.pad_token_id == oracle.pad_token_id
    )


def the_file() -> Path:
    (file,) = folder().glob("*.arrow")
    return file


@pytest.mark.parametrize("truncation", TRUNCATIONS)
def test_kept_tokens_are_those_that_tokenizing_gives(tiny_world, tokenized_texts, truncation):
    parts = {"train": tiny_world.texts[:40] * 2, "test": ["", *tiny_world.texts[38:]], "none": []}
    for _ in range(2):
        found = tokenize_parts(parts, tiny_world.tokenizer, 9, truncation)
        assert list(found) == list(parts)
        for name, texts in parts.items():
            assert same(found[name], tokenize(texts, tiny_world.tokenizer, 9, truncation)), name
    assert tokenized_texts == [len({*tiny_world.texts, ""})]


def test_a_batch_of_kept_tokens_can_be_changed_and_the_file_stays(tiny_world):
    parts = {"all": tiny_world.texts}
    tokenize_parts(parts, tiny_world.tokenizer)
    before = the_file().read_bytes()
    for batching in ("buckets", "packed"):
        found = tokenize_parts(parts, tiny_world.tokenizer)["all"]
        batch = Batcher(found, tiny_world.labels, batching).batch([3, 1, 2])
        fresh = Batcher(tokenize(tiny_world.texts, tiny_world.tokenizer), tiny_world.labels, batching).batch([3, 1, 2])
        assert torch.equal(batch["input_ids"], fresh["input_ids"])
        batch["input_ids"].zero_()
    assert the_file().read_bytes() == before


def test_the_same_texts_in_other_parts_and_another_order_are_found(tiny_world, tokenized_texts):
    texts = tiny_world.texts
    tokenize_parts({"train": texts[:50], "test": texts[50:]}, tiny_world.tokenizer)
    shuffled = random.Random(1).sample(texts, len(texts))
    found = tokenize_parts({"train": shuffled[:30], "test": shuffled[30:]}, tiny_world.tokenizer)
    assert len(tokenized_texts) == 1
    assert same(found["train"], tokenize(shuffled[:30], tiny_world.tokenizer))


def with_a_new_word(tokenizer: Any) -> Any:
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["film"])
    return other


def with_split_marks(tokenizer: Any) -> Any:
    other = copy.deepcopy(tokenizer)
    other.split_special_tokens = True
    return other


OTHERS = {
    "max_length": {"max_length": 20},
    "truncation": {"truncation": "tail"},
    "a text more": {"more": ["a film"]},
    "a letter": {"change": lambda text: text + "s"},
    "letters moved over a border": {"texts": ["ab", "c"], "other_texts": ["a", "bc"]},
    "a word added to the tokenizer": {"tokenizer": with_a_new_word},
    "marks that are text": {"tokenizer": with_split_marks},
}


@pytest.mark.parametrize("difference", OTHERS)
def test_what_another_tokenizer_length_cut_or_text_left_is_never_found(tiny_world, tokenized_texts, difference):
    other = dict(OTHERS[difference])
    texts = other.pop("texts", tiny_world.texts)
    tokenize_parts({"all": texts}, tiny_world.tokenizer, 24, "head")
    change = other.pop("change", lambda text: text)
    others = other.pop("other_texts", None) or [*map(change, texts), *other.pop("more", [])]
    tokenizer = other.pop("tokenizer", lambda plain: plain)(tiny_world.tokenizer)
    settings = {"max_length": 24, "truncation": "head"} | other
    found = tokenize_parts({"all": others}, tokenizer, **settings)["all"]
    assert len(tokenized_texts) == 2
    assert len(list(folder().glob("*.arrow"))) == 2
    assert same(found, tokenize(others, tokenizer, **settings))


DAMAGE = {
    "nothing in it": lambda whole: b"",
    "half of it": lambda whole: whole[: len(whole) // 2],
    "its last byte lost": lambda whole: whole[:-1],
    "another file": lambda whole: b"\x00" * len(whole),
    "a bit of its middle turned": lambda whole: (
        whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :]
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_anew_without_a_word(tiny_world, tokenized_texts, capfd, damage):
    parts = {"all": tiny_world.texts}
    tokenize_parts(parts, tiny_world.tokenizer)
    whole = the_file().read_bytes()
    the_file().write_bytes(DAMAGE[damage](whole))
    assert same(tokenize_parts(parts, tiny_world.tokenizer)["all"], tokenize(tiny_world.texts, tiny_world.tokenizer))
    assert the_file().read_bytes() == whole
    assert len(tokenized_texts) == 2
    assert capfd.readouterr() == ("", "")


def test_whatever_bit_has_turned_nothing_wrong_is_found(tiny_world):
    parts = {"all": tiny_world.texts}
    tokenize_parts(parts, tiny_world.tokenizer)
    fresh, file, dice = tokenize(sorted(set(tiny_world.texts)), tiny_world.tokenizer), the_file(), random.Random(0)
    whole = file.read_bytes()
    for _ in range(300):
        place = dice.randrange(len(whole))
        file.unlink()  # and not over it: a file that is mapped must not change
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :])
        found = token_cache._find(file, fresh.pad_token_id)
        assert found is None or same(found, fresh), place


def test_a_folder_that_takes_no_file_costs_the_cache_and_not_the_tokens(tiny_world):
    folder().parent.mkdir(exist_ok=True)
    folder().write_text("a file where the folder should be")
    found = tokenize_parts({"all": tiny_world.texts}, tiny_world.tokenizer)["all"]
    assert same(found, tokenize(tiny_world.texts, tiny_world.tokenizer))


def test_few_texts_leave_no_file(tiny_world, monkeypatch):
    monkeypatch.setattr(token_cache, "FEWEST", len(set(tiny_world.texts)) + 1)
    found = tokenize_parts({"all": tiny_world.texts}, tiny_world.tokenizer)["all"]
    assert same(found, tokenize(tiny_world.texts, tiny_world.tokenizer))
    assert not folder().exists()


def test_the_oldest_files_make_room_and_the_newest_stays(tiny_world, monkeypatch):
    for max_length in (10, 11, 12):
        tokenize_parts({"all": tiny_world.texts}, tiny_world.tokenizer, max_length)
        for file in folder().glob("*.arrow"):
            os.utime(file, (file.stat().st_mtime - 100,) * 2)
    monkeypatch.setattr(token_cache, "ROOM", 1)
    tokenize_parts({"all": tiny_world.texts}, tiny_world.tokenizer, 13)
    newest = the_file()
    assert same(token_cache._find(newest, 0), tokenize(sorted(set(tiny_world.texts)), tiny_world.tokenizer, 13))


def test_a_file_is_plain_arrow(tiny_world):
    tokenize_parts({"all": tiny_world.texts}, tiny_world.tokenizer, 9)
    table = pyarrow.ipc.open_file(the_file()).read_all()
    oracle = tokenize(sorted(set(tiny_world.texts)), tiny_world.tokenizer, 9)
    assert table["input_ids"].to_pylist() == [ids.tolist() for ids in oracle.input_ids]
    assert table["truncated"].to_pylist() == oracle.truncated.tolist()


AT_ONCE = """
import sys
from pathlib import Path
from labkit.data import token_cache
from labkit.data.tokens import load_tokenizer
token_cache.FEWEST = 1
texts = [f"{'good ' * (number % 30)} film {number}" for number in range(3000)]
tokenizer = load_tokenizer(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for max_length in range(10, 20):
    found = token_cache.tokenize_parts({"all": texts}, tokenizer, max_length)["all"]
    print(hash(tuple(map(bytes, found.input_ids))))
"""


def test_two_processes_at_once_get_the_same_tokens_and_leave_whole_files(tiny_folder):
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", AT_ONCE, str(tiny_folder)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, **pipes, text=True, env=environment) for _ in range(2)]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120) for process in both]
    assert said[0] == said[1] and said[0][1] == "" and len(said[0][0].split()) == 10
    files = list(folder().glob("*.arrow"))
    assert files and all(token_cache._find(file, 0) for file in files)
    assert not [file for file in folder().iterdir() if file not in files and file.name != ".lock"]


def test_a_run_finds_the_tokens_of_the_one_before(tiny_world: "TinyWorld", tokenized_texts: list[int]) -> None:
    from labkit.data.splits import Splits
    from labkit.experiments.fine_tuning import make_batchers
    from labkit.training.config import Config

    reviews = tiny_world.reviews
    splits = Splits(*(reviews.select(range(start, start + 20)) for start in (0, 20, 40)))
    first, second = (make_batchers(splits, tiny_world.tokenizer, Config(max_length=16)) for _ in range(2))
    assert tokenized_texts == [60]
    for name, part in vars(splits).items():
        assert same(first[name].tokenized, tokenize(part.texts, tiny_world.tokenizer, 16))
        assert same(second[name].tokenized, first[name].tokenized)
        assert second[name].labels.tolist() == part.labels.tolist()
