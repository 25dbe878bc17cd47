# ---
# title: Overfitting
# minutes: 60
# further: 30
# ---

# %% [markdown]
# # 05 · Overfitting
#
# A model can learn its reviews by heart and know nothing about films. You will watch it happen and stop it in time. And
# then the harder half: to tell a better model from a lucky one.

# %% [markdown]
# **You will be able to**
#
# * see in two curves when overfitting begins,
# * stop a training in time, and bring its best weights back,
# * say how far a score moves with the reviews, the seed and the fold,
# * compare two models without fooling yourself.

# %% [markdown]
# **You need** lesson 03 (the training loop) and lesson 04 (loss, accuracy, confidence). **Time**: about 60 minutes,
# and 90 minutes with the sections headed *Further*, which can wait.
#
# The *profile* says with which model and on how many reviews you train.

# %% name="start"
import dataclasses
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import labkit
from labkit.checks import check
from labkit.lessons import open_lesson
from labkit.widgets import figure, live_training, outcome, predict

lesson = open_lesson()
lesson

# %% [markdown]
# ## By heart
#
# Take 64 reviews and shuffle their labels. Now nothing in a review says what its label is: there is
# nothing to understand. Train on them all the same, eight times over.

# %%
changes = ["about the same", "somewhat lower", "less than half"]
question = "With shuffled labels: after 8 epochs the training loss is ..."
predict("05-lot", question, changes)

# %%
reviews, others = lesson.part("train", 0, 64), lesson.part("train", 64, 128)
shuffled = np.random.default_rng(0).permutation(reviews.labels)
meaningless = dataclasses.replace(reviews, labels=shuffled)
rate = 2 * lesson.learning_rate  # steps twice as long as usual, so that you need not wait
settings = {"epochs": 8, "patience": 8, "batch_size": 8, "learning_rate": rate}
eight_epochs = lesson.config.replaced(settings)

# %%
from labkit.figures import learning_curves

name = lesson.encoder
memoriser = lesson.model(seed=0)
by_heart = list(labkit.fit(memoriser, meaningless, others, eight_epochs, progress=False))
figure(learning_curves(by_heart, name=name, validation_size=len(others)))

# %%
first, last = by_heart[0].train_loss, by_heart[-1].train_loss
found = changes[int(last < first - 0.05) + int(last < first / 2)]
why = f"From {first:.3f} to {last:.3f}, on labels that mean nothing."
outcome("05-lot", found, why)

# %% [markdown]
# A model of millions of numbers has room for 64 answers, right or wrong (Zhang et al., 2017). So **a low training loss
# proves nothing**. Only reviews that it has not seen can tell: here 64 others, with their true labels.

# %%
ignorant = math.log(2)
print(f"Always answering one half costs {ignorant:.3f} a review.")
after = by_heart[-1]
print(f"This model cost {after.validation_loss:.3f} on the others, after the last epoch.")
print(f"It has {after.validation_accuracy:.0%} of their true labels right.")

# %% [markdown]
# Is that more than half? It means nothing. Of 64 coin tosses 36 heads are nothing remarkable, and now and then there are
# 40. **On one small sample a model that knows nothing may well score above chance.**

# %% [markdown]
# ## Few reviews, many epochs
#
# Now an honest job: a few reviews with their true labels, six times over. Patience 6 means: never stop early. Let it run
# to the end, for what follows reads its curves.

# %%
n = min(96 if lesson.encoder == "tiny" else 160, len(lesson.splits.train) // 6)
courses = ["falls to the end", "falls, then rises again", "rises from the start"]
predict("05-loss", f"True labels, {n} reviews, 6 epochs. The validation loss ...", courses)

# %%
few, validation = lesson.part("train", 0, n), lesson.part("validation", 0, 200)
to_the_end = eight_epochs.replaced({"epochs": 6, "patience": 6})
learner = lesson.model(seed=0)
seen = live_training(learner, few, validation, to_the_end, name=name)

# %%
losses = [record.validation_loss for record in seen.epochs]
best = losses.index(min(losses))
found = courses[0 if best == len(losses) - 1 else 1 if best else 2]
why = f"Lowest after epoch {best}, {losses[best]:.3f}; after the last epoch {losses[-1]:.3f}."
outcome("05-loss", found, why)

# %% [markdown]
# Where training loss falls on and validation loss rises, the model **overfits**: what it learns there holds for these few
# reviews only. The epoch with the lowest validation loss has a star.

# %% [markdown]
# The two curves are not measured alike. The training loss is the mean *during* the epoch: of weights that were still
# changing, and with dropout. The validation loss is measured *after* it, without. So early on the solid line may well lie
# below the dashed one. Compare where each is going, not which is lower.

# %% [markdown]
# ### Further: does the accuracy notice?
#
# What the loss does you have seen. What does the share of right answers do over the same epochs?

# %%
moves = ["falls by 2 points or more", "moves by less than 2 points", "rises by 2 points or more"]
question = "From the starred epoch to the last, the validation accuracy ..."
predict("05-accuracy", question, moves)

# %%
figure(learning_curves(seen.epochs, name=name, validation_size=len(validation)))

# %%
moved = seen.epochs[-1].validation_accuracy - seen.epochs[best].validation_accuracy
found = moves[int(moved > -0.02) + int(moved >= 0.02)]
outcome("05-accuracy", found, f"It moved by {100 * moved:+.1f} points.")

# %% [markdown]
# Loss and accuracy need not agree. Accuracy asks which answers are right; loss also asks how sure the wrong ones were. A
# model that grows surer without growing righter loses by one and not by the other. Lesson 04 called it miscalibrated.

# %% [markdown]
# ## Stop in time
#
# One epoch without a better loss may be bad luck. So one waits: **patience** 2 stops after two failures in a row.

# %% [markdown]
# ### Exercise 5.1
#
# The rule, and its memory. What counts as better is more than `min_delta` below the best so far; NaN is no number and no
# improvement.


# %% exercise="5.1"
class EarlyStopping:
    """When to stop, told the validation loss of each epoch. Epochs count from 0.

    best_loss, best_epoch: of the last improvement by more than min_delta; inf and None before the
    first. patience: at least 1. NaN is no improvement.
    """

    def __init__(self, patience=2, min_delta=0.0):
        ### BEGIN SOLUTION
        self.patience, self.min_delta = patience, min_delta
        self.best_loss, self.best_epoch = math.inf, None
        self.epoch, self.failures = -1, 0
        ### END SOLUTION

    def step(self, loss):
        """Take the next epoch's loss. True when `patience` calls in a row have not improved.

        It stays True while the failures go on.
        """
        ### BEGIN SOLUTION
        self.epoch += 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch, self.failures = loss, self.epoch, 0
        else:
            self.failures += 1
        return self.failures >= self.patience
        ### END SOLUTION


# %% check="5.1"
result = check("5.1", EarlyStopping)
result

# %% [markdown]
# ### Further: play with it
#
# Your run's losses, once more. What does patience 1 risk, and what does patience 4 cost? With which `min_delta` is an
# epoch kept that was not the lowest?

# %%
from labkit.widgets import stopping_explorer

stopping_explorer(losses, patience=2)

# %% [markdown]
# ### Further: Exercise 5.2
#
# Stopping is half of it. When patience runs out, the weights are `patience` epochs too old. So the best are saved when
# they *are* the best, and come back at the end, also when nothing stopped the run. Write that loop.


# %% exercise="5.2"
def fit_with_early_stopping(train, evaluate, save, restore, max_epochs, patience=2):
    """Train with early stopping as in 5.1; return the losses of the epochs that ran, a list.

    Each epoch calls train() and then evaluate(), which returns the validation loss. save() at each
    new best; restore() once at the end, also after max_epochs. max_epochs is at least 1, and at
    least one loss is finite.
    """
    ### BEGIN SOLUTION
    stopping, losses = labkit.EarlyStopping(patience), []
    for epoch in range(max_epochs):
        train()
        losses.append(evaluate())
        stop = stopping.step(losses[-1])
        if stopping.best_epoch == epoch:
            save()
        if stop:
            break
    restore()
    return losses
    ### END SOLUTION


# %% check="5.2"
result = check("5.2", fit_with_early_stopping)
result

# %% [markdown]
# Here labkit's version replays your run. Nothing is trained: it only writes down what it would have called.

# %%
calls, recorded = [], iter(losses)
labkit.fit_with_early_stopping(
    train=lambda: calls.append("train"),
    evaluate=lambda: next(recorded),
    save=lambda: calls.append("SAVE"),
    restore=lambda: calls.append("RESTORE"),
    max_epochs=len(losses),
)
print(*calls)

# %% [markdown]
# ### And in earnest
#
# When patience runs out, the weights are `patience` epochs too old. So `fit` saves the best when they *are* the best, and
# brings them back. The same seed, now with patience 2. Then weigh the model that is left in your hands.

# %%
patient = to_the_end.replaced({"patience": 2})
model = lesson.model(seed=0)
stopped = list(labkit.fit(model, few, validation, patient, progress=False))

# %%
precision = labkit.choose_precision("auto", labkit.choose_device())  # as `fit` does
back = labkit.evaluate(model, validation, patient, precision).loss
print(f"epochs trained: {len(stopped)} of {patient.epochs}")
print(f"lowest validation loss:      {min(record.validation_loss for record in stopped):.4f}")
print(f"after the last epoch:        {stopped[-1].validation_loss:.4f}")
print(f"of the model you have now:   {back:.4f}")

# %% [markdown]
# ### With all reviews
#
# Is that only a trick of small data? The script `reference/overfitting.py` trained MiniLM on all training reviews for
# four epochs, and wrote `overfitting.json`. Where is the star, and where does the training loss go after it?

# %%
import json

from labkit import SHIPPED

measured = json.loads((SHIPPED / "overfitting.json").read_text(encoding="utf-8"))
history = [labkit.EpochRecord(**record) for record in measured["history"]]
sizes, seed = measured["examples"], measured["setting"]["seed"]
print(f"MiniLM, {sizes['train']:,} training reviews, seed {seed}")
figure(learning_curves(history, name="MiniLM", validation_size=sizes["validation"]))

# %% [markdown]
# Early stopping with patience 2 would have kept the starred epoch. The test reviews had no say in that. So what do they
# say of the four epochs?

# %%
ranks = ["the highest of the four", "neither", "the lowest of the four"]
predict("05-star", "On the test reviews the accuracy of the starred epoch is ...", ranks)

# %% name="starred-test"
accuracies = [row["test"]["accuracy"]["before"] for row in measured["epochs"]]
for row, accuracy in zip(measured["epochs"], accuracies, strict=True):
    shown = f"test accuracy {accuracy:.3f}, test loss {row['test']['nll']['before']:.3f}"
    print(f"epoch {row['epoch']}: {shown}, temperature {row['temperature']:.2f}")

# %% name="starred-outcome"
starred = next(record.epoch for record in reversed(history) if record.is_best)
lower = sum(other < accuracies[starred] for other in accuracies)
found = ranks[2 if lower == 0 else 0 if lower == len(accuracies) - 1 else 1]
outcome("05-star", found, f"{accuracies[starred]:.3f}; the others have up to {max(accuracies):.3f}.")

# %% [markdown]
# Was it wrong, then, to stop at the star? Look at the table once more, and at the curve. Then say what stopping by the
# validation loss can promise.

# %%
promises = [
    "the best epoch on other reviews",
    "the lowest loss on these validation reviews",
    "the highest accuracy",
]
predict("05-promise", "What does early stopping promise of the epoch that it keeps?", promises)

# %%
why = "Of the epochs that were tried, and of nothing else."
outcome("05-promise", promises[1], why)

# %% [markdown]
# Three things come together here. **Loss and accuracy disagree**: the later epochs have more right, and are surer of what
# they have wrong. The temperature of lesson 04, fitted on validation, shows it: above 1 a model was surer than right.

# %% [markdown]
# **One validation split zigzags.** Its loss goes up, down and up again, and on the test reviews it takes another way. So
# where the star falls is partly luck, and this was one run with one seed.

# %% [markdown]
# And **what you stop by is what you get**. Who needs right answers may stop by the accuracy. Who will use the
# probabilities stops by the loss, or trains on and fits a temperature. Stopping by the loss was not wrong. It was asked
# for something else.

# %% [markdown]
# ## How far a score moves: another seed
#
# Your stopped model has an accuracy. But its epoch was chosen on the validation reviews, which flatters it. So take
# reviews that have chosen nothing.

# %%
unseen = lesson.part("train", 3 * n, 3 * n + 500)
_, logits, labels = labkit.evaluate(model, unseen, patient, precision)
as_before = labkit.EvalResult.from_logits(labels, logits, "as before")
print(f"accuracy {as_before.correct.mean():.3f} on {len(unseen)} unseen reviews")

# %% [markdown]
# How far would that number move if you did it all again? The *seed* drew the new classifier, the order of the reviews, the
# dropout. Another seed is another model.

# %%
spans = ["less than 1 point", "1 to 3 points", "more than 3 points"]
predict("05-seeds", "The same training with three seeds: highest minus lowest accuracy?", spans)

# %%
histories, results = {("as before", 0): stopped}, {("as before", 0): as_before}
for seed in (1, 2):
    print(f"run {seed + 1} of 3: seed {seed}")
    again = lesson.model(seed=seed)
    run = labkit.fit(again, few, validation, patient.replaced({"seed": seed}), progress=False)
    histories["as before", seed] = list(run)
    _, logits_again, _ = labkit.evaluate(again, unseen, patient, precision)
    results["as before", seed] = labkit.EvalResult.from_logits(labels, logits_again, "as before")

# %%
from labkit import Repetition, SeedSpread
from labkit.figures import repeated_scores

runs = [(f"seed {seed}", results["as before", seed]) for seed in range(3)]
seeds = SeedSpread(name, "unseen", [Repetition(label, each, n, 0, 0.0) for label, each in runs])
figure(repeated_scores(seeds))

# %%
scores = seeds.scores()
span = scores.max() - scores.min()
found = spans[sum(span >= edge for edge in (0.01, 0.03))]
outcome("05-seeds", found, f"{100 * span:.1f} points between runs of one and the same recipe.")

# %% [markdown]
# So who tries five seeds and reports the best has found a lucky one. These were short runs on few reviews; every recipe
# has a spread of its own.

# %% [markdown]
# ## Further: every review once
#
# Where reviews are few, a test set cut from them is small. **Cross-validation** cuts all of them into k *folds*, trains k
# times, and tests each model on the fold that it did not see. Each review is tested on once.

# %% [markdown]
# ### Exercise 5.3
#
# *Stratified*: in every fold the classes stand as in the whole. Of 7 examples of a class, 3 folds get 3, 2 and 2.


# %% exercise="5.3"
def stratified_kfold(labels, k, seed=0):
    """k pairs (train, validation) of lists of indices.

    The validation folds are disjoint and cover everything; train is the rest. In each fold each
    class has the floor or the ceiling of its share. Every class has at least k members. The same
    seed gives the same folds, another seed others.
    """
    ### BEGIN SOLUTION
    labels = np.asarray(labels)
    generator = np.random.default_rng(seed)
    fold_of = np.empty(len(labels), dtype=int)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        fold_of[members] = np.arange(len(members)) % k
    everything = [(fold_of != fold, fold_of == fold) for fold in range(k)]
    return [tuple(np.flatnonzero(part).tolist() for part in pair) for pair in everything]
    ### END SOLUTION


# %% check="5.3"
result = check("5.3", stratified_kfold)
result

# %% [markdown]
# labkit's version does one thing more: copies of a review stay in one fold. Each fold is a whole fine-tuning run, in a
# folder of its own; a part of its training reviews chooses the epoch.

# %%
folder = TemporaryDirectory(prefix="labkit-")
k, count = (3, 210) if lesson.encoder == "tiny" else (5, 600)
train = lesson.splits.train
order = np.random.default_rng(0).permutation(len(train))
mine = train.select(order[:count])
batch_size = 8 if lesson.encoder == "tiny" else 16
in_folds = lesson.config.replaced({"epochs": 2, "batch_size": batch_size, "learning_rate": rate})

# %%
folds = labkit.cross_validate(in_folds, mine, Path(folder.name) / "folds", k, progress=False)
folds

# %%
figure(repeated_scores(folds))

# %% [markdown]
# The table warns of its own interval. Any two runs share many of their training reviews, so k scores say less than k
# independent ones would. Whoever forgets that gets the narrower interval. How much does it matter?

# %% [markdown]
# ### A test with too many false alarms
#
# Two recipes over the same folds give k differences, and a t-test asks whether their mean is 0. Here the other recipe is
# TF-IDF with logistic regression. Look at both p-values.

# %%
from labkit import CrossValidation, fold_splits

by_words = []
for place, split in enumerate(fold_splits(mine, k, in_folds)):
    scored = labkit.tfidf(split.train, split.test)
    by_words.append(Repetition(f"fold {place}", scored, len(split.train), 0, 0.0))
words = CrossValidation("TF-IDF", mine.name, by_words)
print(f"{lesson.encoder} minus TF-IDF, accuracy:\n{labkit.compare_folds(folds, words)}")

# %% [markdown]
# Which is right? Let equals compete: a world in which neither side is better, a thousand times over. A test at the 5 %
# level may find a winner there in 5 of 100. Each one is a **false alarm**.

# %%
rates = ["fewer false alarms", "as many", "more false alarms"]
question = "Five cross-validations in place of one, so five times as many scores. The naive t-test gives ..."
predict("05-repeated", question, rates)

# %%
from labkit.figures import false_alarms_figure

alarms = labkit.false_alarm_rates(repetitions=1000)
figure(false_alarms_figure(alarms))

# %%
once, often = (alarms.rates[f"naive {kind}k-fold t-test"] for kind in ("", "repeated "))
found = rates[0 if often.high < once.low else 2 if often.low > once.high else 1]
why = f"{once.value:.0%} of the comparisons with one, {often.value:.0%} with five. The reviews were no more."
outcome("05-repeated", found, why)

# %% [markdown]
# So over folds use the **corrected** test (Nadeau & Bengio, 2003).

# %%
folder.cleanup()

# %% [markdown]
# ## How far a score moves: other reviews
#
# Another seed, another fold: each trains anew. Now keep one model, the one that you stopped in time. Its accuracy on the
# unseen reviews is that on these few hundred. What would it be on others?

# %%
widths = ["less than 1 point", "1 to 3 points", "3 to 8 points", "more than 8 points"]
question = "On endlessly many such reviews: how far from this may it lie, either way? (95 %)"
predict("05-width", question, widths)

# %% [markdown]
# **The bootstrap** asks the reviews you have: draw as many again *with replacement*, so that some come twice and some not
# at all. Take the accuracy. Do it 2,000 times, and look where the middle 95 % lie.

# %% [markdown]
# ### Exercise 5.4
#
# The interval reaches from one quantile of the drawn means to the other, with as much left out on either side.


# %% exercise="5.4"
def bootstrap_interval(correct, level=0.95, resamples=2000, seed=0):
    """The percentile interval of the mean of 0/1 values: (low, high).

    correct: an array of n >= 2 zeros and ones. Each resample draws n of them with replacement.
    The same seed gives the same interval.
    """
    ### BEGIN SOLUTION
    correct = np.asarray(correct, dtype=float)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(correct), size=(resamples, len(correct)))
    means = correct[drawn].mean(axis=1)
    outside = (1 - level) / 2
    low, high = np.quantile(means, [outside, 1 - outside])
    return float(low), float(high)
    ### END SOLUTION


# %% check="5.4"
result = check("5.4", bootstrap_interval)
result

# %%
from labkit.figures import resampled_means

figure(resampled_means(as_before.correct))

# %%
low, high = labkit.bootstrap_interval(as_before.correct)
half = (high - low) / 2
found = widths[sum(half >= edge for edge in (0.01, 0.03, 0.08))]
why = f"{100 * half:.1f} points on {len(unseen)} reviews. Half of that takes four times as many."
outcome("05-width", found, why)

# %% [markdown]
# The interval is a guess at one number: the accuracy on *all* reviews of this kind. It is made so that it holds that number
# 95 times in 100. As many other reviews would be a sample too, off by luck of their own. *Their* accuracy lies inside only
# about 84 times in 100.

# %% [markdown]
# ## Remedies, tried honestly
#
# Four remedies against overfitting. Each changes one thing of the run that you stopped: same validation reviews, patience 2.
# Three times the reviews get a third of the epochs: as many steps.

# %% [markdown]
# What would count as help? Say it before you look. **It must be large enough to matter**: a difference can be beyond
# doubt and too small for anybody. Here less than 0.02 in the loss does not count. **And it must not be one seed's luck**: so
# each remedy is tried with the three seeds, beside the run as before with the same seed.

# %%
recipes = {
    "dropout 0.3": {"dropout": 0.3},
    "weight decay 0.1": {"weight_decay": 0.1},
    "2 epochs": {"epochs": 2},
    "3 x the reviews": {"epochs": 2},
}
smallest = 0.02
answers = [*recipes, "several", "none"]
question = (
    f"Which lowers the loss on unseen reviews, beyond the noise with each seed, by {smallest} or more in the mean?"
)
predict("05-remedies", question, answers)

# %% [markdown]
# For two models on the same fresh reviews there is the **paired bootstrap**: it draws the same reviews for both. But four
# remedies are four chances to be lucky. So each gets a quarter of the 5 % that luck may have: an interval of 98.75 %
# (Bonferroni).

# %% [markdown]
# Twelve short runs. With MiniLM they take a few minutes; read on meanwhile.

# %%
more = lesson.part("train", 0, 3 * n)  # the few are among them
tries = [(way, seed) for seed in range(3) for way in recipes]
for number, (way, seed) in enumerate(tries, start=1):
    print(f"run {number} of {len(tries)}: {way}, seed {seed}")
    recipe = patient.replaced(recipes[way] | {"seed": seed})
    other = lesson.model(seed=seed, dropout=recipe.dropout)
    data = more if way.startswith("3") else few
    run = labkit.fit(other, data, validation, recipe, progress=False, tell=lambda note: None)
    histories[way, seed] = list(run)
    _, other_logits, _ = labkit.evaluate(other, unseen, patient, precision)
    results[way, seed] = labkit.EvalResult.from_logits(labels, other_logits, way)

# %%
from labkit.figures import losses_of_runs

figure(losses_of_runs({way: histories[way, 0] for way in ["as before", *recipes]}))

# %%
level = 1 - 0.05 / len(recipes)
compared = {way: [] for way in recipes}
for way, seed in tries:
    pair = results[way, seed], results["as before", seed]
    compared[way].append(labkit.compare_models(*pair, level, metrics=("accuracy", "nll")))

# %%
from labkit.figures import differences_figure

of_seed_0 = [each[0] for each in compared.values()]
figure(differences_figure(of_seed_0, "nll"))  # the loss on the unseen reviews
figure(differences_figure(of_seed_0, "accuracy"))

# %% [markdown]
# That was seed 0. Now all three, the loss with its intervals. Does every seed tell the same story?

# %% name="remedies-that-helped"
helped = []
for way, pairs in compared.items():
    changes_of_loss = [pair.scores["nll"][2] for pair in pairs]
    mean = np.mean([change.value for change in changes_of_loss])
    if mean <= -smallest and all(change.high < 0 for change in changes_of_loss):
        helped.append(way)
    print(f"{way:<17} mean {mean:+.4f}:", *(f"{change:+.3f}" for change in changes_of_loss))

# %% name="remedies-outcome"
found = helped[0] if len(helped) == 1 else "several" if helped else "none"
why = "Where an interval holds 0, these reviews do not say which way the remedy goes."
outcome("05-remedies", found, f"With every seed, and by enough: {', '.join(helped) or 'none'}. {why}")

# %% [markdown]
# **No difference inside the noise is a difference.** A dot beside the line is not "slightly better"; it is a dot with an
# interval. That a remedy was *not* found does not say that it is useless: a small gain cannot be seen on so few reviews.

# %% [markdown]
# And what was found holds for this model, these few training reviews and three seeds. It makes a remedy likely. Nothing
# here is certain.

# %% [markdown]
# Before you say "better", you can now ask: on which reviews, chosen by whom? With what interval? How many seeds, and how
# many tries? And by which test, one that keeps quiet when there is nothing to find?

# %% [markdown]
# ### Further: the remedy that did next to nothing
#
# Did you expect more of weight decay? It is taken off in steps as small as the learning rate, and fine-tuning is short.

# %%
steps = patient.epochs * -(-len(few) // patient.batch_size)
print(f"{steps} steps of weight decay 0.1 shrink a weight by at most {0.1 * rate * steps:.2%}.")

# %% [markdown]
# The last comparison of seed 0 once more, in full:

# %%
of_seed_0[-1]

# %% [markdown]
# ## Take with you
#
# * Training loss proves nothing. Validation loss says when to stop; accuracy may not notice.
# * Save the best weights when they are the best, and bring them back.
# * A score moves with the reviews and with the seed. Give both.
# * Folds share their training reviews: correct for it, or raise false alarms.

# %%
from labkit.widgets import reflection

question = "Think of a score you have read somewhere. What would you have to know to believe it?"
reflection("05-overfitting", question)

# %%
from labkit.widgets import lesson_page

lesson_page("05")

# %% [markdown]
# Next: [06 · Explainability](06_explainability.ipynb), where you ask the model for its reasons, and do not believe it at
# once.
