# ---
# title: Metrics
# minutes: 55
# further: 40
# ---

# %% [markdown]
# # 04 · Metrics
#
# An accuracy is one number for hundreds of decisions. This lesson asks what it hides: which mistakes, how sure the model
# was of them, and whether people would have done better. You will meet a model that is right 19 times out of 20 and good
# for nothing.

# %% [markdown]
# **You will be able to**
#
# * turn logits into probabilities, and check what they are worth,
# * choose the metric that fits a question, and compute it by hand,
# * set a threshold and a temperature without fooling yourself,
# * hold a model beside the people who rated the same reviews.

# %% [markdown]
# **You need** lesson 03: logits, training, validation reviews. **Time**: about 55 minutes, and 95 minutes with
# the sections headed *Further*, which can wait.
#
# The *profile* says with which model and on how many reviews. You chose it in lesson 00.

# %% name="start"
import numpy as np

import labkit
from labkit.checks import check
from labkit.lessons import open_lesson
from labkit.widgets import expect_error, figure, live_training, outcome, predict

lesson = open_lesson()
lesson

# %% [markdown]
# ## Wrong, and sure of it
#
# One model serves the whole lesson. Train it now, as in lesson 03. Whatever you look at and choose from here on, you do on
# *validation* reviews. The test reviews stay shut until everything is chosen.

# %%
train, validation = lesson.batchers["train"], lesson.batchers["validation"]
model = lesson.model(seed=0)
trained = live_training(model, train, validation, lesson.config, name=lesson.encoder)

# %%
reviews = lesson.splits.validation
precision = labkit.choose_precision("auto", labkit.choose_device())  # as `fit` does
_, logits, labels = labkit.evaluate(model, validation, lesson.config, precision)
logits, labels = logits.double().numpy(), labels.numpy()

# %% [markdown]
# A model can be wrong by a little or by a lot. Here is the validation review that it has most wrong: the wrong class is
# furthest ahead of the right one.

# %%
ahead = np.ptp(logits, axis=1) * (logits.argmax(axis=1) != labels)
worst = int(ahead.argmax())
print(reviews.texts[worst])
print("people say: ", labkit.CLASS_NAMES[labels[worst]])
print("logits:      negative {:.2f}, positive {:.2f}".format(*logits[worst]))

# %% [markdown]
# How sure is it? The larger logit is what the model says for its verdict. It is tempting to read that number as a
# probability: 0.9 as “90 % sure”. Try it, with all of them:

# %%
larger = logits.max(axis=1)
print(f"Read like this, the model is {larger.min():.0%} to {larger.max():.0%} sure of its verdicts.")
with expect_error(ValueError):
    labkit.EvalResult(labels, logits, loss=0.0, name="logits as probabilities")

# %% [markdown]
# A logit may be below 0 or above 1, and the two need not add up to 1. So a logit alone says nothing about how sure a
# model is. What does?

# %%
pair = ["review A", "review B", "both alike"]
question = "Logits of A: 1 and 4. Of B: -3 and 1.5. Of which verdict is the model surer?"
predict("04-surer", question, pair)

# %% [markdown]
# **Softmax** makes probabilities of logits. First `exp` makes each of them positive; then each is divided by the sum of
# its row, and so they add up to 1.

# %% [markdown]
# ### Exercise 4.1
#
# `exp(1000)` is too large for a computer. But the same number may be taken from all logits of a row, and the result stays
# the same. Which number keeps `exp` safe?


# %% exercise="4.1"
def softmax(logits):
    """Probabilities from logits, along the last axis.

    logits: a numpy array of any shape with at least one axis; values up to 1e4 in size. Returns an
    array of the same shape: every value in [0, 1], every sum along the last axis 1, nothing infinite.
    """
    ### BEGIN SOLUTION
    logits = np.asarray(logits, dtype=np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
    ### END SOLUTION


# %% check="4.1"
result = check("4.1", softmax)
result

# %%
sure_of_a, sure_of_b = labkit.softmax([[1.0, 4.0], [-3.0, 1.5]]).max(axis=1)
found = pair[1] if sure_of_b > sure_of_a else pair[0]
why = "What counts is how far the logits lie apart: 3 in A, 4.5 in B. Where they lie does not."
outcome("04-surer", found, f"A {sure_of_a:.1%}, B {sure_of_b:.1%}. {why}")

# %% [markdown]
# With two classes, softmax is one S-shaped curve over the difference of the logits. Here are all validation reviews on
# it. How far out do you find crosses?

# %%
from labkit.figures import softmax_curve

balanced = labkit.EvalResult.from_logits(labels, logits, lesson.encoder)
print(f"The review above: wrong, and {balanced.confidences[worst]:.0%} sure.")
figure(softmax_curve(balanced))

# %% [markdown]
# ## Right 19 times out of 20
#
# Somebody wants praise to print on a poster. The film is a bad one: of 20 reviews, one is praise. Take all negative
# reviews of the validation split, and one positive for every 19 of them. Same model, same answers, another mix.

# %%
negative, positive = (np.flatnonzero(labels == side) for side in (0, 1))
places = np.concatenate([negative, positive[: max(1, round(len(negative) / 19))]])
mixed = labkit.EvalResult.from_logits(labels[places], logits[places], f"{lesson.encoder}, 19 to 1")
mixed

# %% [markdown]
# A second model joins: `majority` reads nothing. It says for every review what most of them are.

# %%
models = ["our model", "the one that reads nothing", "both alike"]
predict("04-mix", "Which is more accurate on this mix?", models)

# %%
nothing = labkit.majority(reviews.select(places), reviews.select(places))
ours, theirs = mixed.correct.mean(), nothing.correct.mean()
found = models[2] if ours == theirs else models[int(theirs > ours)]
why = f"Of {mixed.labels.sum()} reviews for the poster, the majority model finds 0."
outcome("04-mix", found, f"Ours {ours:.1%}, the majority {theirs:.1%}. {why}")

# %% [markdown]
# Accuracy counts every mistake alike. Here that is the wrong count. So look at *which* mistakes are made, and before you
# do, say what will be on the poster:

# %%
shares = ["fewer than 1 in 3", "1 in 3 to 2 in 3", "more than 2 in 3"]
question = "Of the reviews in this mix that our model calls praise, how many are praise?"
predict("04-precision", question, shares)

# %% [markdown]
# **Recall** asks: of the reviews that *are* praise, how many does the model find? **Precision** asks: of those that it
# *calls* praise, how many are? **F1** is their harmonic mean, `2pr / (p + r)`, and stays close to the lower of the two.

# %% [markdown]
# ### Exercise 4.2
#
# All three, for whichever class is asked about. A model that never says “positive” has no precision, only 0 divided by 0.
# The contract calls that 0.0.


# %% exercise="4.2"
def precision_recall_f1(labels, predictions, positive=1):
    """Precision, recall and F1 of the class `positive`, as a tuple of three floats.

    labels, predictions: class indices, equally long. Where a denominator is 0 the value is 0.0.
    """
    ### BEGIN SOLUTION
    pairs = list(zip(labels, predictions, strict=True))
    hits = sum(label == positive and said == positive for label, said in pairs)
    said_positive = sum(said == positive for _, said in pairs)
    are_positive = sum(label == positive for label, _ in pairs)
    precision = hits / said_positive if said_positive else 0.0
    recall = hits / are_positive if are_positive else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return float(precision), float(recall), float(f1)
    ### END SOLUTION


# %% check="4.2"
result = check("4.2", precision_recall_f1)
result

# %%
scores = labkit.precision_recall_f1(mixed.labels, mixed.predictions)
found = shares[int(scores.precision >= 1 / 3) + int(scores.precision > 2 / 3)]
why = "One negative review in 19 called praise, and there are as many false alarms as praise."
outcome("04-precision", found, f"Precision {scores.precision:.3f}. {why}")

# %% [markdown]
# Which mistakes went into these three? The **confusion matrix** counts every pair of true and predicted class: what it is
# in rows, what the model says in columns. The diagonal is right. Recall reads a row of it, precision a column.

# %%
from labkit.figures import confusion_matrix_figure

figure(confusion_matrix_figure(mixed))
figure(confusion_matrix_figure(nothing))

# %% [markdown]
# From here on let scikit-learn count. It should find the same:

# %%
from sklearn.metrics import precision_recall_fscore_support

count = {"average": "binary", "zero_division": 0}
*by_sklearn, _ = precision_recall_fscore_support(mixed.labels, mixed.predictions, **count)
for name, a, b in zip(("precision", "recall", "F1"), scores, by_sklearn, strict=True):
    print(f"{name:9}  by hand {a:.6f}  by scikit-learn {b:.6f}")

# %% [markdown]
# All of it side by side. **MCC**, Matthews' correlation, uses all four cells of the matrix: 1 is perfect, 0 is no better
# than a model that reads nothing. The lines are 95 % intervals: made so that they hold the score on endlessly many such
# reviews 95 times in 100. (The score on one other sample of this size is off by luck too, and lies inside less often.)

# %%
from labkit.figures import score_intervals

figure(score_intervals([balanced, mixed, nothing]))

# %% [markdown]
# Two things to see. The same model keeps its recall, but for luck, and loses precision: **precision belongs to a model
# and a mix**. And of few positives not much can be known: that is what a long line says.

# %% [markdown]
# ### Further: Exercise 4.3
#
# Count the matrix yourself, for any number of classes.


# %% exercise="4.3"
def confusion_matrix(labels, predictions, num_classes):
    """How often each true class (row) was predicted as each class (column).

    labels, predictions: class indices from 0 to num_classes - 1, equally long. Returns an array of
    integers of shape (num_classes, num_classes); a class that never occurs has zeros.
    """
    ### BEGIN SOLUTION
    counts = np.zeros((num_classes, num_classes), dtype=int)
    for label, prediction in zip(labels, predictions, strict=True):
        counts[label, prediction] += 1
    return counts
    ### END SOLUTION


# %% check="4.3"
result = check("4.3", confusion_matrix)
result

# %% [markdown]
# ## Where to cut
#
# Up to now a review was called positive from 0.5 on. Nobody says that it must be so. Whoever prints a poster would rather
# miss some praise than print a scathing line.

# %% [markdown]
# ### Play with it
#
# Move the threshold over the 19-to-1 mix. Where is half of what is called praise really praise? How much praise is lost
# on the way? Watch the four cells, then the dot on each curve.

# %%
from labkit.widgets import threshold_explorer

threshold_explorer(mixed)

# %% [markdown]
# ### One threshold, chosen
#
# Somebody has to choose. Say that precision and recall weigh alike: then let the computer look for the threshold with the
# best F1, over all validation reviews.

# %%
from labkit.figures import threshold_figure

threshold, best_f1 = labkit.best_f1_threshold(labels, balanced.probabilities[:, 1])
figure(threshold_figure(balanced, threshold))

# %% [markdown]
# This threshold is now **chosen**, on validation reviews. Keep it in mind: on the test reviews it will have to show what
# it is worth.

# %% [markdown]
# ### Further: Exercise 4.4
#
# Write that search yourself. Only scores that occur need to be tried: between two of them nothing changes.


# %% exercise="4.4"
def best_f1_threshold(labels, scores):
    """The threshold with the best F1, and that F1: a tuple of two floats.

    labels: 0 or 1; scores: floats on any scale, equally long. Positive is what has `score >= t`. Any
    t that reaches the best F1 will do. Without positive labels the F1 is 0.0.
    """
    ### BEGIN SOLUTION
    labels, scores = np.asarray(labels), np.asarray(scores)
    best, best_f1 = float(scores.max()), 0.0
    for threshold in np.unique(scores):
        f1 = labkit.precision_recall_f1(labels, scores >= threshold).f1
        if f1 > best_f1:
            best, best_f1 = float(threshold), f1
    return best, best_f1
    ### END SOLUTION


# %% check="4.4"
result = check("4.4", best_f1_threshold)
result

# %% [markdown]
# ### Further: two curves without a threshold
#
# Each curve goes through all thresholds. The **precision-recall curve** you know now. The **ROC curve** has recall up and
# the *false-positive rate* across: of the negative reviews, the share called positive. An area sums each up in a number.

# %%
curves = ["the ROC curve", "the precision-recall curve"]
predict("04-curves", "From the balanced reviews to the mix: which curve moves less?", curves)

# %%
from labkit.figures import precision_recall_figure, roc_curve_figure

figure(roc_curve_figure([balanced, mixed]))
figure(precision_recall_figure([balanced, mixed]))

# %%
roc = [labkit.roc_auc(each.labels, each.probabilities[:, 1]) for each in (balanced, mixed)]
pr = [labkit.average_precision(each.labels, each.probabilities[:, 1]) for each in (balanced, mixed)]
found = curves[int(abs(roc[0] - roc[1]) > abs(pr[0] - pr[1]))]
why = "A ROC curve looks at each class on its own, so the mix can only move it by luck."
outcome("04-curves", found, f"Areas: ROC {roc[0]:.3f}, {roc[1]:.3f}; PR {pr[0]:.3f}, {pr[1]:.3f}. {why}")

# %% [markdown]
# The area under the ROC curve has a plain meaning: take one positive and one negative review at random; how often has the
# positive one the higher score? Where positives are rare, look at the other curve.

# %% [markdown]
# ## When it says 90 %
#
# Is it then right 9 times in 10? A single mistake at 90 % proves nothing: one in ten is allowed. But *many* answers at 90 %
# can be counted. If 9 in 10 of them are right, the model is **calibrated** there.

# %%
rows = [row for row in labkit.reliability_bins(balanced.confidences, balanced.correct) if row.count]
fullest = max(rows, key=lambda row: row.count)
how_often = ["clearly less often than it says", "about as often", "clearly more often"]
question = f"Where it is {fullest.low:.0%} to {fullest.high:.0%} sure, how often is it right?"
predict("04-sure", question, how_often)

# %% [markdown]
# A **reliability diagram** sorts predictions into bins by confidence and shows how many were right in each. The **expected
# calibration error** (ECE) is the gap between confidence and accuracy, averaged over the bins. Each weighs as much as it
# holds predictions.

# %%
from labkit.figures import reliability_diagram

figure(reliability_diagram(balanced))

# %% [markdown]
# Half of the ten bins are empty, by construction: of two classes the more probable one has at least 0.5. So the error of
# ten bins is here one of five. And it is never below 0: also a perfectly calibrated model shows some, the more the fewer
# reviews there are. `score_table` says how much that is.

# %%
right = labkit.proportion_interval(round(fullest.accuracy * fullest.count), fullest.count)
found = how_often[1 - int(right.high < fullest.confidence) + int(right.low > fullest.confidence)]
why = f"Right {right} on {fullest.count} reviews, by its own word {fullest.confidence:.3f}."
outcome("04-sure", found, f"{why} “About” means: the 95 % interval holds what it says.")

# %% [markdown]
# ### Further: Exercise 4.5
#
# Compute the calibration error yourself. In each bin: mean confidence, accuracy, their distance. Mind the edges: 0.5 belongs
# to the bin that *ends* at 0.5.


# %% exercise="4.5"
def expected_calibration_error(confidences, correct, bins=10):
    """The gap between confidence and accuracy, averaged over equal-width bins: a float.

    confidences: floats in [0, 1]; correct: bools, equally long. Bin k reaches from k / bins, left
    out, to (k + 1) / bins, included; a confidence of 0 is in the first. A bin weighs as much as it
    holds predictions; an empty one contributes nothing.
    """
    ### BEGIN SOLUTION
    confidences = np.asarray(confidences, dtype=np.float64)
    correct = np.asarray(correct, dtype=np.float64)
    error = 0.0
    for k in range(bins):
        members = (confidences > k / bins) & (confidences <= (k + 1) / bins)
        if k == 0:
            members |= confidences == 0
        if members.any():
            gap = abs(confidences[members].mean() - correct[members].mean())
            error += members.mean() * gap
    return float(error)
    ### END SOLUTION


# %% check="4.5"
result = check("4.5", expected_calibration_error)
result

# %% [markdown]
# ### Temperature
#
# There is a simple remedy for a model that is too sure, or too timid: divide all its logits by one number, the
# **temperature**, before softmax. (Guo et al., 2017.)

# %%
changes = ["falls", "stays as it is", "rises"]
predict("04-temperature", "All logits are divided by 3. The accuracy ...", changes)

# %%
before = balanced.correct.mean()
after = labkit.at_temperature(balanced, 3.0).correct.mean()
found = changes[1 + int(after > before) - int(after < before)]
why = "The larger logit stays the larger: no verdict changes, only how sure the model is of it."
outcome("04-temperature", found, why)

# %% [markdown]
# Play with it: make the model overconfident, then timid. The curve on the right shows the **negative log-likelihood**: the
# loss that training minimised. It is high where a model is sure of what is wrong. Find the bottom of the valley.

# %%
from labkit.widgets import calibration_explorer

calibration_explorer(balanced)

# %% [markdown]
# `fit_temperature` finds the bottom. It was fitted to these reviews, so of course it suits them. A score on them would be
# a boast, and labkit does not give it:

# %%
temperature = labkit.fit_temperature(validation=balanced)
print(temperature)
with expect_error(ValueError):
    temperature.apply(balanced)

# %% [markdown]
# ## Further: its worst moments
#
# A calibrated model is still wrong, and where it is sure and wrong is the best place to learn about a model, and about the
# labels.

# %% [markdown]
# ### Exercise 4.6
#
# Find them all. `labkit.softmax` is there if yours is not.


# %% exercise="4.6"
def confidently_wrong(logits, labels, threshold=0.9):
    """Indices of the wrong predictions with a softmax confidence of at least `threshold`.

    logits: (n, classes), numpy or torch; labels: n class indices. Returns a list of ints, the most
    confident first. The confidence is the probability of the predicted class.
    """
    ### BEGIN SOLUTION
    probabilities = labkit.softmax(logits)
    confidences = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != np.asarray(labels)
    by_confidence = np.argsort(-confidences)
    return [int(i) for i in by_confidence if wrong[i] and confidences[i] >= threshold]
    ### END SOLUTION


# %% check="4.6"
result = check("4.6", confidently_wrong)
result

# %%
wrong = labkit.confidently_wrong(logits, labels, threshold=0.5)
for place in wrong[:5]:
    said = labkit.CLASS_NAMES[balanced.predictions[place]]
    print(f"{balanced.confidences[place]:.1%} {said}, and wrong: {reviews.texts[place]}\n")

# %% [markdown]
# Read them one by one. Is it irony, a “but” that turns the sentence, a word that is praise elsewhere? Or would you side
# with the model against the label?

# %% [markdown]
# ## The test split, opened once
#
# Three things are chosen now: the model's best epoch, a threshold, a temperature. Each was the best of several *on the
# validation reviews*, so there it looks better than it is.

# %% [markdown]
# The test reviews had no say in any of it. (Lesson 00 showed a score on them; nothing was chosen by it.) Now they are
# opened, once. Whoever looks, changes something and looks again is choosing by them: from then on they are validation
# reviews.

# %%
sides = ["lower than on validation", "the same to three digits", "higher than on validation"]
predict("04-test", f"F1 on the test reviews at your threshold of {threshold:.2f}?", sides)

# %%
exam = lesson.batchers["test"]
_, test_logits, test_labels = labkit.evaluate(model, exam, lesson.config, precision)
test = labkit.EvalResult.from_logits(test_labels, test_logits, lesson.encoder)
asked = ["accuracy", "precision", "recall", "f1", "mcc", "roc_auc", "average_precision", "ece", "nll"]
labkit.score_table(test, metrics=asked)

# %%
called = test.probabilities[:, 1] >= threshold
f1 = labkit.precision_recall_f1(test.labels, called).f1
found = sides[1 + int(round(f1 - best_f1, 3) > 0) - int(round(f1 - best_f1, 3) < 0)]
usual = labkit.precision_recall_f1(test.labels, test.predictions).f1
why = "The best of many has had luck, and luck does not move along. A single test may still go up."
outcome("04-test", found, f"{f1:.3f}; {best_f1:.3f} on validation; {usual:.3f} at 0.5. {why}")

# %% [markdown]
# And the temperature? The last number is how many predictions changed.

# %%
tempered = temperature.apply(test)
for name, each in (("as it was", test), (f"temperature {temperature.value:.2f}", tempered)):
    error = labkit.expected_calibration_error(each.confidences, each.correct)
    changed = (each.predictions != test.predictions).sum()
    print(f"{name:17} negative log-likelihood {each.loss:.4f}  ECE {error:.3f}  changed {changed}")

# %% [markdown]
# Whether it helped is yours to read: a temperature is chosen on validation too, and has its share of luck. Near 1 there was
# little to mend. A model that trained for too long is another matter; lesson 05 makes one.

# %% [markdown]
# ### Further: or say nothing
#
# A model that knows how sure it is may also *abstain*, and leave the unsure reviews to people. From right to left it
# answers fewer and fewer, only those it is surest of.

# %%
from labkit.figures import abstention_figure

figure(abstention_figure([test]))

# %% [markdown]
# ## And people?
#
# Every real review was rated by 15 to 29 people. So they can be tested too. Take one of them, and hold that
# rating against the majority of the *others*.

# %%
ranges = ["below 85 %", "85 to 95 %", "above 95 %"]
question = "One person who takes a side: how often is it that of most others?"
predict("04-person", question, ranges)

# %%
ceiling = labkit.human_ceiling_or_notice(lesson.splits.test, test)
ceiling

# %%
person = getattr(ceiling, "person", None)
found = "not known here" if person is None else ranges[sum(person.value > edge for edge in (0.85, 0.95))]
why = "Reviews with a mean near 0, which divide people most, were left out of the labels (lesson 02)."
outcome("04-person", found, why)

# %% [markdown]
# That is called the **human ceiling**, but it is a yardstick and no ceiling. A label is what *most* said, and a model can be
# nearer to most than one person is: it may pass. Where the single ratings are known, the model minus the person says how
# far apart the two are, with its interval.

# %% [markdown]
# ### Further: where people disagree
#
# **Alpha** holds all ratings against one another: 1 is perfect agreement, 0 is what chance would give. With the written
# sample there are no single ratings; then the page says so in place of the table.

# %% [markdown]
# Does the model err where people disagree? Each bar is the error rate on reviews on which so many took the same side. The
# last row of the upper table says it in one number: 0.5 would be no connection.

# %%
from labkit.figures import error_by_agreement_figure

figure(error_by_agreement_figure(ceiling))

# %% [markdown]
# An error on a review that divides people is half forgiven. One on a review that everybody understood is work for the next
# lessons.

# %% [markdown]
# ## Take with you
#
# * Logits are no probabilities. Softmax makes them some; calibration says whether they can be believed.
# * Accuracy hides which mistakes. Ask what a mistake costs, then choose the metric.
# * Precision depends on the mix; recall and ROC do not.
# * Choose on validation. Open the test once.
# * People are a yardstick. They do not agree to 100 % either, and a model may pass one of them.

# %%
from labkit.widgets import reflection

question = "Where would you let this model decide alone, and where not? Which number tells you?"
reflection("04-metrics", question)

# %%
from labkit.widgets import lesson_page

lesson_page("04")

# %% [markdown]
# ## Next
#
# What happens when training goes on for too long, and how much of a score is luck: [lesson 05](05_overfitting.ipynb).
