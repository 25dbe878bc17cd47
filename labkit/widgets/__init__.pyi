"""The public names of labkit.widgets, read by type checkers and by the import that waits for their first use."""

from .asking import (
    outcome as outcome,
    predict as predict,
    reflection as reflection,
)
from .attention import attention_explorer as attention_explorer
from .batches import batch_explorer as batch_explorer
from .calibration import calibration_explorer as calibration_explorer
from .failing import expect_error as expect_error
from .learning_rate import learning_rate_explorer as learning_rate_explorer
from .lengths import max_length_explorer as max_length_explorer
from .live import live_training as live_training
from .profile import choose_profile as choose_profile
from .review import review_explorer as review_explorer
from .showing import (
    figure as figure,
    show_source as show_source,
)
from .spelling import wordpiece_explorer as wordpiece_explorer
from .stopping import stopping_explorer as stopping_explorer
from .tables import token_table as token_table
from .threshold import threshold_explorer as threshold_explorer
from .tokenizer import tokenizer_explorer as tokenizer_explorer
from .words import word_explorer as word_explorer
