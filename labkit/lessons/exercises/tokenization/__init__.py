"""The checks of lesson 01, one module an exercise."""

from labkit.lessons.exercises.tokenization.encode import ENCODE
from labkit.lessons.exercises.tokenization.smallest_max_length import SMALLEST_MAX_LENGTH
from labkit.lessons.exercises.tokenization.wordpiece import WORDPIECE

EXERCISES = (WORDPIECE, ENCODE, SMALLEST_MAX_LENGTH)
