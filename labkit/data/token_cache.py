"""Tokens kept from one run to the next: an Arrow file in the cache folder for each tokenizer, set of texts and way of cutting.

A file's name is the hash of all that its tokens depend on, so nothing of another's is ever found under it. What cannot be
read is made anew, what cannot be written is not kept: the cache stops no run. Does not tokenize itself (tokens.py).
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.data import assets
from labkit.data.tokens import Tokenized, special_ids, tokenize
from labkit.files import remove_leftovers, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase

FORMAT = 1  # part of the name: count it up where the file's layout, or what `tokenize` gives, changes
FEWEST = 1000  # texts; fewer are tokenized in the time that looking for a file takes
ROOM = 2**28  # bytes of all files together; that of the movie reviews has 1.2 MB


def tokenize_parts(
    parts: Mapping[str, Sequence[str]],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int = 128,
    truncation: str = "head",
) -> dict[str, Tokenized]:
    """`tokenize` for each of several parts, all of their texts out of one file where they were tokenized before.

    The file holds each text once, in the order of the alphabet: the same texts in other parts, as another seed or fold deals
    them, find it too.
    """
    texts = sorted({text for part in parts.values() for text in part})
    name = _name(texts, tokenizer, max_length, truncation) if len(texts) >= FEWEST else None
    if name is None:
        return {part: tokenize(parts[part], tokenizer, max_length, truncation) for part in parts}
    whole = _find(folder() / name, int(tokenizer.pad_token_id))
    if whole is None:
        whole = tokenize(texts, tokenizer, max_length, truncation)
        _keep(folder() / name, whole)
    places = {text: place for place, text in enumerate(texts)}
    return {part: whole.select([places[text] for text in parts[part]]) for part in parts}


def folder() -> Path:
    """Where the files lie."""
    return assets.home() / "tokens"


def _name(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase", max_length: int, truncation: str) -> str | None:
    """The name of the file for these tokens; None for a tokenizer in plain Python, which cannot be told from another."""
    import tokenizers

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    state = [tokenizers.__version__, backend.to_str(), tokenizer.split_special_tokens, special_ids(tokenizer)]
    settings = [FORMAT, *state, max_length, truncation, len(texts)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d " % len(content) + content)
    return f"{digest.hexdigest()}.arrow"


def _find(file: Path, pad_token_id: int) -> Tokenized | None:
    """The tokens in a file, whose memory is theirs; None where it is not there, or not as it was written."""
    import numpy as np
    import pyarrow
    import pyarrow.ipc

    try:
        with pyarrow.memory_map(str(file)) as source:
            batch = pyarrow.ipc.open_file(source).get_batch(0)
        # Buffers and not to_numpy, which imports pandas.
        _, places, _, values = batch.column("input_ids").buffers()
        _, bits = batch.column("truncated").buffers()
        offsets = np.frombuffer(places, np.int32)[: len(batch) + 1]
        input_ids = np.frombuffer(values, np.int32)[: offsets[-1]]
        truncated = np.unpackbits(np.frombuffer(bits, np.uint8), count=len(batch), bitorder="little").astype(bool)
        if batch.schema.metadata[b"sha256"].decode() != _digest(offsets, input_ids, truncated):
            return None
        rows = [input_ids[start:end] for start, end in pairwise(offsets.tolist())]
    except (OSError, ValueError, LookupError, TypeError, pyarrow.ArrowException):
        return None
    return Tokenized(rows, truncated, pad_token_id)


def _keep(file: Path, tokenized: Tokenized) -> None:
    """Write the file, unless another process is writing one or the folder takes none."""
    import filelock

    with contextlib.suppress(OSError):  # filelock's Timeout is one too
        file.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(file.parent / ".lock", timeout=0):
            remove_leftovers(file.parent, ".")
            write_atomically(file, _as_arrow(tokenized))
            _make_room(file.parent)


def _as_arrow(tokenized: Tokenized) -> bytes:
    """A row of `input_ids` (list of int32) and `truncated` (bool) for each text; their hash is in the metadata."""
    import numpy as np
    import pyarrow
    import pyarrow.ipc

    offsets = np.concatenate(([0], np.cumsum(tokenized.lengths))).astype(np.int32)
    input_ids = np.concatenate(tokenized.input_ids)
    bits = np.packbits(tokenized.truncated, bitorder="little")
    values = pyarrow.Array.from_buffers(pyarrow.int32(), len(input_ids), [None, pyarrow.py_buffer(input_ids)])
    lists = pyarrow.ListArray.from_arrays(
        pyarrow.Array.from_buffers(pyarrow.int32(), len(offsets), [None, pyarrow.py_buffer(offsets)]), values
    )
    flags = pyarrow.Array.from_buffers(pyarrow.bool_(), len(tokenized), [None, pyarrow.py_buffer(bits)])
    digest = _digest(offsets, input_ids, tokenized.truncated)
    names = ["input_ids", "truncated"]
    batch = pyarrow.RecordBatch.from_arrays([lists, flags], names).replace_schema_metadata({"sha256": digest})
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _digest(*arrays: "np.ndarray") -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.data)
    return digest.hexdigest()


def _make_room(within: Path) -> None:
    """Remove the oldest files while all together are larger than ROOM; the newest stays."""
    newest_first = sorted(within.glob("*.arrow"), key=lambda file: file.stat().st_mtime, reverse=True)
    sizes = list(accumulate(file.stat().st_size for file in newest_first))
    for file, size in list(zip(newest_first, sizes, strict=True))[1:]:
        if size > ROOM:
            file.unlink()
