"""The type I error rate of each test, by simulation.

Two small worlds in which nothing is better than anything, so that whatever a test finds is a false alarm. In the first, two
recipes are equally good by construction (the same learner on two equally informative halves of the features), so a test over
folds that finds one better is wrong. In the second, two trained models are equally accurate by construction, so a test on their
predictions that finds one better is wrong. A test at the 5 % level may be wrong 5 % of the time. Numpy only, seconds; trains
nothing of the course's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from labkit.display import html_table, text_table
from labkit.evaluation.arrays import FloatArray
from labkit.evaluation.comparison import bootstrap_p, fold_p_values, mcnemar_p_values
from labkit.evaluation.intervals import Score, proportion_interval

EXAMPLES = 100  # in the first world
FEATURES = 2  # of each recipe
SIGNAL = 0.1  # the distance of a class's mean from 0, in standard deviations, by feature
REPEATS = 5  # of the whole cross-validation, in new folds
TEST_EXAMPLES = 500  # in the second world
RESAMPLES = 1000
ABOUT = {
    "naive k-fold t-test": "takes the k folds of one cross-validation for independent",
    "naive repeated k-fold t-test": f"the same with the folds of {REPEATS} cross-validations",
    "McNemar over all folds": "takes the predictions of k models for those of one",
    "corrected k-fold t-test": "knows that the folds share their training examples (Nadeau & Bengio 2003)",
    "McNemar, one test set": "two trained models on the same new examples",
    "paired bootstrap, one test set": "the same, by resampling the examples",
}


@dataclass(frozen=True)
class FalseAlarms:
    """By test, how often it found a difference where there was none.

    rates: the share of the repetitions, with its interval.
    """

    rates: Mapping[str, Score]
    level: float
    repetitions: int
    k: int

    @property
    def caption(self) -> str:
        """What was simulated, and how often."""
        return (
            f"False alarms at the {self.level:.0%} level, k = {self.k}: share of {self.repetitions:,} simulated comparisons of "
            "equals, 95% intervals"
        )

    def __str__(self) -> str:
        return f"{self.caption}\n{text_table(self._rows())}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.caption, [("test", "false alarms", "what it does"), *self._rows()])

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(name, str(rate), ABOUT[name]) for name, rate in self.rates.items()]


def false_alarm_rates(k: int = 5, repetitions: int = 1000, level: float = 0.05, seed: int = 0) -> FalseAlarms:
    """Compare equals with each test, and count how often p is below `level`.

    Each test gets `repetitions` comparisons. Takes a few seconds. The same seed gives the same rates. Raises ValueError for
    k < 2, more folds than pairs of examples, or repetitions < 1.
    """
    if not 2 <= k <= EXAMPLES // 2 or repetitions < 1:
        raise ValueError(f"wanted 2 <= k <= {EXAMPLES // 2} and repetitions >= 1; found k = {k}, {repetitions}")
    generator = np.random.default_rng(seed)
    p_values = _two_recipes(k, repetitions, generator) | _two_models(repetitions, generator)
    rates = {name: proportion_interval(int((p_values[name] < level).sum()), repetitions) for name in ABOUT}
    return FalseAlarms(rates, level, repetitions, k)


def _two_recipes(k: int, repetitions: int, generator: np.random.Generator) -> dict[str, FloatArray]:
    """Simulate the tests over folds; p-values, (repetitions,) each."""
    signs = np.where(np.arange(EXAMPLES) % 2, 1.0, -1.0)[:, None, None]  # of the class
    examples = generator.normal(size=(repetitions, EXAMPLES, 2, FEATURES)) + SIGNAL * signs
    towards_its_class = examples * signs  # their sum is the direction that the learner takes: nearest class mean
    total = towards_its_class.sum(axis=1)
    differences = np.zeros((REPEATS, repetitions, EXAMPLES))
    fold_scores: list[FloatArray] = []
    for repeat in range(REPEATS):
        fold_of = np.repeat(generator.permutation(EXAMPLES // 2) % k, 2)  # both classes in each
        for fold in range(k):
            held_out = fold_of == fold
            direction = total - towards_its_class[:, held_out].sum(axis=1)
            right = np.einsum("rnaf,raf->rna", towards_its_class[:, held_out], direction) > 0
            difference = right[..., 0].astype(float) - right[..., 1]
            differences[repeat][:, held_out] = difference
            fold_scores.append(difference.mean(axis=1))
    one, all_of_them = np.stack(fold_scores[:k], axis=1), np.stack(fold_scores, axis=1)
    only_a, only_b = ((differences[0] == sign).sum(axis=1) for sign in (1, -1))
    return {
        "naive k-fold t-test": fold_p_values(one, 0.0),
        "naive repeated k-fold t-test": fold_p_values(all_of_them, 0.0),
        "corrected k-fold t-test": fold_p_values(one, 1 / (k - 1)),
        "McNemar over all folds": mcnemar_p_values(only_a, only_b),
    }


def _two_models(repetitions: int, generator: np.random.Generator) -> dict[str, FloatArray]:
    """Simulate the tests on one test set; p-values, (repetitions,) each.

    Some examples are hard for both models.
    """
    difficulty = generator.normal(size=(repetitions, TEST_EXAMPLES, 1))
    right = difficulty + generator.normal(size=(repetitions, TEST_EXAMPLES, 2)) < 1.5  # the same for both
    only_a, only_b = ((right[..., a] & ~right[..., 1 - a]).sum(axis=1) for a in (0, 1))
    counts = np.stack([only_a, only_b, TEST_EXAMPLES - only_a - only_b], axis=1)
    bootstrap = np.empty(repetitions)
    for repetition, count in enumerate(counts):
        # Drawing examples with replacement draws from these three kinds, so their numbers are enough.
        drawn = generator.multinomial(TEST_EXAMPLES, count / TEST_EXAMPLES, size=RESAMPLES)
        bootstrap[repetition] = bootstrap_p((drawn[:, 0] - drawn[:, 1]).astype(np.float64))
    return {"McNemar, one test set": mcnemar_p_values(only_a, only_b), "paired bootstrap, one test set": bootstrap}
