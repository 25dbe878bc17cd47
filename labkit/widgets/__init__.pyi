"""The public names of labkit.widgets, read by type checkers and by the import that waits for their first use."""

from .asking import (
    outcome as outcome,
    predict as predict,
    reflection as reflection,
)
from .explorers.attention import attention_explorer as attention_explorer
from .explorers.batches import batch_explorer as batch_explorer
from .explorers.calibration import calibration_explorer as calibration_explorer
from .failing import expect_error as expect_error
from .hinting import further_hints as further_hints
from .hinting import offer_further_hint as offer_further_hint
from .explorers.learning_rate import learning_rate_explorer as learning_rate_explorer
from .explorers.lengths import max_length_explorer as max_length_explorer
from .lesson_page import lesson_page as lesson_page
from .explorers.live import live_training as live_training
from .explorers.review import review_explorer as review_explorer
from .showing import (
    figure as figure,
    show_source as show_source,
)
from .explorers.spelling import wordpiece_explorer as wordpiece_explorer
from .explorers.stopping import stopping_explorer as stopping_explorer
from .explorers.tables import token_table as token_table
from .explorers.threshold import threshold_explorer as threshold_explorer
from .explorers.tokenizer import tokenizer_explorer as tokenizer_explorer
from .explorers.words import word_explorer as word_explorer
