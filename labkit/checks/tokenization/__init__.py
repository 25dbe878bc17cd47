"""The checks of lesson 01, one module an exercise."""

from labkit.checks.tokenization.encode import ENCODE
from labkit.checks.tokenization.smallest_max_length import SMALLEST_MAX_LENGTH
from labkit.checks.tokenization.wordpiece import WORDPIECE

EXERCISES = (WORDPIECE, ENCODE, SMALLEST_MAX_LENGTH)
