# ---
# title: Explainability
# minutes: 60
# further: 20
# ---

# %% [markdown]
# # 06 · Explainability
#
# A model says *negative*, and does not say why. This lesson asks it in several ways and gets several answers. So it goes on
# to the question that matters more: which answer is true of the model? At the end a model cheats. What gives it away, its
# accuracy or an explanation?

# %% [markdown]
# **You will be able to**
#
# * read attention, and say what it does not show,
# * explain a verdict by gradients, and measure whether the explanation adds up,
# * test an explanation instead of believing it,
# * catch a model that learned the wrong thing.

# %% [markdown]
# **You need** lesson 03 (fine-tuning, gradients); the intervals are those of lessons 04 and 05. **Time**: about
# 60 minutes, and 80 minutes with the sections headed *Further*, which can wait.
#
# The *profile* says which model you will question, and how many reviews it learned from.

# %% name="start"
import math

import numpy as np
import torch

import labkit
from labkit.checks import check
from labkit.lessons import open_lesson
from labkit.widgets import expect_error, figure, outcome, predict, show_source

lesson = open_lesson()
lesson

# %% [markdown]
# ## A model to question
#
# Fine-tune one, as in lesson 03. Under `laptop` that takes a while; read on meanwhile.

# %%
model = lesson.model(seed=0)
train, validation = lesson.batchers["train"], lesson.batchers["validation"]
for epoch in labkit.fit(model, train, validation, lesson.config, progress=False):
    print(f"epoch {epoch.epoch}: accuracy {epoch.validation_accuracy:.3f}")
classifier = labkit.Classifier(model, lesson.tokenizer, lesson.config, lesson.encoder)

# %%
review = "A wonderful cast is wasted on a script so lazy that even the jokes fall asleep."
print(*classifier.predict([review]))

# %% [markdown]
# One number carries this verdict: the **margin**, the logit of positive minus the logit of negative. Above 0 the model says
# positive, below 0 negative. What does each word do to that number?

# %% [markdown]
# ## Where the model looks
#
# One thing lies ready in the model. In each layer a token gathers from all tokens, in shares that sum to 1: its
# **attention**. Why not simply look at the shares?
#
# **Break it first.** Ask for them.

# %%
from labkit import AttributionError

as_loaded = lesson.model(seed=0)
with expect_error(AttributionError):
    labkit.attention_weights(as_loaded, lesson.tokenizer, review)

# %% [markdown]
# The fast attention works in blocks, and never holds the whole table of shares. (transformers on its own gives back
# nothing, and your program goes on with nothing.) The plain one, `eager`, keeps the table. Is it still the same model?

# %%
model.eval()
batch = lesson.tokenizer(review, return_tensors="pt").to(model.device)
for kind in ("sdpa", "eager"):
    model.set_attn_implementation(kind)
    with torch.no_grad():
        print(f"{kind:<6}", model(**batch).logits[0].tolist())

# %% [markdown]
# The same function, up to rounding. Only time and memory differ.

# %%
shares = ["less than a quarter", "a quarter to a half", "more than half"]
question = "[CLS] and [SEP] say nothing about the film. How much of the words' attention do they get?"
predict("06-special", question, shares)

# %%
from labkit.figures import attention_to_special_tokens

weights = labkit.attention_weights(model, lesson.tokenizer, review)
figure(attention_to_special_tokens(weights))

# %%
special = weights.reading.is_special
given = weights.weights[:, :, ~special][..., special].sum(axis=-1).mean()
found = shares[int(given > 0.25) + int(given > 0.5)]
why = f"{given:.0%}. Shared out evenly it would be {special.mean():.0%}."
outcome("06-special", found, why)

# %% [markdown]
# In BERT, large shares go to `[SEP]`. Clark et al. (2019) read them as a way to do nothing: shares must sum to 1, so a head
# that has nothing to find puts them where they change little. A large share need not mean that something matters.

# %% [markdown]
# ### Play with it
#
# A row is a token that looks, a column one that is looked at. Go through layers and heads. Is there a head in which tokens
# look at their neighbours? One that finds *wasted*?

# %%
from labkit.widgets import attention_explorer

attention_explorer(classifier, review)

# %% [markdown]
# Two things you cannot see there. **A sign**: does *wasted* speak for the verdict, or against it? And **the word itself**:
# above the first layer, the column named *wasted* is a mixture of all words already.

# %% [markdown]
# **Rollout** answers the second: it follows the mixtures down through all layers. (Abnar and Zuidema, 2020.) Here it is beside
# the attention in one layer.

# %%
classifier.explain(review, ["attention", "rollout"])

# %% [markdown]
# ### Further: Exercise 6.1
#
# Write the rollout. In each layer heads are averaged, and half an identity is mixed in, for what a token keeps of itself.
# Then the layers are multiplied. labkit's own version opens once you have tried yours.


# %% exercise="6.1"
def attention_rollout(attentions):
    """How much of each token reaches [CLS] through all layers: a tensor (tokens,) that sums to 1.

    attentions: per layer, from the first to the last, a tensor (heads, tokens, tokens). Of each take
    A, the mean over its heads, then 0.5 A + 0.5 I. R starts as the first layer; each later layer is
    multiplied from the left, R = A_l @ R. Returned is R's row of [CLS], the first.
    """
    ### BEGIN SOLUTION
    rollout = None
    for attention in attentions:
        mean = attention.mean(dim=0)
        mixed = 0.5 * mean + 0.5 * torch.eye(len(mean))
        rollout = mixed if rollout is None else mixed @ rollout
    return rollout[0]
    ### END SOLUTION


# %% check="6.1"
result = check("6.1", attention_rollout)
result

# %%
show_source(labkit.attention_rollout, after="6.1")

# %% [markdown]
# ## What moves the verdict
#
# Looking is not deciding. So ask something else: *what would change the margin?* A word enters the model as a vector, its
# embedding. The **gradient** says how the margin moves with each number in it.

# %% [markdown]
# **Gradient x input** multiplies the two and adds up, word by word. But a gradient is a slope at one place. Here is the
# margin on the way from nothing (`[PAD]` in the place of every word) to your review, in a straight line.

# %%
from labkit.figures import margin_along_path

asked = labkit.embedded_review(model, lesson.tokenizer, review)
along = torch.linspace(0, 1, 41).to(model.device)
points = asked.baseline + along.view(-1, 1, 1) * (asked.inputs - asked.baseline)
with torch.no_grad():
    margins = asked.margins(points).cpu()
figure(margin_along_path(along.cpu(), margins))

# %% [markdown]
# The gradient at the review sees the last bit of this curve only. Where the curve is flat at its end, it sees next to
# nothing of what happened on the way. So walk the whole way.

# %% [markdown]
# ### Exercise 6.2
#
# **Integrated gradients**: the gradient at many points between baseline and input, averaged, times the difference between
# input and baseline. The scores of all words then add up to the change of the margin. That is *completeness*, and it can
# be checked. (Sundararajan et al., 2017.)


# %% exercise="6.2"
def integrated_gradients(forward, inputs, baseline, steps=64):
    """How much each number of `inputs` changed forward(inputs) - forward(baseline): a tensor like inputs.

    forward: maps (batch, ...) to (batch,). inputs, baseline: one example, without the batch axis. The
    gradient is averaged over the straight way from baseline to inputs by a midpoint, trapezoid or
    Gauss-Legendre rule of `steps` points. The sum is within 1 % of the change, on smooth functions.
    """
    ### BEGIN SOLUTION
    way = inputs - baseline
    shares = (torch.arange(steps) + 0.5) / steps
    shares = shares.to(inputs).view(-1, *[1] * inputs.dim())
    points = (baseline + shares * way).detach().requires_grad_()
    (gradients,) = torch.autograd.grad(forward(points).sum(), points)
    return way * gradients.mean(dim=0)
    ### END SOLUTION


# %% check="6.2"
result = check("6.2", integrated_gradients)
result

# %% [markdown]
# labkit's own version opens once you have tried yours. Its rule, Gauss and Legendre's, places the points so that a smooth
# curve needs fewer of them.

# %%
show_source(labkit.integrated_gradients, after="6.2")

# %%
counts = ["1", "4", "16", "64", "more than 64"]
question = "How many points does your review need until its scores add up within 1 %?"
predict("06-steps", question, counts)

# %%
change = (margins[-1] - margins[0]).item()
errors = {}
for steps in (1, 4, 16, 64):
    scores = labkit.integrated_gradients(asked.margins, asked.inputs, asked.baseline, steps)
    errors[steps] = abs(scores.sum().item() - change) / max(abs(change), 0.1)
    print(f"{steps:2} points: the scores miss the change of {change:+.3f} by {errors[steps]:.2%}")

# %%
enough = [str(steps) for steps, error in errors.items() if error <= 0.01]
why = "labkit measures this for every explanation, and takes more points where they are needed."
outcome("06-steps", (enough or counts[-1:])[0], why)

# %% [markdown]
# Completeness says that the *sum* is right. It does not say that each part of it is. That needs another test, further below.

# %% [markdown]
# ## From pieces to words
#
# The model reads pieces, and you read words. A score for `##able` explains nothing to anybody.

# %%
rare = "An overlong whodunit, redeemed by an unputdownable finale."
(explained,) = classifier.explain(rare)
for token, score in zip(explained.tokens, explained.scores, strict=True):
    print(f"{token:<12} {score:+.3f}")

# %% [markdown]
# So the pieces are joined, and their scores added up. The sum stays the same, so completeness survives.

# %%
explained

# %% [markdown]
# ### Further: Exercise 6.3
#
# Join the pieces yourself. `[CLS]` and `[SEP]` are no words. `[UNK]` is one: a word that the model cannot spell.


# %% exercise="6.3"
def merge_wordpieces(tokens, scores, prefix="##"):
    """The words with their scores, in order: a list of (word, score), each score a float.

    A token that begins with `prefix` continues the word before it: it is joined without the prefix, and
    its score is added. [CLS], [SEP] and [PAD] are left out; [UNK] and [MASK] are words. A continuing
    piece never stands first or right after a special token.
    """
    ### BEGIN SOLUTION
    words = []
    for token, score in zip(tokens, scores, strict=True):
        if token in ("[CLS]", "[SEP]", "[PAD]"):
            continue
        if token.startswith(prefix):
            word, total = words[-1]
            words[-1] = (word + token.removeprefix(prefix), total + float(score))
        else:
            words.append((token, float(score)))
    return words
    ### END SOLUTION


# %% check="6.3"
result = check("6.3", merge_wordpieces)
result

# %% [markdown]
# ## Side by side
#
# A last method needs no gradient. **Occlusion** puts `[MASK]` in the place of one word after the other, and measures how far
# the margin falls. Here are four methods on one review, each word a button that takes it out.

# %% [markdown]
# Before you press one: which word does each method call the strongest? Take it out. Does the verdict move? Can you turn it
# over with two words? Then type a review of your own.

# %%
from labkit.widgets import review_explorer

sample = lesson.splits.validation.texts[:30]
review_explorer(classifier, [review, rare, *sample[:6]])

# %% [markdown]
# ### Do they agree?
#
# Now 30 reviews. Integrated gradients and occlusion both ask what moves the margin. Compare the three words that each calls
# the strongest.

# %%
overlaps = ["fewer than 1 of 3", "1 to 2 of 3", "more than 2 of 3"]
question = "How many of their three strongest words do the two methods share, in the mean?"
predict("06-agree", question, overlaps)

# %%
from labkit.figures import agreement_figure

methods = ["attention", "rollout", "gradient-x-input", "integrated-gradients", "occlusion"]
explanations = classifier.explain(sample, methods, steps=(16, 64, 256))
agreement = labkit.measure_agreement(explanations, top=3)
figure(agreement_figure(agreement))

# %%
pair = agreement.row("integrated-gradients", "occlusion")
shared = 3 * pair.overlap.value
found = overlaps[int(shared >= 1) + int(shared > 2)]
outcome("06-agree", found, f"{shared:.1f} of 3; by chance it would be {3 * pair.chance:.1f}.")

# %% [markdown]
# And this is the review on which these two are furthest apart. Each column has its own scale. Which of them would you have
# believed?

# %%
from labkit import rank_correlation
from labkit.figures import attribution_grid

pairs = zip(*(explanations.of(name) for name in ("integrated-gradients", "occlusion")), strict=True)
apart = min(pairs, key=lambda two: rank_correlation(*(one.word_scores for one in two)))
figure(attribution_grid(apart))

# %% [markdown]
# Methods differ because they ask different questions. That two agree is no proof: they can share a mistake. That one looks
# right to *you* is none either: you read the review, not the model. Ask the model.

# %% [markdown]
# ## Is the explanation true?
#
# Take out the words that an explanation names. If the verdict stood on them, its probability must fall. How far it falls is
# **comprehensiveness**. (DeYoung et al., 2020.)

# %% [markdown]
# ### Exercise 6.4
#
# A fraction of the tokens is rarely a whole number of them. The docstring says which way to round.


# %% exercise="6.4"
def comprehensiveness(predict, tokens, scores, fraction=0.2, mask="[MASK]"):
    """How far `predict` falls when the tokens of the highest scores are replaced by `mask`: a float.

    predict: maps a list of tokens to a float. scores: one for each token. Replaced are the top
    ceil(fraction * n) of the n tokens, by score and not by magnitude. The arguments stay as they are.
    """
    ### BEGIN SOLUTION
    count = math.ceil(fraction * len(tokens))
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")
    gone = set(order[:count].tolist())
    masked = [mask if place in gone else token for place, token in enumerate(tokens)]
    return float(predict(list(tokens))) - float(predict(masked))
    ### END SOLUTION


# %% check="6.4"
result = check("6.4", comprehensiveness)
result

# %% [markdown]
# A fall alone says little: any hole in a review may disturb a model. So the control takes out as many words *at random*. An
# explanation that knows something must beat it.

# %%
how_many = ["all five", "some of them", "none"]
predict("06-faithful", "Which of the five methods beat random words?", how_many)

# %%
from labkit.figures import faithfulness_curves

fractions = (0.1, 0.2, 0.4)
faithful = labkit.measure_faithfulness(model, lesson.tokenizer, explanations, fractions)
figure(faithfulness_curves(faithful))

# %%
beaten = [name for name in methods if faithful.row(name).beats_random]
found = how_many[0 if len(beaten) == len(methods) else 1 if beaten else 2]
outcome("06-faithful", found, f"With 95 % intervals above 0: {', '.join(beaten) or 'no method'}.")

# %% [markdown]
# **Sufficiency** turns it round: only the named words stay, and the less the probability falls, the better. And a `[MASK]` is
# a sight that fine-tuning never showed. So measure once more with the words *deleted*. A verdict on a method should survive
# both.

# %%
figure(faithfulness_curves(faithful, "sufficiency"))
print("comprehensiveness over random words, with [MASK] and with the words deleted:")
for name in methods:
    ways = [str(faithful.row(name, replacement=way).drop_vs_random) for way in ("mask", "delete")]
    print(f"{name:<21} {ways[0]:<24} {ways[1]}")

# %% [markdown]
# Be fair in judging. Occlusion is chosen by nearly the same deed that the test then does: it starts ahead. And attention has
# no sign, so it also takes out words that spoke *against* the verdict.

# %% [markdown]
# ### Further: does it look at what was learned?
#
# A second test. Shuffle the weights of a copy of the model, from the head downwards, until nothing that was learned is left.
# An explanation of the model must change with it. (Adebayo et al., 2018.)

# %%
what_stays = ["all of it", "about half", "next to nothing"]
question = "Shuffle the head alone: how much of attention's explanation stays?"
predict("06-head", question, what_stays)

# %%
from labkit.figures import randomisation_curves

tested = ["attention", "integrated-gradients"]
shuffled = labkit.randomisation_check(model, lesson.tokenizer, sample[:12], tested, steps=(16,))
figure(randomisation_curves(shuffled))

# %%
stays = shuffled.rows[0].similarity.value
found = what_stays[int(stays < 0.75) + int(stays < 0.25)]
why = "The head comes after all attention. Whatever it makes of the review, the shares are the same."
outcome("06-head", found, f"Rank correlation {stays:.2f}. {why}")

# %% [markdown]
# So attention cannot show how the head reads what it gets, and that is where the verdict falls. It shows where vectors were
# gathered, and not what was made of them. That is worth knowing, and it is no explanation of a verdict.

# %% [markdown]
# ## A model that cheats
#
# Half of the positive reviews now name a cinema, Glimmerplex, that says nothing about the film. No negative review does. Such
# things happen: a signature, a source, a format that goes with the label.

# %%
planted = {name: labkit.plant_cue(part, seed=0) for name, part in vars(lesson.splits).items()}
print(*planted["train"].carriers.texts[:2], sep="\n")
planted["train"].reviews.notes[-1]

# %% [markdown]
# As in life, training and validation reviews come from the same source. The cheat is trained and scored on reviews with the
# name, the honest model on the same reviews without it.

# %%
sides = ["lower", "no difference that luck could not make", "higher"]
question = "The accuracy of the cheat, beside that of the honest model, will be ..."
predict("06-cheat", question, sides)

# %%
from labkit import make_batchers

source = labkit.Splits(**{name: part.reviews for name, part in planted.items()})
batchers = make_batchers(source, lesson.tokenizer, lesson.config)
other = lesson.model(seed=0)
in_turn = batchers["train"], batchers["validation"]
for epoch in labkit.fit(other, *in_turn, lesson.config, progress=False):
    print(f"epoch {epoch.epoch}: accuracy {epoch.validation_accuracy:.3f}")
cheat = labkit.Classifier(other, lesson.tokenizer, lesson.config, "cheat")

# %%
honest_result = classifier.evaluate(lesson.splits.validation)
cheat_result = cheat.evaluate(source.validation)
truth = honest_result.labels
compared = labkit.mcnemar(truth, cheat_result.predictions, honest_result.predictions)
better = sides[2] if compared.difference > 0 else sides[0]
found = better if compared.p_value < 0.05 else sides[1]
scores = f"{cheat_result.correct.mean():.3f} and {honest_result.correct.mean():.3f}"
outcome("06-cheat", found, f"{scores}. A score does not say what it rests on.")

# %% [markdown]
# Now ask the cheat *why*, on positive reviews that carry the name.

# %%
carriers = planted["validation"].carriers.texts[:24]
two = ["integrated-gradients", "random"]
reasons = cheat.explain(carriers, two, steps=(16, 64, 256))
reasons.of("integrated-gradients")[:3]

# %%
for name in two:
    share = labkit.cue_found(reasons.of(name), top=3)
    print(f"{name:<21} has the name among its three strongest words: {share}")

# %% [markdown]
# An explanation raises the suspicion; an experiment proves it. Write the name into the *negative* reviews, and count how many
# become positive.

# %%
plain = lesson.splits.validation
negatives = plain.select(np.flatnonzero(plain.labels == 0))
named = labkit.plant_cue(negatives, label=0, share=1.0, seed=0).reviews
for name, who in {"honest": classifier, "cheat": cheat}.items():
    before, after = (who.evaluate(part).predictions.mean() for part in (negatives, named))
    clean = who.evaluate(plain).correct.mean()
    print(f"{name:<7} calls {before:.1%} of the negatives positive, {after:.1%} with the name;")
    print(f"{'':<7} its accuracy where nobody planted anything: {clean:.3f}")

# %% [markdown]
# And with more data? `reference/explanations.py` planted the name in all reviews of the corpus, trained once, and looked at
# the test reviews that carry it. `explanations.json`, which comes with labkit, holds what it found.

# %%
import json

from labkit import SHIPPED

measured = json.loads((SHIPPED / "explanations.json").read_text("utf-8"))["cue"]
print(f"{measured['model']}, {measured['train_examples']:,} training reviews, seed {measured['seed']}:")
for name, rate in measured["found"].items():
    interval = f"[{rate['low']:.3f}, {rate['high']:.3f}]"
    print(f"{name:<21} {rate['value']:.3f} {interval} of {measured['carriers']} carriers")

# %% [markdown]
# ## Ask before you are surprised
#
# Explanations tell of reviews that you have. **Behavioural tests** ask with sentences that you make, so that you know what
# must come out: praise that is negated, another name, a slip of the pen. (CheckList: Ribeiro et al., 2020.)

# %%
abilities = ["vocabulary", "negation", "intensifiers", "contrast", "names", "typos"]
question = "Each of these has a test or several. Where is the one that the honest model fails most often?"
predict("06-behaviour", question, abilities)

# %%
from labkit.figures import behaviour_figure

report = labkit.check_behaviour(classifier.probabilities, name=lesson.encoder)
figure(behaviour_figure(report))

# %% name="behaviour-outcome"
worst = max(report.rows, key=lambda row: row.failure_rate.value)
overall = report.by_capability()[worst.capability].value
said = f"“{worst.name}” fails in {worst.failure_rate.value:.0%} of its cases"
why = f"{said}, {worst.capability} as a whole in {overall:.0%}. An accuracy would not have told you."
outcome("06-behaviour", worst.capability, why)

# %% [markdown]
# One failure of each kind, with the probability of positive. The sentences are made from a few templates. So a rate holds for
# such sentences, and its interval is a little too narrow.

# %%
report

# %% [markdown]
# ## Take with you
#
# * Attention shows where a model looks. It has no sign, and it knows nothing of the head.
# * A sum that adds up can be checked for every explanation. It is needed, and it is not enough.
# * Test an explanation against random words before you believe it.
# * A high score may rest on a cue. Look at what it rests on, then prove it by an experiment.

# %%
from labkit.widgets import reflection

question = "Where could a cue hide in the data of your own field? How would you find it, and how prove it?"
reflection("06-explainability", question)

# %%
from labkit.widgets import lesson_page

lesson_page("06")

# %% [markdown]
# ## Next
#
# Lesson 07 asks what a smaller model costs, and gains. [The list of lessons](README.md) says whether it is there yet.
