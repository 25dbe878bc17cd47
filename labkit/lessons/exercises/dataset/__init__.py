"""The checks of lesson 02, one module an exercise."""

from labkit.lessons.exercises.dataset.length_bucketed_batches import LENGTH_BUCKETED_BATCHES
from labkit.lessons.exercises.dataset.pad_batch import PAD_BATCH
from labkit.lessons.exercises.dataset.rating_to_label import RATING_TO_LABEL
from labkit.lessons.exercises.dataset.review_dataset import REVIEW_DATASET
from labkit.lessons.exercises.dataset.stratified_split import STRATIFIED_SPLIT

EXERCISES = (RATING_TO_LABEL, STRATIFIED_SPLIT, REVIEW_DATASET, PAD_BATCH, LENGTH_BUCKETED_BATCHES)
