"""How fast this machine multiplies matrices of a model's layer shapes.

That is the limit that a training step cannot pass.
"""

import time
from collections.abc import Callable

import torch

TOKENS = 1024
SECONDS = 0.15  # each product is repeated for so long, after it was warmed up


def limits(hidden: int, intermediate: int, half: str | None, device: torch.device) -> dict[str, float]:
    """Measure the best GFLOP/s in each precision over the products of the layers.

    They are those of the forward and backward passes over 1,024 tokens.
    """
    dtypes = {"fp32": torch.float32} | (
        {half: getattr(torch, {"bf16": "bfloat16", "fp16": "float16"}[half])} if half else {}
    )
    shapes = ((hidden, hidden), (hidden, intermediate), (intermediate, hidden))
    return {name: max(_best_rate(*shape, dtype, device) for shape in shapes) for name, dtype in dtypes.items()}


def _best_rate(inputs: int, outputs: int, dtype: torch.dtype, device: torch.device) -> float:
    """Of y = x Wᵀ, of dx = dy W and of dW = dyᵀ x, in GFLOP/s."""
    x, weight, dy = (
        torch.randn(*shape, device=device).to(dtype)
        for shape in ((TOKENS, inputs), (outputs, inputs), (TOKENS, outputs))
    )
    products: tuple[Callable[[], torch.Tensor], ...] = (
        lambda: torch.nn.functional.linear(x, weight),
        lambda: dy @ weight,
        lambda: dy.T @ x,
    )
    operations = 2 * TOKENS * inputs * outputs
    return max(operations / _seconds(product, device) / 1e9 for product in products)


def _seconds(product: Callable[[], torch.Tensor], device: torch.device) -> float:
    """Measure one product: the shortest mean over ten of them.

    So no single reading of the clock decides.
    """
    deadline, shortest = None, float("inf")
    while deadline is None or time.perf_counter() < deadline:
        started = time.perf_counter()
        for _ in range(10):
            product()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        ended = time.perf_counter()
        if deadline is not None:
            shortest = min(shortest, (ended - started) / 10)
        deadline = deadline or ended + SECONDS
    return shortest
