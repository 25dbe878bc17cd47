"""The checks of lesson 04, one module an exercise."""

from labkit.lessons.exercises.metrics.best_f1_threshold import BEST_F1_THRESHOLD
from labkit.lessons.exercises.metrics.confidently_wrong import CONFIDENTLY_WRONG
from labkit.lessons.exercises.metrics.confusion_matrix import CONFUSION_MATRIX
from labkit.lessons.exercises.metrics.expected_calibration_error import EXPECTED_CALIBRATION_ERROR
from labkit.lessons.exercises.metrics.precision_recall_f1 import PRECISION_RECALL_F1
from labkit.lessons.exercises.metrics.softmax import SOFTMAX

EXERCISES = (
    SOFTMAX,
    PRECISION_RECALL_F1,
    CONFUSION_MATRIX,
    BEST_F1_THRESHOLD,
    EXPECTED_CALIBRATION_ERROR,
    CONFIDENTLY_WRONG,
)
