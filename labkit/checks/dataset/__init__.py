"""The checks of lesson 02, one module an exercise."""

from labkit.checks.dataset.length_bucketed_batches import LENGTH_BUCKETED_BATCHES
from labkit.checks.dataset.pad_batch import PAD_BATCH
from labkit.checks.dataset.rating_to_label import RATING_TO_LABEL
from labkit.checks.dataset.review_dataset import REVIEW_DATASET
from labkit.checks.dataset.stratified_split import STRATIFIED_SPLIT

EXERCISES = (RATING_TO_LABEL, STRATIFIED_SPLIT, REVIEW_DATASET, PAD_BATCH, LENGTH_BUCKETED_BATCHES)
