# ---
# title: Dataset
# minutes: 60
# further: 35
# ---

# %% [markdown]
# # 02 · Dataset
#
# A model learns what its examples show, and nothing else. This lesson goes from the ratings that people gave to the
# batches that a model trains on. On the way it takes apart the two quiet ways to fool yourself: labels that say less
# than they seem to, and a test that has been in the lesson.

# %% [markdown]
# **You will be able to**
#
# * turn ratings into labels, and say what that costs,
# * split reviews so that a score means something,
# * write a PyTorch `Dataset` and pad its batches,
# * measure how much of the computing is padding, and do away with it.

# %% [markdown]
# **You need** lesson 01: tokens, `max_length`, the attention mask. **Time**: about 60 minutes,
# and 95 minutes with the sections headed *Further*, which can wait.
#
# The *profile* says with which model and how many reviews. You chose it in lesson 00.

# %%
import numpy as np

import labkit
from labkit.checks import check
from labkit.lessons import open_lesson
from labkit.widgets import expect_error, figure, outcome, predict

lesson = open_lesson()
lesson

# %% [markdown]
# ## What people said
#
# Each review is a sentence or two about a film. Between 15 and 29 people read it and gave it a whole number, from -4
# (very bad) to +4 (very good). The corpus keeps their ratings and the mean. (Hutto and Gilbert, 2014.)
#
# Where those reviews could not be fetched, a sample written for this course stands in.

# %%
corpus = lesson.corpus
for place in range(4):
    print(f"{corpus.ratings[place]:+.2f}  {corpus.texts[place]}")
corpus

# %% [markdown]
# Before you look at all of them: how many reviews did people find neither good nor bad?

# %%
shares = ["fewer than 1 in 6", "1 in 6 to 1 in 3", "more than 1 in 3"]
predict("02-neutral", "How many reviews have a mean rating between -0.5 and +0.5?", shares)

# %%
from labkit.figures import rating_histogram

neutral = np.mean(np.abs(corpus.ratings) < 0.5)
figure(rating_histogram(corpus.ratings, neutral_band=0.5))
found = shares[int(neutral > 1 / 6) + int(neutral > 1 / 3)]
outcome("02-neutral", found, f"{neutral:.1%} of them.")

# %% [markdown]
# ### Where people disagree
#
# A mean hides a lot. The next cell shows single ratings: first the review on which people agree most, then the one on
# which they differ most. Read the second one twice. What would you have given it?

# %%
from labkit.figures import rater_votes

if corpus.rater_ratings:
    spread = labkit.rater_spread(corpus)
    for place in (spread.argmin(), spread.argmax()):
        figure(rater_votes(corpus.rater_ratings[place], text=corpus.texts[place]))
else:
    print("The written sample has one rating a review, its authors': there is nobody to disagree.")

# %% [markdown]
# A label keeps only the side of 0 on which the mean lies. So ask: how many of the people stand on that side themselves?

# %%
from labkit.figures import rater_agreement_figure

if corpus.rater_ratings:
    agreement = labkit.rater_agreement(corpus)
    figure(rater_agreement_figure(corpus.ratings, agreement, neutral_band=0.5))
else:
    print("The written sample has no single ratings, so this cannot be asked of it.")

# %% [markdown]
# Near 0 a label says little: other people might well have put the review on the other side. No model can learn a
# verdict on which people toss a coin. So we leave out the reviews in a *neutral band* around 0.

# %% [markdown]
# ### Exercise 2.1
#
# From a rating to a label: 1 for positive, 0 for negative, and `None` for a review to be left out. Mind the edge of the
# band, and a rating that is missing (NaN).


# %% exercise="2.1"
def rating_to_label(rating, neutral_band=0.5):
    """The label of a mean rating: 1 for positive, 0 for negative, None for neutral or missing.

    rating: a float, NaN where it is missing. neutral_band: greater than 0. Neutral is a rating
    nearer to 0 than that; one exactly on the edge has a label.
    """
    ### BEGIN SOLUTION
    if np.isnan(rating) or abs(rating) < neutral_band:
        return None
    return int(rating > 0)
    ### END SOLUTION


# %% check="2.1"
result = check("2.1", rating_to_label)
result

# %% [markdown]
# ### What the band costs
#
# From here on the lesson uses labkit's version of each function. How many reviews does a wider band lose?

# %%
for band in (0.25, 0.5, 1, 2):
    labels = [labkit.rating_to_label(rating, band) for rating in corpus.ratings]
    lost = labels.count(None)
    print(f"band {band:<4} {lost:6,} of {len(labels):,} reviews left out, {lost / len(labels):.1%}")

# %% [markdown]
# Reviews are not the whole price. The hard ones leave the *test* too, so the wider the band, the easier the exam. A
# score on what is left says nothing of lukewarm reviews, and a user will send you those as well. When you report a
# score, report the band.

# %% [markdown]
# The course takes 0.5. `lesson.reviews` has the labels, and its notes say what was left out or stands out.

# %%
reviews = lesson.reviews
print(*reviews.notes, sep="\n")
reviews

# %% [markdown]
# ## Copies, and a test that was in the lesson
#
# Texts from the web come with copies: once in capitals, once with a space more. To our tokenizer, which lowers all
# letters, such copies are one and the same text.

# %%
one, other = lesson.tokenizer(["A fine film.", "  a FINE film. "])["input_ids"]
print("the same ids:", one == other)

# %% [markdown]
# Our corpus was made with care and has next to none. Many are not. So we plant some: copies of 3 reviews in 10, most
# of them spelled a little differently.

# %%
planted = labkit.plant_copies(reviews, share=0.3)
for text in planted.texts[-3:]:
    print(repr(text))
planted

# %% [markdown]
# **Break it first.** Shuffle everything and cut it at 80 and 90 %, as many do. `labkit.leaks` counts the texts of a split
# that stand in the training split as well.

# %%
order = np.random.default_rng(0).permutation(len(planted))
cuts = [int(0.8 * len(order)), int(0.9 * len(order))]
naive = labkit.Splits(*[planted.select(part) for part in np.split(order, cuts)])
print(f"{len(naive.validation):,} validation and {len(naive.test):,} test reviews")
print("stand in training too:", labkit.leaks(naive))

# %% [markdown]
# Does it matter? Take a model that only remembers: *nearest neighbour* gives a review the label of the most similar
# training review. It understands nothing. Here is its accuracy on that test split.

# %%
from labkit import score_table

remembered = labkit.nearest_neighbour(naive.train, naive.test)
flattered = score_table(remembered).accuracy
print("accuracy on the naive test split:", flattered)

# %%
verdicts = ["lower", "about the same (within 3 points)", "higher"]
question = "Now split so that all copies of a text stay together. What will the accuracy be?"
predict("02-leak", question, verdicts)

# %% [markdown]
# ### Exercise 2.2
#
# Write that split. Three things must hold at once: copies stay together, each split has the size asked for, and each
# has the same share of positive reviews.
#
# One way: gather the places of equal texts; take each class by itself; shuffle its groups; deal them out.


# %% exercise="2.2"
def stratified_split(texts, labels, fractions=(0.8, 0.1, 0.1), seed=0):
    """The places of each split's reviews: {"train": [...], "validation": [...], "test": [...]}.

    Every place from 0 to len(texts) - 1 stands in exactly one list. The sizes of the lists are the
    `fractions` of the whole (within 2 % of it), and their class shares those of the whole (within
    3 points). Texts that are equal after .strip().lower() are copies: they share a label, and they
    stand in the same list. The same seed gives the same split, another seed another.

    Draw from np.random.default_rng(seed): that leaves everybody else's random numbers alone.
    """
    ### BEGIN SOLUTION
    groups = {}
    for place, text in enumerate(texts):
        groups.setdefault(text.strip().lower(), []).append(place)
    generator = np.random.default_rng(seed)
    parts = {"train": [], "validation": [], "test": []}
    names = list(parts)
    for label in (0, 1):
        of_class = [copies for copies in groups.values() if labels[copies[0]] == label]
        generator.shuffle(of_class)
        ends = np.cumsum(fractions) * sum(len(copies) for copies in of_class)
        dealt = 0
        for copies in of_class:
            parts[names[np.searchsorted(ends[:-1], dealt, side="right")]] += copies
            dealt += len(copies)
    return parts
    ### END SOLUTION


# %% check="2.2"
result = check("2.2", stratified_split)
result

# %% [markdown]
# Now the same reviews and the same model, but no copy of a test review in the lesson.

# %%
parts = labkit.stratified_split(planted.texts, planted.labels, seed=0)
honest = labkit.Splits(**{name: planted.select(places) for name, places in parts.items()})
print("stand in training too:", labkit.leaks(honest))
accuracy = score_table(labkit.nearest_neighbour(honest.train, honest.test)).accuracy
print("accuracy on the honest test split:", accuracy)

# %%
change = accuracy.value - flattered.value
said = f"From {flattered.value:.3f} to {accuracy.value:.3f}. Only the split is another."
outcome("02-leak", verdicts[int(change > -0.03) + int(change > 0.03)], said)

# %% [markdown]
# Where did the difference come from? Go back to the naive test split, and look at the two kinds of reviews in it apart.

# %%
from labkit import normalise

known = {normalise(text) for text in naive.train.texts}
seen = np.array([normalise(text) in known for text in naive.test.texts])
print(f"with a copy in training: {remembered.correct[seen].mean():.3f} of {seen.sum():,} right")
print(f"new:                     {remembered.correct[~seen].mean():.3f} of {(~seen).sum():,} right")

# %% [markdown]
# This is *leakage*: something about the test was there in training. It raises no error and it makes you happy, so
# nobody looks for it. A large model that has seen a text a few times remembers it too.

# %% [markdown]
# ### Further: why the classes in equal shares?
#
# Let 1 review in 10 be positive, and draw a test split of 30 out of 300, five times over. How many positive ones does
# it get?

# %%
few = np.repeat([0, 1], [270, 30])
texts = [f"review {number}" for number in range(300)]
for seed in range(5):
    drawn = np.random.default_rng(seed).permutation(few)[:30].sum()
    dealt = few[labkit.stratified_split(texts, few, seed=seed)["test"]].sum()
    print(f"seed {seed}: {drawn} by chance, {dealt} stratified")

# %% [markdown]
# With so few positive reviews in a test, every one counts, and how many there are should not be luck. *Stratified*
# means: each class is dealt out by itself.

# %% [markdown]
# ### A test split that nobody can draw again
#
# Who can draw the test split anew can draw until the score pleases, even without meaning to. So in this course nobody
# draws it. A hash of the text decides: about one text in ten, on every machine.

# %%
from labkit import in_test_split

text = lesson.splits.test.texts[0]
print(text)
in_test_split(text), in_test_split(f"  {text.upper()} ")

# %% [markdown]
# The seed changes only what may change: which of the other reviews are for validation.

# %%
first, again = (labkit.split_reviews(reviews, seed=seed) for seed in (0, 1))
print("same test split:      ", first.test.hash == again.test.hash)
print("same validation split:", first.validation.hash == again.validation.hash)

# %% [markdown]
# A hash does not look at labels. So the class shares of the test split are left to chance, and only its size keeps them
# near those of the whole. Look at the counts. These are the splits of this lesson and of those that follow.

# %%
splits = lesson.splits
for name, part in vars(splits).items():
    print(f"{name:<10} {part}")
print("stand in training too:", labkit.leaks(splits))

# %% [markdown]
# ## One review, one item
#
# PyTorch asks two things of a dataset: how many items it has, and what item *i* is. That is the whole of a `Dataset`.
# Here an item is one tokenized review with its label, not padded: how wide a batch must be, only the batch knows.

# %% [markdown]
# ### Exercise 2.3
#
# Write the three methods. Long reviews are cut to `max_length`, and the tokenizer keeps the final `[SEP]` if you let it
# do the cutting.

# %%
import torch


# %% exercise="2.3"
class ReviewDataset(torch.utils.data.Dataset):
    """Tokenized reviews. Item i: {"input_ids": ..., "attention_mask": ..., "labels": ...}.

    input_ids and attention_mask: int64 tensors of shape (tokens,), not padded, cut to max_length
    with the final [SEP] kept. labels: an int64 tensor without a dimension, as torch.tensor(1) is.
    """

    def __init__(self, texts, labels, tokenizer, max_length):
        ### BEGIN SOLUTION
        self.encoded = [tokenizer(text, truncation=True, max_length=max_length) for text in texts]
        self.labels = [int(label) for label in labels]
        ### END SOLUTION

    def __len__(self):
        ### BEGIN SOLUTION
        return len(self.labels)
        ### END SOLUTION

    def __getitem__(self, index):
        ### BEGIN SOLUTION
        names = ("input_ids", "attention_mask")
        item = {name: torch.tensor(self.encoded[index][name]) for name in names}
        return {**item, "labels": torch.tensor(self.labels[index])}
        ### END SOLUTION


# %% check="2.3"
result = check("2.3", ReviewDataset)
result

# %%
train = splits.train
dataset = labkit.ReviewDataset(train.texts, train.labels, lesson.tokenizer, max_length=128)
print(f"{len(dataset):,} items; the first:")
dataset[0]

# %% [markdown]
# ## From items to a batch
#
# **Break it first.** A `DataLoader` takes items and lays them on top of each other. Reviews have different lengths.

# %%
from torch.utils.data import DataLoader

with expect_error(RuntimeError):
    next(iter(DataLoader(dataset, batch_size=8)))

# %% [markdown]
# A tensor is a rectangle. So short rows are filled up with `[PAD]`, and the mask says which places are real. A
# DataLoader lets you do that in a function of your own, its `collate_fn`.

# %% [markdown]
# `labkit.pad_batch` pads a batch to its own longest review, on the right. This is *dynamic padding*: each batch has a width
# of its own.

# %%
from functools import partial
from itertools import islice

collate = partial(labkit.pad_batch, pad_token_id=lesson.tokenizer.pad_token_id)
for batch in islice(DataLoader(dataset, batch_size=8, collate_fn=collate), 4):
    height, width = batch["input_ids"].shape
    print(f"{height} rows, {width} wide, {int(batch['attention_mask'].sum())} real tokens")

# %% [markdown]
# What if somebody forgets the mask? Below, one review goes through the model alone, then padded beside the longest
# review, then padded without its mask. Compare the two numbers that the model gives. (Its head is untrained: what they
# are does not matter.)

# %%
model = lesson.model().eval()
lengths = np.array([len(dataset[place]["input_ids"]) for place in range(len(dataset))])
alone, padded = collate([dataset[0]]), collate([dataset[0], dataset[int(lengths.argmax())]])
forgotten = {**padded, "attention_mask": torch.ones_like(padded["attention_mask"])}
for what, batch in {"alone": alone, "padded": padded, "mask forgotten": forgotten}.items():
    with torch.inference_mode():
        print(f"{what:<15}", model(**batch).logits[0].tolist())

# %% [markdown]
# With the mask the numbers agree, up to rounding. Without it the model reads `[PAD]` as if somebody had written it. No
# error says so: the verdict of a review then depends on its neighbours in the batch.

# %% [markdown]
# ### Further: Exercise 2.4
#
# Write that padding yourself: a batch to its own longest review, on the right. The id of `[PAD]` is the caller's: it
# is not 0 in every vocabulary.


# %% exercise="2.4"
def pad_batch(features, pad_token_id):
    """Items of a ReviewDataset as a batch: {"input_ids": ..., "attention_mask": ..., "labels": ...}.

    All are int64 tensors. input_ids and attention_mask have the shape (items, longest item), padded
    on the right with pad_token_id and with 0; labels has the shape (items,). The rows keep their
    order, and the features stay as they are.
    """
    ### BEGIN SOLUTION
    longest = max(len(feature["input_ids"]) for feature in features)
    input_ids = torch.full((len(features), longest), pad_token_id)
    attention_mask = torch.zeros_like(input_ids)
    for row, feature in enumerate(features):
        length = len(feature["input_ids"])
        input_ids[row, :length] = feature["input_ids"]
        attention_mask[row, :length] = feature["attention_mask"]
    labels = torch.stack([feature["labels"] for feature in features])
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
    ### END SOLUTION


# %% check="2.4"
result = check("2.4", pad_batch)
result

# %% [markdown]
# ## What padding wastes
#
# The model computes every place of the rectangle, the padding too. The mask only keeps the real tokens from looking
# there.

# %%
wastes = ["less than half", "half to three quarters", "more than three quarters"]
predict("02-padding", "Pad every review to 128 tokens. How much of all places is padding?", wastes)

# %% [markdown]
# See for yourself. Each bar is a review; hatched is padding. Go from `fixed` to `dynamic`, then make the batches
# larger: who gains, who loses? Then try the other two: `buckets` lets reviews of nearly one length meet, `packed` lays them
# end to end in one row.

# %%
from labkit.widgets import batch_explorer

batch_explorer(lengths, batch_size=8, max_length=128)

# %%
plan = labkit.plan_epoch(lengths, 32, "fixed", seed=0)
fixed = labkit.padding_waste(lengths, plan, "fixed", max_length=128)
outcome("02-padding", wastes[int(fixed >= 0.5) + int(fixed > 0.75)], f"{fixed:.1%} of the places.")

# %% [markdown]
# ### Further: Exercise 2.5
#
# Dynamic padding still suffers when one long review meets many short ones. So let reviews of nearly one length meet:
# *length buckets*.
#
# Sort by length and cut. But if an epoch runs from short to long, its last steps learn from long reviews only. So put
# the batches in random order.


# %% exercise="2.5"
def length_bucketed_batches(lengths, batch_size, seed=0):
    """Batches of reviews of nearly one length, as a list of lists of places.

    Every place from 0 to len(lengths) - 1 stands in exactly one batch. No batch is larger than
    batch_size, and at most one is smaller. Padding wastes at most half of what it wastes in a
    random order. The batches do not come in order of length. The same seed gives the same list,
    another seed another.
    """
    ### BEGIN SOLUTION
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(lengths))
    by_length = order[np.argsort(np.asarray(lengths)[order], kind="stable")].tolist()
    starts = range(0, len(by_length), batch_size)
    batches = [by_length[start : start + batch_size] for start in starts]
    generator.shuffle(batches)
    return batches
    ### END SOLUTION


# %% check="2.5"
result = check("2.5", length_bucketed_batches)
result

# %% [markdown]
# ### Further: before and after
#
# The four ways on your training reviews, in batches of 32. *Packed* goes further still: the reviews of a batch lie end
# to end in one long row, and each attends only to itself. That takes a model that knows where one ends and the next
# begins.

# %%
from labkit import BATCHINGS
from labkit.figures import padding_waste_figure

plans = {way: labkit.plan_epoch(lengths, 32, way, seed=0) for way in BATCHINGS}
waste = {way: labkit.padding_waste(lengths, plan, way, max_length=128) for way, plan in plans.items()}
figure(padding_waste_figure(waste))

# %% [markdown]
# Buckets have a price: reviews meet by length, and no longer by chance alone. To keep it low, whole batches are
# shuffled, and reviews of one length are dealt out anew in every epoch. labkit trains in buckets unless you say
# otherwise.

# %% [markdown]
# ## Further: what waste means in seconds
#
# Places are not seconds. Take 256 reviews in three ways, and count the places that the model will compute.

# %%
part = train.select(range(256))
tokenized = labkit.tokenize(part.texts, lesson.tokenizer, max_length=128)
batches = {
    way: list(labkit.Batcher(tokenized, part.labels, way, max_length=128).epoch(32, 32, seed=0))
    for way in ("fixed", "dynamic", "buckets")
}
places = {way: sum(batch["input_ids"].numel() for batch in made) for way, made in batches.items()}
places

# %%
ratio = places["fixed"] / places["buckets"]
low, high = 0.8 * ratio, 1.2 * ratio
times = [f"less than {low:.1f} times", "about as many times", f"more than {high:.1f} times"]
question = f"Fixed has {ratio:.1f} times the places of buckets. How many times slower is it?"
predict("02-seconds", question, times)

# %% [markdown]
# Time one pass over all of them, without training. To be fair to each way: a first pass, to warm up, does not count;
# then the three take turns, twice, and the quicker time counts. Whatever else your computer does can only slow it down.

# %%
import time

on_device = model.to(labkit.choose_device())
labkit.eval_epoch(on_device, batches["buckets"])
seconds, losses = dict.fromkeys(batches, float("inf")), {}
for way in [*batches] * 2:
    began = time.perf_counter()
    losses[way] = labkit.eval_epoch(on_device, batches[way]).loss
    seconds[way] = min(seconds[way], time.perf_counter() - began)

# %%
from labkit.figures import batching_costs_figure

figure(batching_costs_figure(places, seconds, name=lesson.encoder))
longer = seconds["fixed"] / seconds["buckets"]
said = f"{longer:.1f} times as long for {ratio:.1f} times the places."
outcome("02-seconds", times[int(longer > low) + int(longer > high)], said)

# %% [markdown]
# The two need not agree. Every batch costs something whatever its width, which favours wide ones. Attention grows with
# the *square* of the width, which favours narrow ones. And a busy machine adds noise: run the cell again and see.

# %%
for way, loss in losses.items():
    print(f"{way:<8} mean loss {loss:.5f}")

# %% [markdown]
# The loss is the same up to rounding. How you pad changes what it costs, and not what comes out.

# %% [markdown]
# ## Further: the same at scale with `datasets`
#
# Our reviews fit into memory. A hundred million would not. The library `datasets` can keep its tables in *Arrow* files
# on the disk and read from there only what is asked for. This small one stands in memory, and works the same way.

# %%
import datasets

datasets.disable_progress_bars()
table = datasets.Dataset.from_dict({"text": list(train.texts), "labels": train.labels})
table

# %% [markdown]
# `map` runs a function over the table and makes a new one. With `batched=True` the function gets a thousand rows at a
# time, and a fast tokenizer can work on many of them at once. The old table stays as it was.

# %%
encode = partial(lesson.tokenizer, truncation=True, max_length=128)
encoded = table.map(encode, input_columns="text", batched=True, remove_columns="text")
encoded

# %% [markdown]
# `with_format("torch")` makes tensors of what you ask for. Then a DataLoader takes your buckets as its `batch_sampler`
# and `pad_batch` as its `collate_fn`. Is the batch the one that our own Dataset gives?

# %%
plan = labkit.length_bucketed_batches(lengths, 32, seed=0)
loader = DataLoader(encoded.with_format("torch"), batch_sampler=plan, collate_fn=collate)
from_table, ours = next(iter(loader)), collate([dataset[place] for place in plan[0]])
print("shape:", tuple(from_table["input_ids"].shape))
all(torch.equal(from_table[name], ours[name]) for name in ours)

# %% [markdown]
# A table on the disk remembers: the result of `map` is kept under a *fingerprint*, a hash of the data, the function and
# its arguments. Ask again and it is read, not computed. Change an argument and it is computed anew. Watch the number of
# kept results.

# %%
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as arrow_folder:
    table.save_to_disk(arrow_folder)
    on_disk = datasets.load_from_disk(arrow_folder)
    for max_length in (128, 128, 64):
        began = time.perf_counter()
        encode = partial(lesson.tokenizer, truncation=True, max_length=max_length)
        on_disk.map(encode, input_columns="text", batched=True)
        took = time.perf_counter() - began
        kept = len(list(Path(arrow_folder).glob("cache-*.arrow")))
        print(f"max_length {max_length:>3}: {took:.2f} s, results kept: {kept}")

# %% [markdown]
# Two things to know of this cache. It grows with everything you try, beside the table or in a folder of the library's
# own. And it sees only what is in the function and its arguments: a file that your function reads may change unnoticed.

# %% [markdown]
# ## Further: your own reviews
#
# `labkit.read_reviews` takes a CSV, TSV, JSON lines or Parquet file with the columns `text` and `label` (0 or 1, neg or
# pos).
#
# **Break it first.** Here is a file whose author was not sure.

# %%
folder = tempfile.TemporaryDirectory()  # removed when the notebook's kernel ends
path = Path(folder.name) / "mine.csv"
rows = ["text,label", "A fine film.,pos", "A dull film.,neg", "Well.,maybe"]
rows += ["A FINE film. ,1", "Hmm.,perhaps", "a dull film. ,0"]
path.write_text("\n".join(rows), encoding="utf-8")

with expect_error(labkit.ReviewFileError):
    labkit.read_reviews(path)

# %% [markdown]
# A good error names the file, the line, what stood there, and what is wanted. A reader that says nothing would have
# dropped two reviews, or called them negative. A misspelled column is met the same way.

# %%
with expect_error(labkit.ReviewFileError):
    labkit.read_reviews(path, label_column="lable")

# %% [markdown]
# Decide what the two are: here they are left out. What remains is read, and the notes say what to look at.

# %%
kept = [row for row in rows if not row.endswith(("maybe", "perhaps"))]
cleaned = path.with_name("cleaned.csv")
cleaned.write_text("\n".join(kept), encoding="utf-8")
mine = labkit.read_reviews(cleaned)
print(*mine.notes, sep="\n")
mine

# %% [markdown]
# With a file of a few hundred reviews, `labkit.split_reviews(mine)` makes the three splits. In a terminal this goes the
# whole way with your file, from reviews to a trained model:
#
# ```
# labkit train --data mine.csv --output my-run
# ```

# %% [markdown]
# ## Take with you
#
# * A label is a decision. Say how it was made, and what was left out.
# * Copies in training and test flatter every score. Split groups of copies, and check for leaks.
# * A test split is fixed once, and not by you.
# * Pad to the longest of the batch, and let reviews of one length meet: same numbers, fewer seconds.

# %%
from labkit.widgets import reflection

question = "How could data of your own field leak from training into test? How would you notice?"
reflection("02-dataset", question)

# %%
from labkit.widgets import lesson_page

lesson_page("02")

# %% [markdown]
# Next: [03 · Fine-tuning](03_fine_tuning.ipynb), where these batches move the weights of a model.
