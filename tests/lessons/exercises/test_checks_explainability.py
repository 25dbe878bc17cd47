"""The checks of lesson 06: right answers in many styles pass, wrong ones get the hint that fits."""

import functools
import heapq
import math
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from checking import (
    ExerciseLaws,
)

import labkit
from labkit.checks import exercise, exercises_in
from labkit.lessons.exercises import explainability
from labkit.lessons.exercises.explainability.attention_rollout import attention_rollout_reference
from labkit.lessons.exercises.explainability.integrated_gradients import gradients_of, value_of
from labkit.lessons.observers.explainability import ScalarFunction

EXERCISES = exercises_in(explainability)

# Right answers


def rollout_by_loop(attentions: list[torch.Tensor]) -> torch.Tensor:
    rolled = None
    for layer in attentions:
        mixed = 0.5 * layer.mean(dim=0) + 0.5 * torch.eye(layer.shape[-1])
        mixed = mixed / mixed.sum(dim=-1, keepdim=True)
        rolled = mixed if rolled is None else mixed @ rolled
    return rolled[0]


def rollout_in_one_product(attentions: list[torch.Tensor]) -> torch.Tensor:
    stacked = torch.stack(list(attentions)).mean(1)
    stacked = (stacked + torch.eye(stacked.shape[-1])) / 2
    return functools.reduce(lambda rolled, layer: layer @ rolled, stacked)[0]


def rollout_by_hand(attentions: list[torch.Tensor]) -> torch.Tensor:
    n = attentions[0].shape[-1]
    rolled = [[float(row == column) for column in range(n)] for row in range(n)]
    for layer in attentions:
        heads = layer.tolist()
        mixed = [
            [0.5 * sum(head[i][j] for head in heads) / len(heads) + 0.5 * (i == j) for j in range(n)] for i in range(n)
        ]
        rolled = [[sum(mixed[i][m] * rolled[m][j] for m in range(n)) for j in range(n)] for i in range(n)]
    return torch.tensor(rolled[0])


def rollout_of_the_first_row(attentions: Any) -> Any:
    """Goes from the last layer down, with the unhalved identity normalised."""
    row = torch.eye(attentions[-1].size(-1), dtype=torch.float64)[:1]
    for layer in reversed(attentions):
        mixed = layer.double().mean(0) + torch.eye(layer.size(-1))
        row = row @ torch.nn.functional.normalize(mixed, p=1, dim=-1)
    return row.squeeze(0).float()


def rollout_of_one_tensor(attentions: torch.Tensor) -> torch.Tensor:
    """Takes one tensor of all layers and nothing else."""
    mixed = attentions.mean(1).add(torch.eye(attentions.shape[-1])).div(2)
    return torch.linalg.multi_dot([*mixed.flip(0), torch.eye(mixed.shape[-1])])[0]


def gradients_by_midpoints(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> torch.Tensor:
    alphas = (torch.arange(steps) + 0.5) / steps
    points = baseline + alphas.view(-1, *[1] * inputs.dim()) * (inputs - baseline)
    points.requires_grad_(True)
    (gradients,) = torch.autograd.grad(forward(points).sum(), points)
    return gradients.mean(dim=0) * (inputs - baseline)


def gradients_by_trapezoids(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> torch.Tensor:
    """One point at a time, with backward."""
    total = torch.zeros_like(inputs)
    for step in range(steps + 1):
        point = (baseline + step / steps * (inputs - baseline)).unsqueeze(0).detach().requires_grad_()
        forward(point).backward()
        total += point.grad[0] * (0.5 if step in (0, steps) else 1)
    return (inputs - baseline) * total / steps


def gradients_by_gauss(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> torch.Tensor:
    places, weights = np.polynomial.legendre.leggauss(steps)
    total = 0
    for place, weight in zip(places.tolist(), weights.tolist(), strict=True):
        point = torch.lerp(baseline, inputs, (place + 1) / 2)[None].requires_grad_()
        total = total + weight / 2 * torch.autograd.grad(forward(point)[0], point)[0][0]
    return total * (inputs - baseline)


def gradients_by_captum(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> torch.Tensor:
    return IntegratedGradients(forward).attribute(inputs[None], baselines=baseline[None], n_steps=steps)[0]


def gradients_by_vmap(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> torch.Tensor:
    points = torch.stack([baseline + alpha * (inputs - baseline) for alpha in torch.linspace(0, 1, steps)])
    gradients = torch.func.vmap(torch.func.grad(lambda point: forward(point[None]).squeeze(0)))(points)
    return torch.trapezoid(gradients, dx=1 / (steps - 1), dim=0) * (inputs - baseline)


def gradients_by_numpy(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> Any:
    """Differences of outputs in float64, cumulated by numpy."""
    way, mean = (inputs - baseline).double(), np.zeros(inputs.shape)
    for alpha in (np.arange(steps) + 0.5) / steps:
        point = baseline.double() + alpha * way
        for place in np.ndindex(*inputs.shape):
            nudge = torch.zeros_like(point)
            nudge[place] = 1e-6
            high, low = forward(torch.stack([point + nudge, point - nudge])).tolist()
            mean[place] += (high - low) / 2e-6 / steps
    return torch.from_numpy(mean) * way


def gradients_by_simpson(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> torch.Tensor:
    """The Jacobian of all outputs at once, in float64."""
    fractions = torch.linspace(0, 1, steps + 1 + steps % 2, dtype=torch.float64)
    weights = 2.0 + 2 * (torch.arange(len(fractions)) % 2)
    weights[0] = weights[-1] = 1
    points = torch.stack([baseline + fraction * (inputs - baseline) for fraction in fractions])
    jacobian = torch.autograd.functional.jacobian(forward, points)
    gradients = torch.stack([jacobian[place, place] for place in range(len(points))])
    return torch.tensordot(weights / weights.sum(), gradients, dims=1) * (inputs - baseline)


def words_in_text(tokens: Any, scores: Any, prefix: str = "##") -> Any:
    """Joined as a text, then scores dealt out by the number of pieces."""
    kept = [place for place, token in enumerate(tokens) if token not in ["[CLS]", "[SEP]", "[PAD]"]]
    text = "".join(
        tokens[place].removeprefix(prefix) if tokens[place].startswith(prefix) else f" {tokens[place]}"
        for place in kept
    )
    ends = [number for number, place in enumerate(kept) if not tokens[place].startswith(prefix)] + [len(kept)]
    sums = [np.sum([scores[kept[number]] for number in range(*bounds)]) for bounds in pairwise(ends)]
    return list(zip(text.split(), sums, strict=True))


def words_by_loop(tokens: Any, scores: Any, prefix: str = "##") -> Any:
    words: list[tuple[str, float]] = []
    for token, score in zip(tokens, scores, strict=True):
        if token in ("[CLS]", "[SEP]", "[PAD]"):
            continue
        if token.startswith(prefix):
            word, total = words.pop()
            words.append((word + token[len(prefix) :], total + score))
        else:
            words.append((token, score))
    return words


def words_by_flush(tokens: Any, scores: Any, prefix: str = "##") -> Any:
    words, word, total = [], None, 0.0
    for place in range(len(tokens)):
        token = tokens[place]
        if token[: len(prefix)] == prefix:
            word += token.removeprefix(prefix)
            total += float(scores[place])
            continue
        if word is not None:
            words.append((word, total))
        word, total = (None, 0.0) if token in {"[CLS]", "[SEP]", "[PAD]"} else (token, float(scores[place]))
    return words if word is None else [*words, (word, total)]


def words_by_group(tokens: Any, scores: Any, prefix: str = "##") -> Any:
    pairs = [pair for pair in zip(tokens, scores, strict=True) if pair[0] not in ["[CLS]", "[SEP]", "[PAD]"]]
    number, numbered = -1, []
    for token, score in pairs:
        number += not token.startswith(prefix)
        numbered.append((number, token, score))
    groups = [list(group) for _, group in groupby(numbered, key=lambda item: item[0])]
    return [
        (
            "".join([one[1] if i == 0 else one[1][len(prefix) :] for i, one in enumerate(group)]),
            sum(one[2] for one in group),
        )
        for group in groups
    ]


def words_of_tensors(tokens: Any, scores: torch.Tensor, prefix: str = "##") -> Any:
    """Takes a tensor of scores and nothing else."""
    keep = torch.tensor([token not in ("[CLS]", "[SEP]", "[PAD]") for token in tokens], dtype=torch.bool)
    starts = torch.tensor([not token.startswith(prefix) for token in tokens], dtype=torch.bool)
    if not keep.any():
        return []
    number = (starts & keep).cumsum(0)[keep] - 1
    sums = torch.zeros(int(number.max()) + 1).index_add(0, number, scores[keep])
    words = [""] * len(sums)
    for place, token in zip(number.tolist(), np.array(tokens)[keep.numpy()].tolist(), strict=True):
        words[place] += token if not words[place] else token[len(prefix) :]
    return list(zip(words, sums, strict=True))


def drop_by_numpy(predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> float:
    count = int(np.ceil(round(fraction * len(tokens), 6)))
    hidden = np.array(tokens, dtype=object)
    hidden[np.argsort(-np.asarray(scores))[:count]] = mask
    return predict(tokens) - predict(hidden.tolist())


def drop_by_sorting(predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> float:
    count = math.ceil(fraction * len(tokens) - 1e-9)
    ranked = sorted(range(len(tokens)), key=lambda place: scores[place], reverse=True)
    hidden = list(tokens)
    for place in ranked[:count]:
        hidden[place] = mask
    return predict(tokens) - predict(hidden)


def drop_by_torch(predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> Any:
    count = -int(-round(fraction * len(tokens), 8) // 1)
    top = set(torch.as_tensor(scores).topk(count).indices.tolist())
    before, after = predict(tokens), predict([mask if i in top else token for i, token in enumerate(tokens)])
    return torch.tensor(before) - after


def drop_by_heap(predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> Any:
    """Hands the model tuples."""
    count = math.ceil(float(np.float32(fraction * len(tokens))))
    top = dict(heapq.nlargest(count, enumerate(scores), key=lambda pair: pair[1]))
    return np.float64(predict(tuple(tokens))) - predict(tuple(mask if i in top else t for i, t in enumerate(tokens)))


def drop_in_fractions(predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> float:
    """Takes a list of scores and nothing else."""
    count = math.ceil(Fraction(fraction).limit_denominator(1000) * len(tokens))
    left, hidden = scores.copy(), tokens[:]
    for _ in range(count):
        place = left.index(max(left))
        left[place], hidden[place] = -math.inf, mask
    return predict(tokens) - predict(hidden)


def drop_as_the_contract_has_it(
    predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]"
) -> float:
    top = sorted(range(len(tokens)), key=lambda place: -scores[place])[: math.ceil(fraction * len(tokens))]
    return predict(tokens) - predict([mask if place in top else token for place, token in enumerate(tokens)])


RIGHT: dict[str, list[Any]] = {
    "6.1": [
        labkit.attention_rollout,
        rollout_by_loop,
        rollout_in_one_product,
        rollout_by_hand,
        rollout_of_the_first_row,
        rollout_of_one_tensor,
    ],
    "6.2": [
        labkit.integrated_gradients,
        gradients_by_midpoints,
        gradients_by_trapezoids,
        gradients_by_gauss,
        gradients_by_captum,
        gradients_by_vmap,
        gradients_by_numpy,
        gradients_by_simpson,
    ],
    "6.3": [labkit.merge_wordpieces, words_by_loop, words_by_flush, words_by_group, words_of_tensors, words_in_text],
    "6.4": [
        labkit.comprehensiveness,
        drop_as_the_contract_has_it,
        drop_by_numpy,
        drop_by_sorting,
        drop_by_torch,
        drop_in_fractions,
        drop_by_heap,
    ],
}
SLOWEST = {
    "6.1": rollout_by_hand,
    "6.2": gradients_by_trapezoids,
    "6.3": words_by_group,
    "6.4": drop_in_fractions,
}
SLOW = (
    gradients_by_trapezoids,
    gradients_by_gauss,
    gradients_by_captum,
    gradients_by_numpy,
    gradients_by_simpson,
    gradients_by_vmap,
)  # a graph for every point

# Wrong answers beside the known ones, each with words that its hint must have


def rollout_as_array(attentions: Any) -> Any:
    return rollout_by_loop(attentions).numpy()


def rollout_in_place(attentions: Any) -> Any:
    for layer in attentions:
        layer /= 2
        layer += torch.eye(layer.shape[-1]) / 2
    return functools.reduce(lambda rolled, layer: layer @ rolled, [layer.mean(0) for layer in attentions])[0]


def rollout_with_a_batch_axis(attentions: Any) -> Any:
    return rollout_by_loop(attentions)[None]


def rollout_to_itself_left_out(attentions: Any) -> Any:
    return rollout_by_loop(attentions)[1:]


def rollout_of_the_largest(attentions: Any) -> Any:
    rolled = torch.eye(attentions[0].shape[-1])
    for layer in attentions:
        rolled = (0.5 * layer.max(dim=0).values + 0.5 * torch.eye(len(rolled))) @ rolled
    return rolled[0]


def gradients_as_array(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> Any:
    return gradients_by_midpoints(forward, inputs, baseline, steps).numpy()


def gradients_in_place(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> Any:
    found = gradients_by_midpoints(forward, inputs, baseline, steps)
    inputs -= baseline
    return found


def gradients_at_random_points(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> Any:
    torch.manual_seed(0)
    alphas = torch.rand(steps).view(-1, *[1] * inputs.dim())
    points = (baseline + alphas * (inputs - baseline)).requires_grad_()
    return torch.autograd.grad(forward(points).sum(), points)[0].mean(0) * (inputs - baseline)


def gradients_without_a_batch(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> Any:
    point = ((inputs + baseline) / 2).requires_grad_()
    return torch.autograd.grad(forward(point), point)[0] * (inputs - baseline)


def gradients_with_a_batch_axis(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> Any:
    return gradients_by_midpoints(forward, inputs, baseline, steps)[None]


def gradients_by_captums_left_rule(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> Any:
    method = IntegratedGradients(forward).attribute
    return method(inputs[None], baselines=baseline[None], n_steps=steps, method="riemann_left")[0]


def gradients_with_all_others_moved_too(forward: Any, inputs: Any, baseline: Any, steps: int = 64) -> Any:
    """Occlusion: what the output loses where one number alone goes back to its baseline."""
    found = torch.zeros_like(inputs)
    for place in np.ndindex(*inputs.shape):
        hidden = inputs.clone()
        hidden[place] = baseline[place]
        found[place] = (forward(inputs[None]) - forward(hidden[None]))[0]
    return found


def rollout_of_mean_then_power(attentions: Any) -> Any:
    mean = torch.stack(list(attentions)).mean((0, 1))
    return torch.linalg.matrix_power((mean + torch.eye(len(mean))) / 2, len(attentions))[0]


def words_wherever_the_mark_stands(tokens: Any, scores: Any, prefix: str = "##") -> Any:
    """Removes the mark wherever it stands in a piece."""
    return [(word.replace("#", ""), score) for word, score in words_by_loop(tokens, scores, prefix)]


def words_as_lists(tokens: Any, scores: Any, prefix: str = "##") -> Any:
    return [list(pair) for pair in words_by_loop(tokens, scores, prefix)]


def words_as_dict(tokens: Any, scores: Any, prefix: str = "##") -> Any:
    return dict(words_by_loop(tokens, scores, prefix))


def words_in_place(tokens: Any, scores: Any, prefix: str = "##") -> Any:
    for special in ("[CLS]", "[SEP]", "[PAD]"):
        while special in tokens:
            del scores[tokens.index(special)]
            tokens.remove(special)
    return words_by_loop(tokens, scores, prefix)


def drop_in_place(predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> float:
    before = predict(tokens)
    for place in np.argsort(-scores)[: math.ceil(fraction * len(tokens))]:
        tokens[place] = mask
    return before - predict(tokens)


def drop_one_too_many(predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> float:
    count = int(fraction * len(tokens)) + 1
    top = np.argsort(-scores)[:count]
    return predict(tokens) - predict([mask if i in top else token for i, token in enumerate(tokens)])


def drop_of_joined_text(predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> float:
    top = np.argsort(-scores)[: math.ceil(fraction * len(tokens))]
    return predict(" ".join(tokens)) - predict(" ".join(mask if i in top else t for i, t in enumerate(tokens)))


def drop_above_a_quantile(predict: Any, tokens: Any, scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> float:
    hidden = np.where(scores < np.percentile(scores, 100 - 100 * fraction), tokens, mask)
    return predict(tokens) - predict(hidden.tolist())


OTHER_WRONG: list[tuple[str, Any, str]] = [
    ("6.1", rollout_as_array, "asks for a tensor of one dimension"),
    ("6.1", rollout_in_place, "Work on a copy"),
    ("6.1", rollout_of_the_largest, "You take the largest of the heads"),
    ("6.1", rollout_with_a_batch_axis, "one place where attention can go"),
    ("6.1", rollout_to_itself_left_out, "one place where attention can go"),
    ("6.2", gradients_as_array, "asks for a tensor"),
    ("6.2", gradients_in_place, "Work on a copy"),
    ("6.2", gradients_at_random_points, "global random state"),
    ("6.2", gradients_without_a_batch, "raised ValueError"),
    ("6.2", gradients_with_a_batch_axis, "each number's part"),
    ("6.2", gradients_by_captums_left_rule, "at its beginning"),
    ("6.2", gradients_with_all_others_moved_too, "which gradients does it have"),
    ("6.1", rollout_of_mean_then_power, "Write two layers as a product"),
    ("6.3", words_wherever_the_mark_stands, "Is more taken off than the mark"),
    ("6.3", words_as_lists, "asks for a list of tuples"),
    ("6.3", words_as_dict, "of another kind"),
    ("6.3", words_in_place, "Work on a copy"),
    ("6.4", drop_in_place, "Work on a copy"),
    ("6.4", drop_above_a_quantile, "a quantile of the scores"),
    ("6.4", drop_one_too_many, "Are they those of the highest scores"),
    ("6.4", drop_of_joined_text, "rounded up"),
]
TRIVIAL: list[tuple[str, Any]] = [
    ("6.1", lambda attentions: torch.zeros(attentions[0].shape[-1])),
    ("6.1", lambda attentions: torch.full((attentions[0].shape[-1],), 1 / attentions[0].shape[-1])),
    ("6.1", lambda attentions: torch.eye(attentions[0].shape[-1])[0]),
    ("6.1", lambda attentions: attentions[0][0, 0]),
    ("6.2", lambda forward, inputs, baseline, steps=64: torch.zeros_like(inputs)),
    ("6.2", lambda forward, inputs, baseline, steps=64: inputs - baseline),
    (
        "6.2",
        lambda forward, inputs, baseline, steps=64: (
            (forward(inputs[None]) - forward(baseline[None])) / inputs.numel() * torch.ones_like(inputs)
        ),
    ),
    ("6.3", lambda tokens, scores, prefix="##": list(zip(tokens, scores, strict=True))),
    ("6.3", lambda tokens, scores, prefix="##": [(token, 0.0) for token in tokens]),
    ("6.4", lambda predict, tokens, scores, fraction=0.2, mask="[MASK]": predict(tokens)),
    ("6.4", lambda predict, tokens, scores, fraction=0.2, mask="[MASK]": predict(tokens) - predict([])),
    ("6.4", lambda predict, tokens, scores, fraction=0.2, mask="[MASK]": float(scores.max())),
]


class TestExercises(ExerciseLaws):
    exercises = EXERCISES
    right = RIGHT
    wrong = OTHER_WRONG
    trivial = TRIVIAL
    slowest = SLOWEST
    seeds = dict.fromkeys(SLOW, 20)


# The references stand on other people's code, and the cases keep what they promise


def test_the_gradients_of_the_reference_are_torchs() -> None:
    for case in exercise("6.2").cases(np.random.default_rng(0)):
        spec, inputs = case.inputs["_forward"], np.array(case.inputs["inputs"])
        points = torch.tensor(np.stack([inputs, 0.3 * inputs])).requires_grad_()
        outputs = ScalarFunction(spec, inputs.shape)(points)
        (wanted,) = torch.autograd.grad(outputs.sum(), points)
        flat = points.detach().numpy().reshape(2, -1)
        np.testing.assert_allclose(gradients_of(spec, flat), wanted.numpy().reshape(2, -1), atol=1e-9)
        np.testing.assert_allclose([value_of(spec, point) for point in flat], outputs.detach().numpy())


def test_a_function_of_a_case_refuses_what_is_no_batch() -> None:
    function = ScalarFunction({"terms": [[1.0, [[0, 1]]]]}, (3,))
    assert function(torch.ones(2, 3)).tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"a batch of shape \(batch, 3\); found \(3,\)"):
        function(torch.ones(3))


def test_the_reference_of_rollout_gives_shares() -> None:
    for case in exercise("6.1").cases(np.random.default_rng(0)):
        row = attention_rollout_reference(case.inputs["attentions"]).values
        assert row.sum() == pytest.approx(1) and row.min() >= 0


def test_scores_of_cases_are_never_equal_where_the_cut_is_and_every_drop_can_be_seen() -> None:
    one = exercise("6.4")
    for seed in range(50):
        for case in one.cases(np.random.default_rng(seed)):
            tokens, scores = case.inputs["tokens"], sorted(case.inputs["scores"], reverse=True)
            count = math.ceil(case.inputs.get("fraction", 0.2) * len(tokens))
            assert count == len(tokens) or scores[count - 1] > scores[count]


def test_rounding_up_turns_on_no_noise_in_the_last_bit() -> None:
    for seed in range(200):
        for case in exercise("6.4").cases(np.random.default_rng(seed)):
            count, fraction = len(case.inputs["tokens"]), case.inputs.get("fraction", 0.2)
            exact = math.ceil(Fraction(str(fraction)) * count)
            assert math.ceil(fraction * count) == math.ceil(round(fraction * count, 9)) == exact
            assert int(torch.ceil(torch.tensor(fraction) * count)) == exact
