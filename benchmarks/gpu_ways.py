"""Ways to compute a training step on a GPU, side by side: what `NOTES.md` says of them, and why labkit took the one it took.

    python benchmarks/gpu_ways.py [--model bert-base] [--precision fp32]

Prints a table and writes nothing. All ways get the same batches, of like length; each takes one pass to warm up and three that
are timed, in one process. Dropout is on, but for the public variable-length attention, which has none.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from unittest import mock

import torch
from side_by_side.examples import read_examples, write_examples
from side_by_side.models import load_model
from side_by_side.rows import BERT_BASE
from side_by_side.table import grid
from torch.nn import functional as F

from labkit.models import unpadded
from labkit.models.unpadded import Block, Rows, Unpadded
from labkit.training.config import Config
from labkit.training.fit import accumulate_gradients, fastest_gradients, linear_schedule, make_optimizer, train_epoch
from labkit.training.precision import choose_precision, suitable_multiple

if TYPE_CHECKING:
    from labkit.data.batching import Batch

BATCH, PASSES = 32, 3
Tensor = torch.Tensor
# Of query, key and value, (tokens, heads, size), where the reviews of each begin and end, how long the longest is, and dropout.
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, int, float], Tensor]


def efficient(
    q: Tensor, k: Tensor, v: Tensor, q_ends: Tensor, k_ends: Tensor, q_len: int, k_len: int, p: float
) -> Tensor:
    """Its backward pass refuses a length beyond what there is, so the longest must be known."""
    longest = int((k_ends[1:] - k_ends[:-1]).max())
    lengths = min(q_len, longest), longest
    attend = torch.ops.aten._efficient_attention_forward
    attended: Tensor = attend(q[None], k[None], v[None], None, q_ends, k_ends, *lengths, p, 0, True)[0][0]
    return attended


def nested(q: Tensor, k: Tensor, v: Tensor, q_ends: Tensor, k_ends: Tensor, q_len: int, k_len: int, p: float) -> Tensor:
    """The public way to attention with dropout over reviews of different lengths."""
    make = torch.nested.nested_tensor_from_jagged
    query, key, value = (
        make(part, ends, min_seqlen=1, max_seqlen=length).transpose(1, 2)
        for part, ends, length in ((q, q_ends, q_len), (k, k_ends, k_len), (v, k_ends, k_len))
    )
    attended: Tensor = F.scaled_dot_product_attention(query, key, value, dropout_p=p).transpose(1, 2).values()
    return attended


def varlen(q: Tensor, k: Tensor, v: Tensor, q_ends: Tensor, k_ends: Tensor, q_len: int, k_len: int, p: float) -> Tensor:
    """The public way without dropout."""
    from torch.nn.attention.varlen import varlen_attn

    attended = varlen_attn(q, k, v, q_ends, k_ends, q_len, k_len)
    assert isinstance(attended, Tensor)  # a pair only for those who ask
    return attended


def in_rows_by(kernel: Kernel) -> Callable[..., Tensor]:
    """`unpadded._attend_in_rows` with another kernel."""

    def attend(block: Block, asking: Tensor, hidden: Tensor, rows: Rows, dice: object) -> Tensor:
        assert rows.offsets is not None
        key, value = (layer(hidden).view(len(hidden), block.heads, -1) for layer in (block.key, block.value))
        query = block.query(asking).view(len(asking), block.heads, -1)
        ends, width = rows.offsets, rows.width
        if asking is not hidden:
            ends, width = torch.arange(rows.reviews + 1, dtype=torch.int32, device=hidden.device), 1
        return kernel(query, key, value, ends, rows.offsets, width, rows.width, block.attention_dropout).flatten(1)

    return attend


@dataclass(frozen=True)
class Way:
    """plain: the model's own forward pass. packed: the layout of the batches. kernel: in place of labkit's own."""

    name: str
    plain: bool = False
    packed: bool = False
    graphs: bool = False
    kernel: Kernel | None = None


WAYS = (
    Way("the model's own forward pass", plain=True),
    Way("no padding computed, fused attention with a mask"),
    Way("packed, flash attention of variable length", packed=True),
    Way("packed, the memory-efficient kernel", packed=True, kernel=efficient),
    Way("packed, nested tensors", packed=True, kernel=nested),
    Way("packed, torch.nn.attention.varlen, no dropout", packed=True, kernel=varlen),
    Way("no padding computed, CUDA graphs", graphs=True),
)


def speed(way: Way, name: str, precision_name: str, batches: "list[Batch]") -> tuple[float, float]:
    """Reviews a second in the pass that warms up, and the median of the others."""
    device = torch.device("cuda")
    precision = choose_precision(precision_name, device)
    model, _ = load_model(name, seed=0)
    network = model.to(device) if way.plain else Unpadded(model.to(device))
    optimizer = make_optimizer(model, 1e-5, 0.01)
    scheduler = linear_schedule(optimizer, 0.1, (1 + PASSES) * len(batches))
    gradients = fastest_gradients(network, Config(), device, print) if way.graphs else accumulate_gradients
    found = []
    attend = in_rows_by(way.kernel) if way.kernel else unpadded._attend_in_rows
    with mock.patch.object(unpadded, "_attend_in_rows", attend):
        for _ in range(1 + PASSES):
            torch.cuda.synchronize()
            begun = time.perf_counter()
            train_epoch(network, batches, optimizer, scheduler, precision=precision, accumulate=gradients)
            torch.cuda.synchronize()
            found.append(BATCH * len(batches) / (time.perf_counter() - begun))
    return found[0], median(found[1:])


def batches_of(count: int, multiple: int) -> "tuple[list[Batch], list[Batch]]":
    """The same reviews of like length, padded and packed."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "reviews.npz"
        write_examples(data, "minilm", BATCH * count, 2, seed=0, part="validation")
        batcher = read_examples(data, "train").batcher("buckets", multiple)
    padded = list(itertools.islice(batcher.epoch(BATCH, BATCH, seed=0), count))
    packed = replace(batcher, batching="packed")
    return padded, [packed.batch(batch.indices) for batch in padded]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="minilm", choices=("minilm", BERT_BASE))
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp16", "fp32"))
    parser.add_argument("--batches", type=int, default=40)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here")
    multiple = suitable_multiple(choose_precision(arguments.precision, torch.device("cuda")))
    padded, packed = batches_of(arguments.batches, multiple)
    lines = []
    for way in WAYS:
        if way.packed and arguments.precision == "fp32":
            continue  # flash attention is for half precision, and without it a table is made
        first, later = speed(way, arguments.model, arguments.precision, packed if way.packed else padded)
        lines.append((way.name, f"{first:,.0f}", f"{later:,.0f}"))
    print(grid(("way to compute a step", "reviews/s, first pass", "reviews/s, later"), lines))


if __name__ == "__main__":
    main()
