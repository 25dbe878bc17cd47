# ---
# title: Map
# minutes: 30
# ---

# %% [markdown]
# # 00 · Map
#
# A film review goes in. A verdict comes out, and with it the words that decided it. This lesson walks that whole way
# once, quickly. The lessons after it walk it slowly, and you build each part yourself.

# %% [markdown]
# **You will be able to**
#
# * name the stations between a review and an explained prediction,
# * predict before you run, and check an exercise,
# * find your own work again, and hand it in.

# %% [markdown]
# **You need** some Python, and no knowledge of neural networks. **Time**: about 30 minutes, a few of which your
# computer trains. Run the cells in order with Shift-Enter.
#
# How much is computed is set by a *profile*. You choose it below.

# %% [markdown]
# ## Is this machine ready?
#
# The doctor looks at Python, the packages, the processor, the memory and the files that the course needs. Where
# something is amiss, it says what to do. (In a terminal, `labkit doctor` does the same.)

# %%
from labkit import examination

examination(network=False)

# %% [markdown]
# ## How much should it compute?
#
# The notebooks run everywhere. The profile says with which model and how many reviews. `laptop` is right for most;
# `tiny` gives a first look in seconds. Your choice holds for all lessons.

# %%
from labkit.lessons import choose_profile

choose_profile()

# %% [markdown]
# Every lesson begins with the next cell. `lesson` holds the model, the tokenizer and the reviews of your profile, the
# same for everybody. If you choose another profile later, run the cells from here on again.

# %%
from labkit.lessons import open_lesson

lesson = open_lesson()
lesson

# %% [markdown]
# ## Predict, run, explain
#
# Before an experiment, say what you expect. Then run it, and explain the difference. A wrong guess teaches more than an
# answer that you only read. Nobody grades it, and nothing stops without it.

# %%
from labkit.widgets import outcome, predict

validation = lesson.splits.validation
review, label = validation.texts[26], validation.labels[26]
predict("00-rating", f"How did people rate this review? “{review}”", ["negative", "positive"])

# %% [markdown]
# Choose, then run the next cell. The answer is the review's *label*. It comes from ratings that people gave to the
# sentence: below zero is negative, above it positive. Sentences rated near zero were left out.

# %%
from labkit import CLASS_NAMES

explanation = "People weigh a sentence as a whole. A model has to learn that from examples."
outcome("00-rating", CLASS_NAMES[label], explanation)

# %% [markdown]
# ## An exercise, and its check
#
# In each lesson you write the few lines that carry an idea, and a check says at once what is right. Here is a warm-up
# without points: *accuracy*, the share of the predictions that are right.
#
# First a wrong answer. It compares the two lists as a whole.

# %%
from labkit.checks import check

check("0.1", lambda labels, predictions: labels == predictions)

# %% [markdown]
# The check names what fails, shows a small example, and gives a hint, but never the solution. Now a right answer, from
# scikit-learn. What counts is what a function gives, not how it is written.

# %%
from sklearn.metrics import accuracy_score

check("0.1", accuracy_score)

# %% [markdown]
# **Your turn.** Run the next two cells as they are: *not attempted*. Then put your lines in place of `raise
# NotImplementedError()` and run both again, as often as you like. An open exercise never stops you: what comes after it
# uses labkit's own version.


# %% exercise="0.1"
def accuracy(labels, predictions):
    """The share of the predictions that are right, from 0.0 (none) to 1.0 (all).

    labels, predictions: lists of 0 and 1, equally long, with at least one entry.
    """
    ### BEGIN SOLUTION
    right = [label == prediction for label, prediction in zip(labels, predictions, strict=True)]
    return sum(right) / len(right)
    ### END SOLUTION


# %% check="0.1"
result = check("0.1", accuracy)
result

# %% [markdown]
# ## The whole way, once
#
# ### Station 1: reviews
#
# The reviews stand in three parts. The model learns from the *training* reviews. The *validation* reviews say when it
# has learned enough. The *test* reviews give its score, and are used for nothing else.

# %%
for part in ("train", "validation", "test"):
    print(f"{part:<10} {getattr(lesson.splits, part)}")

# %% [markdown]
# ### Station 2: tokens
#
# A model computes with numbers. The *tokenizer* cuts a review into pieces that it knows, and gives each piece its
# number. Here is the review that you rated.

# %%
from labkit.widgets import token_table

input_ids = lesson.tokenizer(review)["input_ids"]
token_table({"input_ids": input_ids}, lesson.tokenizer)

# %% [markdown]
# ### Station 3: a model that cannot judge yet
#
# The *encoder* is pretrained: it has read a great deal of text. On top of it sits a *head* that turns what it read into
# two numbers, one for each verdict. Its last layer, the *classifier*, is new: its weights are random.

# %%
from labkit import Classifier

model = lesson.model(seed=0)
classifier = Classifier(model, lesson.tokenizer, lesson.config, lesson.encoder)
print(f"{lesson.encoder}: {model.num_parameters():,} parameters")
print(*classifier.predict([review]))

# %% [markdown]
# That is its verdict, the probability that it gives to it, and the review. How often is such a verdict right? Ask about
# all the test reviews.

# %%
from labkit import score_table

before = score_table(classifier.evaluate(lesson.splits.test))
print("accuracy before fine-tuning:", before.accuracy)

# %% [markdown]
# In brackets is the 95 % interval: where the score on endlessly many such reviews may lie, of which these are a sample.
# About half is what guessing gives here. Now let the model learn from the training reviews. What will that do?

# %%
shares = ["fewer than 6 in 10", "6 or 7 in 10", "8 in 10 or more"]
predict("00-accuracy", "How many test reviews will it get right after fine-tuning?", shares)

# %% [markdown]
# ### Station 4: fine-tuning
#
# The model reads the training reviews a few times over. After each small batch all its weights move a little, so that
# its error (the *loss*) falls. Watch it. Stop it when you like: the best weights of a whole round (an *epoch*) are
# kept.

# %%
from labkit.widgets import live_training

learn_from, check_on = lesson.batchers["train"], lesson.batchers["validation"]
seen = live_training(model, learn_from, check_on, lesson.config, name=lesson.encoder)

# %%
after = score_table(classifier.evaluate(lesson.splits.test))
right = after.accuracy.value
print("accuracy before:", before.accuracy)
print("accuracy after: ", after.accuracy)
actual = shares[int(right >= 0.6) + int(right >= 0.8)]
outcome("00-accuracy", actual, f"It is right on {right:.1%} of them.")

# %% [markdown]
# ### Station 5: a verdict
#
# Ask again about the review that you rated. Then ask about a short one. Each line gives the verdict, its probability,
# and the review.

# %%
short_review = "This film is not good."
for prediction in classifier.predict([review, short_review]):
    print(prediction)

# %% [markdown]
# ### Station 6: an explanation
#
# Which word decided that? One honest way to ask: leave out one word at a time, and see how far the probability falls.
# If it falls far, the verdict hung on that word.

# %%
words = ["film", "not", "good", "another word"]
predict("00-word", f"“{short_review}” On which word does the model's verdict hang most?", words)

# %%
from labkit.figures import word_effects
from labkit.widgets import figure

effects = classifier.leave_one_out(short_review)
figure(word_effects(effects))

# %%
strongest = effects.strongest.strip(".").lower()
found = strongest if strongest in words else "another word"
outcome("00-word", found, "Bars to the right spoke for the verdict, to the left against it.")

# %% [markdown]
# **Now play.** Write a review of your own and press Enter. Try to fool the model: irony, a double negation, praise for
# the music and blame for the rest. Try “Two hours that felt like twenty minutes.”

# %%
from labkit.widgets import word_explorer

word_explorer(classifier, "The plot is silly, the jokes are old, and I loved every minute.")

# %% [markdown]
# That was the whole way. Here it is in one picture, with what you saw at each station, and the lesson that goes through
# it slowly. (Lessons after 06 are still to come.)

# %%
from labkit.figures import journey_figure

pieces = lesson.tokenizer.tokenize(short_review)
stations = [
    ("reviews", short_review, "lesson 02"),
    ("tokens", " | ".join(pieces), "lesson 01"),
    ("numbers", str(lesson.tokenizer(short_review)["input_ids"]), "lesson 01"),
    ("model", f"{lesson.encoder}, {model.num_parameters():,} parameters", "lesson 03"),
    ("verdict", f"{effects.label}, probability {effects.probability:.2f}", "lesson 04"),
    ("words", f"hangs most on “{effects.strongest}”", "lesson 06"),
]
figure(journey_figure(stations))

# %% [markdown]
# ## Where your work is
#
# Predictions, reflections and results of checks are kept as you make them, in the folder `.labkit` beside your
# notebooks. Your answers are in the notebooks themselves: save them with Ctrl-S.

# %%
from labkit import Work

Work()

# %% [markdown]
# How far you are, across all lessons, is one call away. It also says how long each lesson takes: its core path, and all
# of it. What goes beyond the core stands under headings that begin with *Further*. It can wait: nothing in the core needs
# it. When you come back to the course, run the next cell and go on where it says. (The exercises one by one: `from
# labkit.checks import progress`, and then `progress()`.)

# %%
from labkit.lessons import course_map

course_map()

# %% [markdown]
# ## How to hand in
#
# In JupyterLab open a terminal (File, New, Terminal) and type, with the lesson's number:
#
# ```
# labkit check 01_tokenization.ipynb    # runs it from the top, and says points and hints
# labkit course hand-in 01              # makes one zip: notebook, predictions, reflections
# ```
#
# You work in your own copy of the course. `labkit course open` makes it the first time, and opens it again afterwards.

# %% [markdown]
# ## Take with you
#
# * A review becomes tokens, tokens become numbers, and a model turns numbers into probabilities.
# * A pretrained model has read much text. Fine-tuning on labelled examples teaches it the task.
# * A score needs an interval, and a verdict can be asked for its reasons.

# %%
from labkit.widgets import reflection

question = "Where did the model surprise you? What do you want to understand in the end?"
reflection("00-map", question)

# %% [markdown]
# Next: [01 · Tokenization](01_tokenization.ipynb), where you take the first station apart and find out how a model can
# read a word that it has never seen.
