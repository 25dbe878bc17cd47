"""labkit: the tested helpers of a course lab for learning to fine-tune BERT.

The public names stand below in the order in which a review travels. Each is imported when it is first used, so
`import labkit` costs next to nothing and no torch.
"""

from importlib import import_module
from typing import Any

from labkit.importing import quick_imports

__version__ = "0.1.0"

_MODULES = {
    "errors": ["LabkitError", "UsageError"],
    "assets": ["fetch"],
    "readers": ["ReviewFileError"],
    "reviews": [
        "Reviews",
        "Splits",
        "load_corpus",
        "movie_reviews",
        "read_reviews",
        "sample_reviews",
        "sample_corpus",
        "rating_to_label",
        "split_reviews",
        "stratified_split",
        "plant_copies",
        "leaks",
    ],
    "raters": ["rater_agreement", "rater_spread"],
    "tokens": ["Tokenized", "load_tokenizer", "wordpiece", "tokenize", "encode", "smallest_max_length"],
    "token_cache": ["tokenize_parts"],
    "dataset": ["ReviewDataset"],
    "batching": ["Batch", "Batcher", "length_bucketed_batches", "pad_batch", "padding_waste", "plan_epoch"],
    "encoders": ["ENCODERS", "load_encoder", "load_classifier", "freeze", "parameter_groups"],
    "dropout": ["Dice", "Mask"],
    "unpadded": ["Unpadded"],
    "optimizer": ["LazyAdamW", "clip_gradients"],
    "config": ["Config", "ConfigError"],
    "precision": ["Precision", "choose_device", "choose_precision"],
    "fallback": ["encoder_or_tiny", "movie_reviews_or_sample"],
    "memory": ["AutomaticMicroBatch", "free_memory"],
    "cuda_graphs": ["GraphedGradients"],
    "metrics": [
        "EvalResult",
        "softmax",
        "precision_recall_f1",
        "confusion_matrix",
        "roc_auc",
        "average_precision",
        "best_f1_threshold",
        "confidently_wrong",
    ],
    "calibration": [
        "expected_calibration_error",
        "reliability_bins",
        "at_temperature",
        "fit_temperature",
        "abstention_curve",
    ],
    "intervals": ["Score", "bootstrap_interval", "proportion_interval", "score_table"],
    "checkpoints": ["CheckpointFolder"],
    "training": [
        "EarlyStopping",
        "EpochRecord",
        "accumulate_gradients",
        "eval_epoch",
        "evaluate",
        "fit",
        "fit_with_early_stopping",
        "train_epoch",
        "warmup_linear",
    ],
    "measuring": ["gradient_difference", "gradient_sizes", "gradients_of", "step_costs"],
    "small_room": ["SmallRoom"],
    "runs": ["FineTuned", "fine_tune"],
    "baselines": ["majority", "nearest_neighbour", "tfidf"],
    "comparison": ["Comparison", "McNemar", "compare_models", "compare_runs", "fold_test", "mcnemar"],
    "folds": ["CrossValidation", "SeedSpread", "compare_folds", "cross_validate", "seed_spread", "stratified_kfold"],
    "false_alarms": ["false_alarm_rates"],
    "ceiling": ["HumanCeiling", "human_ceiling", "human_ceiling_or_notice", "krippendorffs_alpha", "ratings_of"],
    "explanations": ["Attribution", "Explanations"],
    "attention": ["AttentionWeights", "attention_rollout", "attention_weights"],
    "attribution": ["embedded_review", "explain", "integrated_gradients", "merge_wordpieces"],
    "agreement": ["measure_agreement"],
    "faithfulness": ["comprehensiveness", "measure_faithfulness"],
    "randomisation": ["randomisation_check"],
    "cues": ["cue_found", "plant_cue"],
    "behaviour": ["BehaviourTest", "behaviour_tests", "check_behaviour"],
    "lessons": ["Lesson", "open_lesson"],
    "report": ["write_report"],
    "lab": ["main_job"],
    "serving": ["Classifier", "Prediction"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'labkit' has no attribute {name!r}")
    with quick_imports():
        value = getattr(import_module(f"labkit.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
