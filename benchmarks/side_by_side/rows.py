"""What is measured: the settings that all rows share, and the rows themselves.

Measures nothing (measure.py) and does not say in which order (rounds.py).
"""

from dataclasses import dataclass

SLOW = 30.0  # reviews per second; a row whose first result is below uses the few reviews from the next round on
BERT_BASE = "bert-base"  # the shape of BERT base with random weights, which no machine has to fetch
LIMIT = "limit"
EVALUATION = ("pipeline", "labkit-evaluation")
TRAINING = ("trainer", "accelerate", "labkit")


@dataclass(frozen=True)
class Setting:
    """What all rows have in common.

    examples: training reviews. few: those of slow rows. held_out: for the loss afterwards.
    """

    model: str = "minilm"
    examples: int = 2048
    few: int = 512
    held_out: int = 512
    batch_size: int = 32
    epochs: int = 1
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    max_grad_norm: float = 1.0

    def steps(self, examples: int) -> int:
        """Optimizer steps in the whole training on so many reviews."""
        return self.epochs * -(-examples // self.batch_size)


@dataclass(frozen=True)
class Row:
    """One way to train or to evaluate.

    does: who computes (one of TRAINING, EVALUATION, or LIMIT). batching: of labkit, or fixed, dynamic, grouped. precision:
    fp32, half (what this device is best at), or auto. model: empty for the setting's. few: measured on the few reviews.
    examples, micro_batch_size, length (tokens of every review): where a row differs from the setting.
    """

    name: str
    about: str
    does: str
    batching: str = "buckets"
    precision: str = "auto"
    model: str = ""
    few: bool = False
    fast_path: str = "full"
    examples: int | None = None
    micro_batch_size: int | None = None
    length: int | None = None

    @property
    def is_peer(self) -> bool:
        """Whether a ratio of labkit may be to this row.

        It must be somebody else's, on the full number of reviews or the model's only one.
        """
        return self.does in ("trainer", "accelerate", "pipeline") and not self.name.endswith("-few")


LABKIT, EXACT, LABKIT_FP32 = "labkit", "labkit-exact-half", "labkit-fp32"
DYNAMIC, GROUPED = "trainer-dynamic-half", "trainer-grouped-half"
ORIGINAL, GROUPED_FP32 = "trainer-fixed-fp32", "trainer-grouped-fp32"
LABKIT_BASE = "labkit-half-bert-base"
PIPELINE, EVALUATE_FP32, EVALUATE = "pipeline-fp32", "labkit-evaluation-fp32", "labkit-evaluation"

ROWS = (
    Row(ORIGINAL, "Trainer, every row padded to 128, fp32 (the original lab)", "trainer", "fixed", "fp32", few=True),
    Row("trainer-dynamic-fp32-few", "Trainer, dynamic padding, fp32", "trainer", "dynamic", "fp32", few=True),
    Row("trainer-dynamic-fp32", "Trainer, dynamic padding, fp32", "trainer", "dynamic", "fp32"),
    Row(GROUPED_FP32, "Trainer, grouped by length, fp32", "trainer", "grouped", "fp32"),
    Row(LABKIT_FP32, "labkit, fp32", "labkit", precision="fp32"),
    Row(DYNAMIC, "Trainer, dynamic padding (its default), half", "trainer", "dynamic", "half"),
    Row(GROUPED, "Trainer, grouped by length, half", "trainer", "grouped", "half"),
    Row("accelerate-dynamic-half", "Accelerate, plain loop, dynamic padding, half", "accelerate", "dynamic", "half"),
    Row("accelerate-grouped-half", "Accelerate, plain loop, grouped by length, half", "accelerate", "grouped", "half"),
    Row(EXACT, "labkit, ordinary dropout and dense embedding gradient, half", "labkit", precision="half", fast_path="exact"),
    Row(LABKIT, "labkit (its default)", "labkit"),
    Row("trainer-grouped-half-bert-base", "Trainer, grouped by length, half", "trainer", "grouped", "half", BERT_BASE, True),
    Row(LABKIT_BASE, "labkit, half", "labkit", precision="half", model=BERT_BASE, few=True),
    Row(PIPELINE, "transformers pipeline, batch 32, fp32", "pipeline", precision="fp32"),
    Row(EVALUATE_FP32, "labkit, fp32", "labkit-evaluation", precision="fp32"),
    Row(EVALUATE, "labkit (its default)", "labkit-evaluation"),
    Row(LIMIT, "matrix products", LIMIT),
)  # fmt: skip
