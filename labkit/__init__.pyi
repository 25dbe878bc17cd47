"""The public names of labkit, in the order in which a review travels.

Read by type checkers, and by `import labkit`, which imports each name when it is first used.
"""

from .errors import (
    LabkitError as LabkitError,
    UsageError as UsageError,
)
from .student_work import Work as Work
from .data.assets import (
    SHIPPED as SHIPPED,
    TINY_BERT as TINY_BERT,
    fetch as fetch,
)
from .data.readers import ReviewFileError as ReviewFileError
from .data.reviews import (
    CLASS_NAMES as CLASS_NAMES,
    Reviews as Reviews,
    load_corpus as load_corpus,
    movie_reviews as movie_reviews,
    normalise as normalise,
    rating_to_label as rating_to_label,
    read_reviews as read_reviews,
    sample_corpus as sample_corpus,
    sample_reviews as sample_reviews,
)
from .data.splits import (
    Splits as Splits,
    in_test_split as in_test_split,
    leaks as leaks,
    plant_copies as plant_copies,
    split_reviews as split_reviews,
    stratified_split as stratified_split,
)
from .evaluation.annotators import (
    krippendorffs_alpha as krippendorffs_alpha,
    rater_agreement as rater_agreement,
    rater_spread as rater_spread,
    ratings_of as ratings_of,
)
from .data.tokens import (
    Tokenized as Tokenized,
    encode as encode,
    length_costs as length_costs,
    load_tokenizer as load_tokenizer,
    new_word_shares as new_word_shares,
    smallest_max_length as smallest_max_length,
    tokenize as tokenize,
    tokenize_parts as tokenize_parts,
    wordpiece as wordpiece,
    words_of as words_of,
)
from .data.dataset import (
    ReviewDataset as ReviewDataset,
    pad_batch as pad_batch,
)
from .data.batching import (
    BATCHINGS as BATCHINGS,
    Batch as Batch,
    Batcher as Batcher,
    length_bucketed_batches as length_bucketed_batches,
    padding_waste as padding_waste,
    plan_epoch as plan_epoch,
)
from .models.encoders import (
    ENCODERS as ENCODERS,
    freeze as freeze,
    load_classifier as load_classifier,
    load_encoder as load_encoder,
)
from .models.dropout import (
    DropoutMasks as DropoutMasks,
    Mask as Mask,
)
from .models.unpadded import Unpadded as Unpadded
from .training.optimizer import (
    LazyAdamW as LazyAdamW,
    clip_gradients as clip_gradients,
    parameter_groups as parameter_groups,
)
from .training.config import (
    Config as Config,
    ConfigError as ConfigError,
)
from .training.precision import (
    Precision as Precision,
    bf16_speedup as bf16_speedup,
    choose_device as choose_device,
    choose_precision as choose_precision,
)
from .lessons.stand_ins import (
    encoder_or_tiny as encoder_or_tiny,
    movie_reviews_or_sample as movie_reviews_or_sample,
)
from .training.memory import (
    AutomaticMicroBatch as AutomaticMicroBatch,
    OutOfMemory as OutOfMemory,
    activation_bytes as activation_bytes,
    free_memory as free_memory,
    state_bytes as state_bytes,
)
from .training.cuda_graphs import GraphedGradients as GraphedGradients
from .evaluation.metrics import (
    EvalResult as EvalResult,
    average_precision as average_precision,
    best_f1_threshold as best_f1_threshold,
    confidently_wrong as confidently_wrong,
    confusion_matrix as confusion_matrix,
    precision_recall_f1 as precision_recall_f1,
    roc_auc as roc_auc,
    softmax as softmax,
)
from .evaluation.calibration import (
    abstention_curve as abstention_curve,
    at_temperature as at_temperature,
    expected_calibration_error as expected_calibration_error,
    fit_temperature as fit_temperature,
    reliability_bins as reliability_bins,
)
from .evaluation.intervals import (
    Score as Score,
    bootstrap_interval as bootstrap_interval,
    proportion_interval as proportion_interval,
    score_table as score_table,
)
from .training.checkpoints import CheckpointFolder as CheckpointFolder
from .training.loop import (
    EpochRecord as EpochRecord,
    accumulate_gradients as accumulate_gradients,
    eval_epoch as eval_epoch,
    train_epoch as train_epoch,
    warmup_linear as warmup_linear,
)
from .training.early_stopping import (
    EarlyStopping as EarlyStopping,
    fit_with_early_stopping as fit_with_early_stopping,
)
from .training.fit import (
    evaluate as evaluate,
    fit as fit,
)
from .training.gradients import (
    gradient_difference as gradient_difference,
    gradient_sizes as gradient_sizes,
    gradients_of as gradients_of,
)
from .training.step_costs import step_costs as step_costs
from .lessons.limited_memory import LimitedMemory as LimitedMemory
from .experiments.run_folder import compare_runs as compare_runs
from .experiments.fine_tuning import (
    FineTuned as FineTuned,
    fine_tune as fine_tune,
    make_batchers as make_batchers,
)
from .evaluation.baselines import (
    majority as majority,
    nearest_neighbour as nearest_neighbour,
    tfidf as tfidf,
)
from .evaluation.comparison import (
    Comparison as Comparison,
    McNemar as McNemar,
    compare_models as compare_models,
    fold_test as fold_test,
    mcnemar as mcnemar,
)
from .experiments.folds import (
    CrossValidation as CrossValidation,
    Repetition as Repetition,
    SeedSpread as SeedSpread,
    compare_folds as compare_folds,
    cross_validate as cross_validate,
    fold_splits as fold_splits,
    seed_spread as seed_spread,
    stratified_kfold as stratified_kfold,
)
from .evaluation.false_alarms import false_alarm_rates as false_alarm_rates
from .evaluation.human_ceiling import (
    HumanCeiling as HumanCeiling,
    human_ceiling as human_ceiling,
    human_ceiling_or_notice as human_ceiling_or_notice,
)
from .explanation.attribution import (
    Attribution as Attribution,
    AttributionError as AttributionError,
    Explanations as Explanations,
)
from .explanation.attention import (
    AttentionWeights as AttentionWeights,
    attention_rollout as attention_rollout,
    attention_weights as attention_weights,
)
from .explanation.methods import (
    embedded_review as embedded_review,
    explain as explain,
    integrated_gradients as integrated_gradients,
    merge_wordpieces as merge_wordpieces,
)
from .explanation.agreement import (
    measure_agreement as measure_agreement,
    rank_correlation as rank_correlation,
)
from .explanation.faithfulness import (
    comprehensiveness as comprehensiveness,
    measure_faithfulness as measure_faithfulness,
)
from .explanation.randomisation import randomisation_check as randomisation_check
from .explanation.spurious_cue import (
    cue_found as cue_found,
    plant_cue as plant_cue,
)
from .evaluation.behaviour import (
    BehaviourTest as BehaviourTest,
    behaviour_tests as behaviour_tests,
    check_behaviour as check_behaviour,
)
from .lessons.lesson import (
    Lesson as Lesson,
    open_lesson as open_lesson,
)
from .report.page import write_report as write_report
from .experiments.main_job import main_job as main_job
from .serving.classifier import (
    Classifier as Classifier,
    Prediction as Prediction,
)
from .doctor import examination as examination

__version__: str
