# ---
# title: Fine-tuning
# minutes: 60
# further: 50
# ---

# %% [markdown]
# # 03 · Fine-tuning
#
# A model that has read a great deal of text needs only a little more to tell praise from blame. This lesson writes the
# loop that teaches it, line by line. Further on a batch will not fit into memory, and you will get it in all the same.

# %% [markdown]
# **You will be able to**
#
# * say which part of a model is pretrained and which is new,
# * write the training loop, with large batches made out of small ones,
# * do the same with transformers and torch alone,
# * (further) choose a precision, get out of memory trouble, and say what pretraining is worth.

# %% [markdown]
# **You need** lesson 02 (batches, padding) and a little PyTorch: a module, a loss, `backward()`. **Time**: about 60
# minutes, and 110 minutes with the sections headed *Further*, which can wait.
#
# The *profile* says with which model and on how many reviews you train. Here and in the lessons after this one you may take
# reviews of your own: `open_lesson(data="mine.csv")`, a file with the columns `text` and `label`, of at least 200 rows.

# %% name="start"
from itertools import islice

import torch
from torch import nn

import labkit
from labkit.checks import check
from labkit.lessons import open_lesson
from labkit.widgets import expect_error, figure, live_training, outcome, predict, show_source

lesson = open_lesson()
lesson

# %% [markdown]
# ## Look before you change anything
#
# **Transfer learning**: take a model that has read much text, and teach it one thing more. Its *encoder* turns a review
# into vectors. Its *head* turns one of them, that of `[CLS]`, into two numbers: the logits of negative and positive.

# %%
fresh = lesson.model(seed=0)
fresh

# %%
from labkit.figures import part_sizes

parts = [*fresh.base_model.named_children(), ("classifier", fresh.classifier)]
sizes = {name: sum(weight.numel() for weight in part.parameters()) for name, part in parts}
figure(part_sizes(sizes, name=lesson.encoder))

# %% [markdown]
# The head of BERT has two layers, *pooler* and *classifier*. Only the classifier is new: random numbers, drawn a moment
# ago from the seed. All the rest, the pooler too, was read from a file.

# %% [markdown]
# ### The lines behind it
#
# labkit did not make this model. Hugging Face's transformers did, from a folder on your disk. These two calls stand behind
# `lesson.tokenizer` and `lesson.model`; the seed before them draws the classifier. Read what the second one reports.

# %%
from transformers import AutoTokenizer, BertForSequenceClassification

torch.manual_seed(0)
hf_tokenizer = AutoTokenizer.from_pretrained(lesson.folder)
hf_model = BertForSequenceClassification.from_pretrained(lesson.folder, num_labels=2)

# %% [markdown]
# `MISSING` is what the folder lacks: the classifier, so it was drawn. **Now you.** In the next cell type the two calls
# anew in place of `None`, with another seed before them. In place of a folder each takes a model's name, such as
# `"bert-base-uncased"`, and fetches it.

# %% name="your-own-model"
my_tokenizer = None
my_model = None

# %%
written = isinstance(my_model, BertForSequenceClassification) and callable(my_tokenizer)
mine, words = (my_model, my_tokenizer) if written else (hf_model, hf_tokenizer)
print("yours:" if written else "not written yet, so these are the two above:")
for part in ("bert.pooler.dense", "classifier"):
    weights = [each.get_submodule(part).weight for each in (mine, fresh)]
    print(f"{part:<18} as in lesson.model: {torch.equal(*weights)}")
print(f"{'pieces':<18} as from lesson.tokenizer: {words.tokenize(part) == lesson.tokenizer.tokenize(part)}")

# %% [markdown]
# With another seed only the classifier is another: what is pretrained comes from the file, what is new from the seed.

# %%
shares = ["about half", "about three quarters", "nearly all"]
predict("03-untrained", "Nothing is trained yet. How many reviews does it label rightly?", shares)

# %%
train, validation = lesson.batchers["train"], lesson.batchers["validation"]
_, logits, labels = labkit.evaluate(fresh, validation, lesson.config)
untrained = (logits.argmax(dim=1) == labels).float().mean().item()

# %%
found = shares[int(untrained > 0.65) + int(untrained > 0.85)]
why = "The vectors may be good, but a classifier of random numbers reads them at random."
outcome("03-untrained", found, f"{untrained:.1%} of {len(validation)} validation reviews. {why}")

# %% [markdown]
# ## How a weight moves
#
# A gradient says in which direction the loss grows. The optimizer makes a step out of it. Ours is **AdamW**: it divides
# each gradient by its own recent size before it steps. What follows from that?

# %%
factors = ["a million times as long", "a thousand times as long", "just as long"]
question = "Of two gradients one is a million times as large. How long is its first step?"
predict("03-adamw", question, factors)

# %%
moves = []
for gradient in (1.0, 1_000_000.0):
    weight = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    weight.grad = torch.full_like(weight, gradient)
    torch.optim.AdamW([weight], lr=2e-5, weight_decay=0.0).step()
    moves.append(1 - weight.item())

# %%
found = factors[int(moves[1] < 1e5 * moves[0]) + int(moves[1] < 10 * moves[0])]
why = f"The weights moved by {moves[0]:.1e} and by {moves[1]:.1e}: the learning rate, both times."
outcome("03-adamw", found, why)

# %% [markdown]
# So the learning rate *is* the length of a first step, in every weight at once. Pretrained weights are good already, and
# long steps would spoil them. BERT's authors fine-tuned at 2e-5 to 5e-5. (Devlin et al., 2019.)

# %% [markdown]
# The first steps are the least sure of their direction: the classifier is still random, and only a few reviews have been
# seen. So the rate rises from 0 in a **warmup**, here over the first 10 % of the steps, and then falls in a line to 0.

# %% [markdown]
# ### Exercise 3.1
#
# The multiplier of the learning rate at each optimizer step. A scheduler of PyTorch asks for it before every step.


# %% exercise="3.1"
def warmup_linear(step, warmup_steps, total_steps):
    """The learning rate's multiplier, a float in [0, 1].

    During warmup step / warmup_steps; then in a line from 1 down to 0 at total_steps; 0 beyond.
    0 <= warmup_steps < total_steps. Without warmup (warmup_steps == 0) it starts at 1.
    """
    ### BEGIN SOLUTION
    if step < warmup_steps:
        return step / warmup_steps
    remaining = total_steps - step
    return max(0.0, remaining / (total_steps - warmup_steps))
    ### END SOLUTION


# %% check="3.1"
result = check("3.1", warmup_linear)
result

# %% [markdown]
# ### Further: play with it
#
# These are the steps of the training below. What does a longer warmup do to the mean rate? How far does the very first
# step move a weight?

# %%
from labkit.widgets import learning_rate_explorer

total_steps = -(-len(train) // lesson.config.batch_size) * lesson.config.epochs
learning_rate_explorer(total_steps, lesson.config.warmup_ratio, peak=2e-5)

# %% [markdown]
# ### Further: two groups of parameters
#
# **Weight decay** pulls weights a little towards 0 in every step, a mild brake on overfitting. It is meant for the
# matrices. Biases are left out, and so are LayerNorm's weights: they belong near 1, not near 0.

# %% [markdown]
# #### Exercise 3.2
#
# Sort the parameters. You need no names: biases and LayerNorm weights are the ones that have at most one dimension.


# %% exercise="3.2"
def parameter_groups(model, weight_decay):
    """Two dicts for AdamW, each with "params" (a list) and "weight_decay".

    Parameters of at most one dimension have decay 0.0, all others `weight_decay`. Each trainable
    parameter stands in exactly one group; a frozen one (requires_grad is False) stands in none.
    """
    ### BEGIN SOLUTION
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.dim() > 1]
    others = [parameter for parameter in trainable if parameter.dim() <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    ### END SOLUTION


# %% check="3.2"
result = check("3.2", parameter_groups)
result

# %%
for group in labkit.parameter_groups(fresh, weight_decay=0.01):
    numbers = sum(parameter.numel() for parameter in group["params"])
    tensors = len(group["params"])
    print(f"decay {group['weight_decay']:<4}: {tensors:3} tensors, {numbers:>12,} numbers")

# %% [markdown]
# ## A large batch out of small ones
#
# A batch of 32 may not fit into memory; a batch of 8 takes rougher steps. **Gradient accumulation** has both: four
# *micro-batches* of 8 add up their gradients, and only then the optimizer steps. That is worth something only if it is
# the same step.

# %% [markdown]
# ### Exercise 3.3
#
# `backward()` *adds* to the gradients that are there. But each `loss` is the mean over its own micro-batch, and
# micro-batches differ in size. Every review must weigh the same in the end.


# %% exercise="3.3"
def accumulate_gradients(model, micro_batches):
    """Give every parameter the gradient of the mean loss over all examples; return that mean.

    micro_batches: any iterable of mappings that `model(**batch)` takes; they may differ in size and
    in width. What the model returns has `.loss`, the mean over the batch. Gradients that stood
    before are discarded. No optimizer step.
    """
    ### BEGIN SOLUTION
    batches = list(micro_batches)
    examples = sum(len(batch["labels"]) for batch in batches)
    model.zero_grad()
    mean_loss = 0.0
    for batch in batches:
        share = len(batch["labels"]) / examples
        loss = share * model(**batch).loss
        loss.backward()
        mean_loss += loss.item()
    return mean_loss
    ### END SOLUTION


# %% check="3.3"
result = check("3.3", accumulate_gradients)
result

# %% [markdown]
# ### The proof
#
# First the reference: 32 reviews at once, in plain PyTorch. Dropout is off, or each pass would draw other masks. The
# split gives the same reviews in four pieces, each padded to its own longest.

# %%
batch = train.batch(range(32))
fresh.eval()
fresh.zero_grad()
fresh(**batch).loss.backward()
whole = labkit.gradients_of(fresh)
print([tuple(piece["input_ids"].shape) for piece in batch.split(8)])

# %% [markdown]
# Now the four pieces, by labkit's `accumulate_gradients`. Printed is the largest difference between a number and its
# twin, as a share of the largest number in the same tensor.

# %%
labkit.accumulate_gradients(fresh, batch.split(8))
difference = labkit.gradient_difference(whole, labkit.gradients_of(fresh))
print(f"4 x 8 against 32: {difference:.1e}")

# %% [markdown]
# Small, but not 0. That is rounding, and the next section proves it.

# %% [markdown]
# ### Further: rounding, or a small mistake?
#
# A mistake stays where it is. Rounding shrinks when numbers get more digits. So do it again with twice as many.

# %%
exact = lesson.model(seed=0).double().eval()
exact(**batch).loss.backward()
reference = labkit.gradients_of(exact)
labkit.accumulate_gradients(exact, batch.split(8))
difference = labkit.gradient_difference(reference, labkit.gradients_of(exact))
print(f"4 x 8 against 32, in float64: {difference:.1e}")

# %% [markdown]
# That is the proof: what was left is rounding, and padding to other widths changes nothing. 4 x 8 equals 32.

# %% [markdown]
# ### Further: break it
#
# There is a shorter way that many scripts take: divide each micro-batch's loss by the *number of micro-batches*. That
# gives the mean of their means.

# %%
cases = ["never", "only when micro-batches differ in size", "always"]
predict("03-naive", "When does the mean of the means give a wrong gradient?", cases)

# %%
edges = ((0, 16), (16, 24), (24, 29), (29, 32))
pieces = {"4 x 8": batch.split(8), "16, 8, 5, 3": [train.batch(range(*ends)) for ends in edges]}
gradients = {}
for name, micro_batches in pieces.items():
    labkit.accumulate_gradients(exact, micro_batches)
    gradients[f"by reviews, {name}"] = labkit.gradients_of(exact)

# %%
for name, micro_batches in pieces.items():
    exact.zero_grad()
    for piece in micro_batches:
        (exact(**piece).loss / len(micro_batches)).backward()
    gradients[f"mean of means, {name}"] = labkit.gradients_of(exact)

# %%
from labkit.figures import gradient_differences

apart = {way: labkit.gradient_difference(reference, each) for way, each in gradients.items()}
figure(gradient_differences(apart, against="one batch of 32", rounding=1e-10))

# %%
wrong = [apart[f"mean of means, {name}"] > 1e-10 for name in pieces]
why = "There, one review among 3 weighs more than five among 16. A last batch is seldom full."
outcome("03-naive", cases[sum(wrong)], why)

# %% [markdown]
# ## The loop
#
# One epoch: for each group of batches the gradients as above, **clipped** (a gradient longer than `max_grad_norm` is
# shortened to it), then one optimizer step and one scheduler step. The last group may be shorter. It counts all the same.

# %% [markdown]
# ### Exercise 3.4
#
# Use `labkit.accumulate_gradients` for each group; `islice` takes the next few of an iterator. What is returned is a
# mean over *reviews*, not over groups.


# %% exercise="3.4"
def train_epoch(model, batches, optimizer, scheduler, accumulation_steps=1, max_grad_norm=1.0):
    """Train on every batch once, in training mode; return the mean loss per example, a float.

    batches: any iterable. Each group of `accumulation_steps` batches (the last may be shorter) gives
    one optimizer step and then one scheduler step, its gradients clipped to max_grad_norm before.
    Nothing of one group's gradients is left in the next.
    """
    ### BEGIN SOLUTION
    model.train()
    remaining = iter(batches)
    total_loss, total_examples = 0.0, 0
    while group := list(islice(remaining, accumulation_steps)):
        loss = labkit.accumulate_gradients(model, group)
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        optimizer.step()
        scheduler.step()
        examples = sum(len(batch["labels"]) for batch in group)
        total_loss += loss * examples
        total_examples += examples
    return total_loss / total_examples
    ### END SOLUTION


# %% check="3.4"
result = check("3.4", train_epoch)
result

# %% [markdown]
# ### Further: looking without learning
#
# In training mode dropout draws random masks, so the same reviews give another loss each time. A measurement must not
# depend on chance:

# %%
for mode in (True, False):
    fresh.train(mode)
    thrice = [f"{fresh(**batch).loss.item():.4f}" for _ in range(3)]
    print("dropout on: " if mode else "dropout off:", *thrice)

# %% [markdown]
# #### Exercise 3.5
#
# Evaluate without a trace: afterwards each module is in the mode in which you found it. They may differ: a frozen
# encoder can be in evaluation mode while its head is training.


# %% exercise="3.5"
def eval_epoch(model, batches):
    """Mean loss per example (a float), logits (n, classes), labels (n,); in the order of the batches.

    Without gradients and with dropout off. Afterwards every module is in the mode it was in before,
    also where they were mixed; grad mode and requires_grad are as before.
    """
    ### BEGIN SOLUTION
    modes = {module: module.training for module in model.modules()}
    model.eval()
    total_loss, logits, labels = 0.0, [], []
    with torch.no_grad():
        for batch in batches:
            output = model(**batch)
            total_loss += output.loss.item() * len(batch["labels"])
            logits.append(output.logits)
            labels.append(batch["labels"])
    for module, mode in modes.items():
        module.training = mode
    labels = torch.cat(labels)
    return total_loss / len(labels), torch.cat(logits), labels
    ### END SOLUTION


# %% check="3.5"
result = check("3.5", eval_epoch)
result

# %% [markdown]
# ### Further: the loop that runs
#
# This is labkit's own, no copy: the command line trains with it too. Each function opens once you have tried its
# exercise. Compare: what does it have that yours has not? `autocast` and `scaler` come further below.

# %%
show_source(labkit.train_epoch, after="3.4")
show_source(labkit.accumulate_gradients, after="3.3")
show_source(labkit.eval_epoch, after="3.5")

# %% [markdown]
# ## Train
#
# Now the real thing: `fit` runs these functions epoch by epoch and keeps the weights of the best one. **Stop training**
# stops after the step that is running and keeps the best; so does *Interrupt*. Nothing breaks.

# %%
ranges = ["below 65 %", "65 to 75 %", "75 to 85 %", "above 85 %"]
predict("03-accuracy", f"Accuracy on new reviews after training on {len(train):,}?", ranges)

# %%
model = lesson.model(seed=0)
rate, name = lesson.learning_rate, lesson.encoder
seen = live_training(model, train, validation, lesson.config, name=name)

# %%
precision = labkit.choose_precision("auto", labkit.choose_device())  # as `fit` does; see below
_, logits, labels = labkit.evaluate(model, validation, lesson.config, precision)
full = labkit.EvalResult.from_logits(labels, logits, "full fine-tuning")

# %%
accuracy = full.correct.mean()
found = ranges[sum(accuracy >= edge for edge in (0.65, 0.75, 0.85))]
why = f"{accuracy:.1%} of {len(full)} validation reviews; {untrained:.1%} before training."
outcome("03-accuracy", found, why)

# %% [markdown]
# ### Further: how long a step?
#
# That was the rate that measured well for your model; labkit's registry holds one for each. 2e-5 suits BERT base, and
# smaller models bear longer steps. What does the careful choice cost? Same seed, same order, one epoch.

# %%
careful = min(2e-5, rate / 2)
changes = ["lower", "about the same", "higher"]
question = f"One epoch at {careful:g} in place of {rate:g}: the training loss at its end is ..."
predict("03-rate", question, changes)

# %%
steps, other = [], lesson.model(seed=0)
shorter = lesson.config.replaced({"learning_rate": careful})
quietly = {"progress": False, "after_step": steps.append}
print(f"one epoch at {careful:g}, which takes as long as an epoch above")
careful_run = labkit.fit(other, train, validation, shorter, **quietly)
next(careful_run)  # one epoch is enough to see it
careful_run.close()

# %%
from labkit.figures import loss_by_step

count = min(len(steps), len(seen.steps))
runs = {f"{rate:g}": seen.steps[:count], f"{careful:g}": steps[:count]}
by_rate = {name: [step.loss for step in run] for name, run in runs.items()}
figure(loss_by_step(by_rate))

# %%
usual, slow = (sum(run[-10:]) / len(run[-10:]) for run in by_rate.values())
found = changes[int(slow > usual - 0.02) + int(slow > usual + 0.02)]
why = f"Mean of the last 10 steps: {slow:.3f} at {careful:g}, {usual:.3f} at {rate:g}."
outcome("03-rate", found, why)

# %% [markdown]
# ## The plain version
#
# Your loop again, with transformers and torch alone: it trains, saves and loads. This cell is yours to take home. It
# needs two lists, `texts` and `verdicts` (0 or 1), a folder or a name to `start` from, and a folder to save to.

# %% name="plain-start"
from tempfile import TemporaryDirectory

home = TemporaryDirectory(prefix="my-model-")
start, saved = str(lesson.folder), home.name
texts, verdicts = lesson.splits.train.texts[:320], lesson.splits.train.labels[:320].tolist()
epochs, peak = 1, lesson.learning_rate

# %% name="plain-version" tags=["take-home"]
import torch
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, BertForSequenceClassification, get_linear_schedule_with_warmup

torch.manual_seed(0)  # draws the classifier and the dropout
device = "cuda" if torch.cuda.is_available() else "cpu"
names = {0: "negative", 1: "positive"}
plain_tokenizer = AutoTokenizer.from_pretrained(start)
plain_model = BertForSequenceClassification.from_pretrained(start, num_labels=2, id2label=names).to(device)

matrices = [weight for weight in plain_model.parameters() if weight.dim() > 1]
others = [weight for weight in plain_model.parameters() if weight.dim() <= 1]  # biases, LayerNorm
groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
adamw = torch.optim.AdamW(groups, lr=peak)
order = torch.Generator().manual_seed(0)
loader = DataLoader(list(zip(texts, verdicts, strict=True)), batch_size=32, shuffle=True, generator=order)
steps_in_all = epochs * len(loader)
schedule = get_linear_schedule_with_warmup(adamw, steps_in_all // 10, steps_in_all)

plain_model.train()
plain_losses, rectangle = [], {"padding": True, "truncation": True, "max_length": 128, "return_tensors": "pt"}
for _ in range(epochs):
    for some_texts, labels in loader:
        encoded = plain_tokenizer(list(some_texts), **rectangle)
        loss = plain_model(**encoded.to(device), labels=labels.to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain_model.parameters(), 1.0)
        adamw.step()
        schedule.step()
        adamw.zero_grad()
        plain_losses.append(loss.item())

plain_model.save_pretrained(saved)
plain_tokenizer.save_pretrained(saved)

loaded = BertForSequenceClassification.from_pretrained(saved).eval()  # without dropout
with torch.inference_mode():
    logits = loaded(**plain_tokenizer("This film is not good.", return_tensors="pt")).logits
print(f"loss {plain_losses[0]:.3f} at first, {plain_losses[-1]:.3f} at last")
print({names[place]: round(share, 3) for place, share in enumerate(logits.softmax(dim=-1)[0].tolist())})

# %% [markdown]
# What labkit adds is around this: reviews that are checked, a split that holds, batches of like length, the best epoch
# kept, a run that goes on after a crash. The steps are these. A test of the course holds the losses of this cell against
# those of `labkit.fit`, step by step.

# %% [markdown]
# ## Further: half precision
#
# A number of 16 bits takes half the memory of one of 32, and many processors multiply such numbers faster. There are two
# ways to spend 16 bits:

# %%
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    about = torch.finfo(dtype)
    print(f"{dtype!s:15} up to {about.max:.1e}; after 1 comes {1 + about.eps:.7f}")

# %%
for dtype in (torch.float16, torch.bfloat16):
    large, small = torch.tensor([70_000, 1e-8]).to(dtype).tolist()
    print(f"{dtype!s:15} 70000 becomes {large:g}, 0.00000001 becomes {small:.2g}")

# %% [markdown]
# **fp16** has more digits and a narrow range: a large number becomes infinite, a small one 0. **bf16** has the range of
# fp32 and few digits. Gradients are small and can do with few digits, so bf16 is the easier one.

# %% [markdown]
# *Mixed* precision keeps weights, gradients and AdamW's sums in fp32; `autocast` runs the matrix products in 16 bits. For
# fp16 something more is needed. Watch a gradient disappear, and come back:

# %%
for scale in (1.0, 2.0**16):
    weight = nn.Parameter(torch.tensor(1.0))
    loss = 1e-8 * weight.half().float()
    (loss * scale).backward()
    gradient = weight.grad.item() / scale
    print(f"loss times {scale:5.0f}: the gradient, divided again, is {gradient:.2g}")

# %% [markdown]
# That is what a `GradScaler` does: it multiplies the loss before `backward()` and divides the gradients before they are
# clipped. Where a gradient became infinite it leaves the step out and takes a smaller factor.

# %% [markdown]
# And in your model? These are the numbers that flow back through its layers for one batch, with and without that factor,
# over what fp16 can hold.

# %%
from labkit.figures import gradient_sizes_figure

figure(gradient_sizes_figure(labkit.gradient_sizes(model, batch)))

# %% [markdown]
# ### Measured here
#
# Now the same batch, forward and backward, in each precision, on your device. Memory is what the forward pass keeps for
# the backward pass.

# %%
savings = ["half", "less, but more than half", "no less"]
predict("03-half", "In bf16, the memory that a training step keeps becomes ...", savings)

# %%
model.train()
precisions = ["fp32", "bf16", "fp16"] if torch.cuda.is_available() else ["fp32", "bf16"]
costs = labkit.step_costs(model, batch, precisions)
costs

# %%
share = costs.named("bf16").kept_bytes / costs.named("fp32").kept_bytes
found = savings[int(share > 0.55) + int(share > 0.98)]
why = "Much between the matrix products stays in fp32, and 16-bit copies of the weights come on top."
outcome("03-half", found, f"{share:.0%} of fp32's. {why}")

# %% [markdown]
# | device | precision |
# |---|---|
# | NVIDIA GPU, Ampere (2020) or later | bf16 |
# | older GPU with fp16 units | fp16 with a GradScaler |
# | CPU with bf16 units (AMX) | bf16 |
# | anything else | fp32 |
#
# On a CPU labkit measures which is faster:

# %%
from labkit import bf16_speedup

print(f"precision auto on this {precision.device} is {precision.name}")
print(f"this processor multiplies matrices {bf16_speedup():.1f} times as fast in bf16 as in fp32")

# %% [markdown]
# **What does a GPU give?** It has units for 16-bit matrix products, and half as many bytes travel. `benchmarks/gpu.py`
# trained MiniLM on an NVIDIA H200 (2,048 reviews, batches of 32): bf16 was about a third faster than fp32. That is little,
# for the products of so small a model do not fill so large a GPU. On a GPU of your own the table above measures yours.

# %% [markdown]
# ## Further: out of memory
#
# Training holds more than weights. Gradients and AdamW's two moments are three more numbers for each weight. And all that
# the forward pass keeps grows with the reviews, and faster than in proportion with their length.

# %%
from labkit import OutOfMemory, activation_bytes, state_bytes

print(f"gradients and moments: about {state_bytes(model) / 2**20:,.0f} MiB")
for reviews, tokens in ((32, 32), (8, 128), (32, 128), (32, 512)):
    needed = activation_bytes(model, reviews, tokens) / 2**20
    print(f"{reviews:2} reviews of {tokens:3} tokens: about {needed:6,.0f} MiB to keep")

room = state_bytes(model) + 1.5 * activation_bytes(model, 8, 128)
limited = labkit.LimitedMemory(lesson.encoder, room)  # gets ready while you read on

# %% [markdown]
# ### Break it, safely
#
# `LimitedMemory` is a second Python process that may take only so much memory. Whatever happens there, your notebook goes
# on. We give it what the estimate wants for 8 reviews of 128 tokens, and half as much again, since a step also needs room
# to work in. Then we ask for 32 reviews. (On macOS and Windows nothing can hold a process to so little, and the estimate
# answers.)

# %%
with expect_error(OutOfMemory):
    limited.step(reviews=32, max_length=128)

# %% [markdown]
# **The first way out** keeps the step: smaller micro-batches, accumulated as you have proved. labkit halves them until
# they fit. **The second way** makes each review cheaper, and changes what is learned: cut reviews shorter, freeze the
# encoder, compute in half precision.

# %% name="room-ways"
ways = {
    "smaller micro-batches": {"smaller": True},
    "max_length 32": {"max_length": 32},
    "a frozen encoder": {"freeze": "encoder"},
    "half precision": {"precision": "bf16"},
}
fates = [*ways, "more than one of them", "each of them fits"]
predict("03-room", "Which of these alone does not fit 32 reviews into that memory?", fates)

# %%
tried = limited.compare(ways)
limited.close()
tried

# %% name="room-outcome"
failed = [name for name in ways if not tried[name].fits]
at_once = tried["smaller micro-batches"].micro_batch_size
why = f"Not fitting: {', '.join(failed) or 'none'}. Halved until it fits: {at_once or 'no'} reviews at once."
if "half precision" in failed:
    why += " Half precision saves a fixed share, and this batch is several times too large."
outcome("03-room", fates[-2] if len(failed) > 1 else (failed or fates[-1:])[0], why)

# %% [markdown]
# `fit` takes the first way on its own: it starts with the whole batch, and says so when it has to halve it. The gradients
# of the step that failed are dropped, the random numbers start again where they were, and the step is taken again.

# %% [markdown]
# ## Further: what is pretraining worth?
#
# Three ways, the same reviews, seed and epochs. **Full** fine-tuning you have. **Frozen**: the encoder stays as it is and
# only the head learns, the new classifier and the pretrained pooler, in longer steps. **From scratch**: the same model from
# random weights.

# %%
sides = ["full is better", "no difference that luck could not make", "frozen is better"]
predict("03-frozen", "Full fine-tuning or a frozen encoder, on the same reviews?", sides)

# %%
trainings = {
    "frozen encoder": {"freeze": "encoder", "learning_rate": 3e-3},
    "from scratch": {"pretrained": False},
}

# %%
results = [full]
for name, settings in trainings.items():
    print(f"run {len(results)} of {len(trainings)}: {name}")
    config = lesson.config.replaced(settings)
    other = lesson.model(seed=0, pretrained=config.pretrained)
    labkit.freeze(other, config.freeze)
    for epoch in labkit.fit(other, train, validation, config, progress=False):
        print(f"  accuracy {epoch.validation_accuracy:.3f} after epoch {epoch.epoch}")
    _, logits, labels = labkit.evaluate(other, validation, config, precision)
    results.append(labkit.EvalResult.from_logits(labels, logits, name))

# %%
from labkit.figures import accuracy_intervals

share = full.labels.mean()
figure(accuracy_intervals(results, chance=max(share, 1 - share)))

# %% [markdown]
# Intervals that overlap prove little, for all three answered the *same* reviews. **McNemar's test** looks only at those on
# which two models disagree: would tossing a coin split them like this?

# %%
_, frozen, scratch = results
for other in (scratch, frozen):
    compared = labkit.mcnemar(full.labels, full.predictions, other.predictions)
    print(f"A is {full.name}, B is {other.name}:\n  {compared}")

# %%
better = sides[0] if compared.difference > 0 else sides[2]
found = sides[1] if compared.p_value >= 0.05 else better
outcome("03-frozen", found, f"McNemar's p for full against frozen: {compared.p_value:.2g}.")

# %% [markdown]
# Read it with care. It is one seed. The best epoch was chosen on these same reviews, for all three alike, which flatters
# all three. A model at or below the dotted line has learned nothing that helps. The test reviews stay unopened.

# %% [markdown]
# "From scratch" had few reviews and few steps; with more it gets further. Here is the test accuracy of tiny BERT and of
# its twin with random weights, over seeds 0 to 4. `scripts/score_tiny_bert.py` measured it, `scores.json` holds it.

# %%
import json

from labkit import TINY_BERT

for row in json.loads((TINY_BERT / "scores.json").read_text())["summary"]:
    accuracy = f"{row['accuracy_mean']:.3f} ± {row['accuracy_sd']:.3f}"
    print(f"{row['weights']:14} on {row['train_examples'] or 'all':>4} reviews: {accuracy}")

# %% [markdown]
# ## Take with you
#
# * All is pretrained but the classifier; that is why few reviews are enough.
# * Accumulation is the same step only if every *review* weighs the same.
# * A training is under forty lines of transformers and torch. What they do you have written yourself.
# * (Further) Measure precision and memory on your own device; hold models against each other on the same reviews.

# %%
from labkit.widgets import reflection

question = "Which of your predictions was furthest off, and what do you think now?"
reflection("03-fine-tuning", question)

# %%
from labkit.widgets import lesson_page

lesson_page("03")

# %% [markdown]
# ## Next
#
# An accuracy is one number for hundreds of decisions. [Lesson 04](04_metrics.ipynb) asks what it hides.
