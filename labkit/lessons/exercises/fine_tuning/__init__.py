"""The checks of lesson 03, one module an exercise."""

from labkit.lessons.exercises.fine_tuning.accumulate_gradients import ACCUMULATE_GRADIENTS
from labkit.lessons.exercises.fine_tuning.eval_epoch import EVAL_EPOCH
from labkit.lessons.exercises.fine_tuning.parameter_groups import PARAMETER_GROUPS
from labkit.lessons.exercises.fine_tuning.train_epoch import TRAIN_EPOCH
from labkit.lessons.exercises.fine_tuning.warmup_linear import WARMUP_LINEAR

EXERCISES = (WARMUP_LINEAR, PARAMETER_GROUPS, ACCUMULATE_GRADIENTS, TRAIN_EPOCH, EVAL_EPOCH)
