"""The checks of lesson 06, one module an exercise."""

from labkit.checks.explainability.attention_rollout import ATTENTION_ROLLOUT
from labkit.checks.explainability.comprehensiveness import COMPREHENSIVENESS
from labkit.checks.explainability.integrated_gradients import INTEGRATED_GRADIENTS
from labkit.checks.explainability.merge_wordpieces import MERGE_WORDPIECES

EXERCISES = (ATTENTION_ROLLOUT, INTEGRATED_GRADIENTS, MERGE_WORDPIECES, COMPREHENSIVENESS)
