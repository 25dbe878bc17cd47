"""The checks of lesson 06, one module an exercise."""

from labkit.lessons.exercises.explainability.attention_rollout import ATTENTION_ROLLOUT
from labkit.lessons.exercises.explainability.comprehensiveness import COMPREHENSIVENESS
from labkit.lessons.exercises.explainability.integrated_gradients import INTEGRATED_GRADIENTS
from labkit.lessons.exercises.explainability.merge_wordpieces import MERGE_WORDPIECES

EXERCISES = (ATTENTION_ROLLOUT, INTEGRATED_GRADIENTS, MERGE_WORDPIECES, COMPREHENSIVENESS)
