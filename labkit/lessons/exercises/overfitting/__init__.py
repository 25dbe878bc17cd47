"""The checks of lesson 05, one module an exercise."""

from labkit.lessons.exercises.overfitting.bootstrap_interval import BOOTSTRAP_INTERVAL
from labkit.lessons.exercises.overfitting.early_stopping import EARLY_STOPPING
from labkit.lessons.exercises.overfitting.fit_with_early_stopping import FIT_WITH_EARLY_STOPPING
from labkit.lessons.exercises.overfitting.stratified_kfold import STRATIFIED_KFOLD

EXERCISES = (EARLY_STOPPING, FIT_WITH_EARLY_STOPPING, STRATIFIED_KFOLD, BOOTSTRAP_INTERVAL)
