"""How the rows of `make benchmark` were measured: the words under its tables."""

from side_by_side.ratios import CERTAINTY, LEVEL, MARGIN
from side_by_side.rounds import DISTURBED
from side_by_side.rows import SLOW, Setting

METHOD = f"""
* Each row is a process of its own. Within a round the rows come in an order drawn anew for each round; the round's number is
  the seed of order, head and dropout of all its rows, so all start from the same weights.
* The clock of a training row runs from the start of training to the end of its last step: making the optimizer counts; imports,
  loading weights, tokenizing, making a peer's own objects and the evaluation afterwards do not. labkit's clock stops later than
  its peers', when the record of its last epoch is there: what its optimizer put off, keeping the best weights and a validation
  on two reviews count. That of an evaluation row runs from texts to probabilities, in the order of the data set: tokenizing
  counts on both sides.
* Reviews a second and memory are medians over the rounds. Ratios are medians of the ratios within a round, with a {LEVEL:.0%}
  interval: Student's t of their logarithms. A figure is met where the interval reaches it.
* A row named slow, or whose first undisturbed result is under {SLOW:g} reviews a second, uses FEW reviews (from the next
  round on).
* A round is disturbed where others used more than {DISTURBED:.0%} of the machine while a row's clock ran: all processor
  time, stolen time included, minus this process's own. It is broken off, and one more is run in its place.
* The comparison is void where a row's training loss over the last quarter of its steps, or its held-out loss, is in the mean of
  the paired differences more than {MARGIN} from that of the Trainer's row of the same model, precision and reviews (dynamic
  padding, else grouped by length), and the {CERTAINTY:.0%} t interval of the difference leaves out 0; or where two evaluations
  of the same weights differ.
* The held-out loss is that of the plain model in fp32, for every row. Of the reviews held out a row gets the same share as of
  the training reviews.
* Useful arithmetic is 6 x parameters outside the embeddings x real tokens, so padding counts as waste. The limit of a round is
  the best rate of all matrix products in the layers' passes, forward and back, over 1,024 tokens.
* Peak memory is the process's, imports included; on CUDA that of the tensors on the device. Joules are those of all processor
  packages, or on CUDA of the GPU.
""".strip()


def method(setting: Setting) -> str:
    """A Markdown list."""
    return METHOD.replace("FEW", f"{setting.few:,}")
