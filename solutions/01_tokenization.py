# ---
# title: Tokenization
# minutes: 55
# further: 15
# ---

# %% [markdown]
# # 01 · Tokenization
#
# A model computes with numbers, and a review is made of words. This lesson is about the step between: how a model with
# a small vocabulary can spell nearly any word, and what happens to reviews that are too short or too long.

# %% [markdown]
# **You will be able to**
#
# * split a word as BERT does, and say when a word is lost,
# * turn reviews into input ids, masks and types of one length,
# * choose a `max_length` from the data, and name its price.

# %% [markdown]
# **You need** lesson [00](00_map.ipynb), and Python's strings, lists and sets. **Time**: about 55 minutes with three
# exercises, and 70 minutes with the sections headed *Further*, which can wait. The next cell says which profile is on.

# %%
from labkit.checks import check
from labkit.lessons import open_lesson
from labkit.widgets import expect_error, figure, outcome, predict, reflection, token_table

lesson = open_lesson()
tokenizer = lesson.tokenizer
lesson

# %% [markdown]
# ## Words that nobody has seen before
#
# Why not give each word a number? Then a new word has none. Suppose that a model knows the words of all training
# reviews. How many words in the validation reviews will be new to it? (A comma counts as a word here.)

# %%
shares = ["fewer than 2 in 100", "2 to 5 in 100", "more than 5 in 100"]
predict("01-new-words", "How many words of new reviews were in no training review?", shares)

# %%
from labkit import words_of

known = set(words_of(lesson.splits.train.texts, tokenizer))
met = words_of(lesson.splits.validation.texts, tokenizer)
new = [word for word in met if word not in known]
print(f"{len(new):,} of {len(met):,} words are new, such as: {', '.join(new[:8])}")

# %%
share = len(new) / len(met)
outcome("01-new-words", shares[int(share >= 0.02) + int(share > 0.05)], f"It is {share:.1%} of them.")

# %% [markdown]
# ### Further: would more reading help?
#
# Look at the share of new words after 10, 100 and more reviews. The curve falls, but ever more
# slowly. Names, slang and inventions never end.

# %%
from labkit import new_word_shares
from labkit.figures import new_words_figure

old, unread = lesson.splits.train.texts, lesson.splits.validation.texts
counts = [10, 30, 100, 300, len(old)]
figure(new_words_figure(counts, new_word_shares(old, unread, counts, tokenizer)))

# %% [markdown]
# ## WordPiece: a vocabulary of parts
#
# BERT's vocabulary holds frequent words whole and, for all others, parts to spell them with. A part that goes on inside
# a word is marked with `##`: `play` begins a word, `##ing` continues one.

# %%
vocab = tokenizer.get_vocab()
print(f"{len(vocab):,} pieces")
for piece in ("film", "play", "##ing", "##able", "unforgettable"):
    print(f"{piece:<15} {'in the vocabulary' if piece in vocab else 'not in the vocabulary'}")

# %% [markdown]
# So `unforgettable` has to be spelled. Which pieces will it take?

# %%
splits = ["un ##forgett ##able", "un ##for ##get ##table", "u ##n ##forget ##table", "[UNK]"]
predict("01-unforgettable", "How is “unforgettable” split?", splits)

# %%
found = " ".join(tokenizer.tokenize("unforgettable"))
outcome("01-unforgettable", found, "WordPiece knows no grammar: the longest piece that fits wins.")

# %% [markdown]
# Here is how it came to that. From the left, WordPiece tries the longest candidate first, shortens it letter by letter
# until it is in the vocabulary, takes it, and goes on behind it. Type words of your own: a name, a typing error,
# `film☺`.

# %%
from labkit.widgets import wordpiece_explorer

wordpiece_explorer(tokenizer, "unforgettable")

# %% [markdown]
# Why does that nearly always end well? Because single letters are pieces too, both as the beginning of a word and
# inside one. In the worst case a word is spelled letter by letter.

# %%
from string import ascii_lowercase

complete = all(letter in vocab and f"##{letter}" in vocab for letter in ascii_lowercase)
print("every letter from a to z, at the beginning and inside:", complete)
print(tokenizer.tokenize("qwxzk"))

# %% [markdown]
# Nearly always. A character that is no piece cannot be spelled, and then the *whole word* becomes one `[UNK]`, whatever
# else was in it. Case and accents are taken off first: this tokenizer is *uncased*.

# %%
for text in ("film☺", "film ☺", "FILM", "naïve café"):
    print(f"{text:<12} {tokenizer.tokenize(text)}")

# %% [markdown]
# ### Exercise 1.1
#
# Write `wordpiece`, the search that you watched above, for one word. Think of three cases: a piece fits, nothing fits,
# and the word is empty.


# %% exercise="1.1"
def wordpiece(word, vocab, unk="[UNK]", prefix="##"):
    """The pieces of a word: greedy, the longest match first, from the left.

    vocab: a set (or dict) of pieces. Pieces after the first carry the prefix. If for any
    remainder nothing matches, the whole word is [unk]. The empty word gives [].
    Returns a list of strings.
    """
    ### BEGIN SOLUTION
    pieces, start = [], 0
    while start < len(word):
        mark = prefix if start > 0 else ""
        end = len(word)
        while end > start and mark + word[start:end] not in vocab:
            end -= 1
        if end == start:
            return [unk]
        pieces.append(mark + word[start:end])
        start = end
    return pieces
    ### END SOLUTION


# %% check="1.1"
result = check("1.1", wordpiece)
result

# %% [markdown]
# labkit has its own, tested version. Does such a short function really do what the tokenizer does? Try it on every word
# of the validation reviews, and count the words that are lost as `[UNK]`.

# %%
from labkit import wordpiece as labkit_wordpiece

ours = [labkit_wordpiece(word, vocab) for word in met]
theirs = [tokenizer.tokenize(word) for word in met]
print(f"{len(met):,} words, the same pieces: {ours == theirs}")
print("lost as [UNK]:", sum(pieces == ["[UNK]"] for pieces in ours))

# %% [markdown]
# ## From pieces to what the model gets
#
# Pieces become *input ids*, their numbers in the vocabulary. Around them stand special tokens. `[CLS]` comes first: the
# head reads its verdict there. `[SEP]` comes last. Then `[PAD]` fills up to a common length.
#
# The *attention mask* is 1 on what is real, 0 on padding.

# %% [markdown]
# ### The line behind it
#
# `lesson.tokenizer` is not labkit's. It is Hugging Face's, read from a folder on your disk by one call of transformers:

# %%
from transformers import AutoTokenizer

hf_tokenizer = AutoTokenizer.from_pretrained(lesson.folder)
print("in the folder:", *sorted(path.name for path in lesson.folder.iterdir()))
hf_tokenizer("A fine film.")

# %% [markdown]
# **Now you.** Type that call in place of `None`, and run the cell after it. In place of a folder it takes a model's name,
# such as `"bert-base-uncased"`, and fetches what the folder has here.

# %% name="your-own-tokenizer"
my_tokenizer = None

# %%
mine = my_tokenizer if callable(my_tokenizer) else hf_tokenizer
print("yours:" if mine is my_tokenizer else "not written yet, so this is the one above:")
print("the same numbers as from lesson.tokenizer:", mine("A fine film.") == tokenizer("A fine film."))
print("and back to text:", mine.decode(mine("A fine film.")["input_ids"]))

# %% [markdown]
# ### Play with it
#
# Type a review, and move `max_length` down until something is cut, and up until padding appears. What happens to
# `[SEP]`?

# %%
from labkit.widgets import tokenizer_explorer

review = lesson.splits.validation.texts[26]
tokenizer_explorer(tokenizer, review, max_length=40)

# %% [markdown]
# ### Further: two texts in one input
#
# The third row of numbers, the *token types*, is for two texts in one input, such as a question and an answer: 0 for
# the first text, 1 for the second. A review alone has only zeros.

# %%
pair = tokenizer("Is it good?", "It is brilliant!")
token_table(pair, tokenizer)

# %% [markdown]
# ### Exercise 1.2
#
# Write `encode`: several reviews as one rectangle of numbers, each row exactly `max_length` long. The tokenizer can do
# all of it, if you ask for it: look up `padding`, `truncation` and `return_tensors`.


# %% exercise="1.2"
def encode(texts, tokenizer, max_length):
    """Texts as a mapping of input_ids, attention_mask and token_type_ids (all 0).

    Each is an int64 tensor of shape (len(texts), max_length), max_length >= 3.
    Long texts are truncated and keep their final [SEP]. Short ones are padded on the right
    with tokenizer.pad_token_id, and there the mask is 0.
    """
    ### BEGIN SOLUTION
    lengths = {"padding": "max_length", "truncation": True, "max_length": max_length}
    return tokenizer(texts, **lengths, return_tensors="pt")
    ### END SOLUTION


# %% check="1.2"
result = check("1.2", encode)
result

# %% [markdown]
# Three reviews, encoded by labkit's version. One fits, one is padded, one is cut. Grey places are padding.

# %%
from labkit import encode as labkit_encode

texts = ["A film about love, loss and bees.", "Awful.", "Slow at first, then it never lets you go again."]
encoded = labkit_encode(texts, tokenizer, max_length=12)
token_table(encoded, tokenizer)

# %% [markdown]
# ### Does padding change the verdict?
#
# The same short review, once alone and once with padding to 128 places. This model's classifier is random, but that does
# not matter here: we only ask whether the numbers stay the same.

# %%
answers = ["no, never", "only without the mask", "yes, always"]
predict("01-padding", "Does padding change what the model says?", answers)

# %%
import torch

model = lesson.model(seed=0).eval()
padded = labkit_encode(["Awful."], tokenizer, max_length=128)
with torch.inference_mode():
    alone = model(**tokenizer("Awful.", return_tensors="pt")).logits
    masked = model(**padded).logits
    unmasked = model(input_ids=padded["input_ids"]).logits
print(f"alone            {alone}\npadded, mask     {masked}\npadded, no mask  {unmasked}")

# %%
safe = torch.allclose(alone, masked, atol=1e-4)
unsafe = not torch.allclose(alone, unmasked, atol=1e-4)
actual = answers[int(unsafe)] if safe else answers[2]
outcome("01-padding", actual, "The mask keeps every token from looking at padding.")

# %% [markdown]
# ## Too long
#
# Break it first. We join reviews until there are more tokens than the model has *positions*. Nothing is truncated. What
# will the model do? (This runs on the CPU only: on a GPU the failure can spoil everything that runs after it.)

# %%
long_review = " ".join(lesson.reviews.texts[:60])
too_long = tokenizer(long_review, return_tensors="pt")
print(f"{too_long['input_ids'].shape[1]:,} tokens")
print(f"{model.config.max_position_embeddings} positions")

# %%
fates = ["It ignores what is too much", "It raises an error", "It takes longer, and works"]
predict("01-too-long", "What does the model do with more tokens than it has positions?", fates)

# %%
with expect_error(RuntimeError):
    model(**too_long)

# %%
why = "It has one vector for each position, and none for those beyond."
outcome("01-too-long", fates[1], why)

# %% [markdown]
# The tokenizer only warned; the model fails. Read the message: two sizes do not match, the number of tokens and the
# number of positions.

# %% [markdown]
# So long reviews are truncated. Usually their *head* is kept. But what if the verdict stands at the end? Then the
# *tail* is the better part, or some of both.

# %%
from labkit import tokenize

twist = "For an hour the funniest film of the year. Then it falls apart, and the end is dreadful."
for truncation in ("head", "tail", "head+tail"):
    kept = tokenize([twist], tokenizer, 16, truncation)
    print(f"{truncation:<10} {tokenizer.decode(kept.input_ids[0])}")

# %% [markdown]
# ### Further: the same failure in other words
#
# With the input ids alone the same failure speaks of an *expanded size*. A bare table of positions calls it *index out of
# range*.

# %%
with expect_error(RuntimeError):
    model(input_ids=too_long["input_ids"])
positions = model.base_model.embeddings.position_embeddings
with expect_error(IndexError):
    positions(torch.tensor([model.config.max_position_embeddings]))

# %% [markdown]
# ## How long is long enough?
#
# A `max_length` is a choice, and the data should make it. These reviews are short, a sentence or two. Guess first.

# %%
lengths = tokenize(lesson.reviews.texts, tokenizer, max_length=100_000).lengths
limits = ["32", "64", "128", "512"]
predict("01-coverage", "Which is the smallest max_length that leaves 99 % of them whole?", limits)

# %% [markdown]
# ### Exercise 1.3
#
# Write the function that answers such questions exactly. Beware of a trap: a quantile may lie between two lengths, and no
# review has such a length.


# %% exercise="1.3"
def smallest_max_length(lengths, coverage):
    """The smallest integer L such that at least the fraction coverage of the lengths is <= L.

    lengths: integers, not empty. 0 < coverage <= 1. Returns an int.
    """
    ### BEGIN SOLUTION
    in_order = sorted(lengths)
    for place, length in enumerate(in_order, start=1):
        if place / len(in_order) >= coverage - 1e-9:
            return int(length)
    ### END SOLUTION


# %% check="1.3"
result = check("1.3", smallest_max_length)
result

# %%
from labkit import smallest_max_length as labkit_smallest

needed = labkit_smallest(lengths, coverage=0.99)
enough = next((limit for limit in limits if int(limit) >= needed), limits[-1])
outcome("01-coverage", enough, f"Exactly, it is {needed}.")

# %% [markdown]
# See it. Move `max_length` and watch two prices: tokens that are cut away, and places that are padding. Where would you
# stop?

# %%
from labkit.widgets import max_length_explorer

max_length_explorer(lengths, max_length=needed)

# %% [markdown]
# ### Further: both prices at once
#
# They are drawn for many choices. Too small cuts reviews to pieces; too large makes the model compute on padding.

# %%
from labkit import length_costs
from labkit.figures import length_costs_figure

figure(length_costs_figure(length_costs(lengths), name="short reviews"))

# %% [markdown]
# Elsewhere reviews fill pages. We have none of those here, so we join twenty short ones to one, and ask again. The same
# `max_length` has quite another price.

# %%
short = lesson.reviews.texts
long_reviews = [" ".join(short[start : start + 20]) for start in range(0, len(short), 20)]
long_lengths = tokenize(long_reviews, tokenizer, max_length=100_000).lengths
print("half of them fit into", labkit_smallest(long_lengths, coverage=0.5), "tokens")
figure(length_costs_figure(length_costs(long_lengths), name="long reviews"))

# %% [markdown]
# ### Further: what does it cost in time?
#
# When every row is padded to `max_length`, the model computes on all of it. From 32 to 256 is eight times as many
# places. And the time? (The best of three tries counts.)

# %%
factors = ["less than 2 times", "2 to 5 times", "5 to 10 times", "more than 10 times"]
predict("01-time", "How much longer does the model read at max_length 256 than at 32?", factors)

# %%
from functools import partial
from timeit import repeat

some, seconds = short[:32], {}
with torch.inference_mode():
    for max_length in (32, 64, 128, 256):
        read = partial(model, **labkit_encode(some, tokenizer, max_length))
        seconds[max_length] = min(repeat(read, number=1, repeat=3))

# %%
from labkit.figures import reading_time_figure

figure(reading_time_figure(seconds, texts=32))
factor = seconds[256] / seconds[32]
place = sum(factor >= limit for limit in (2, 5, 10))
why = "Every place is computed, and attention compares each with every other."
outcome("01-time", factors[place], f"Here: {factor:.1f} times. {why}")

# %% [markdown]
# ## Take with you
#
# * WordPiece takes the longest piece that fits. Letters are pieces too, so it can spell any word made of its letters.
# * A batch is input ids, a mask and types. The mask makes padding harmless.
# * More tokens than positions is an error. Truncation is a loss. `max_length` is a price that you choose by looking at
#   the data.

# %%
question = "Which prediction was furthest off, and why? What would you check first on your own reviews?"
reflection("01-tokenization", question)

# %%
from labkit.widgets import lesson_page

lesson_page("01")

# %% [markdown]
# Next: [02 · Dataset](02_dataset.ipynb). There the padding that you have just paid for is measured, and most of it
# avoided.
