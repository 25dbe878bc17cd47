"""The checks of lesson 05, one module an exercise."""

from labkit.checks.overfitting.bootstrap_interval import BOOTSTRAP_INTERVAL
from labkit.checks.overfitting.early_stopping import EARLY_STOPPING
from labkit.checks.overfitting.fit_with_early_stopping import FIT_WITH_EARLY_STOPPING
from labkit.checks.overfitting.stratified_kfold import STRATIFIED_KFOLD

EXERCISES = (EARLY_STOPPING, FIT_WITH_EARLY_STOPPING, STRATIFIED_KFOLD, BOOTSTRAP_INTERVAL)
