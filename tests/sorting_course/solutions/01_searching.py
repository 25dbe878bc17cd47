# ---
# title: Searching
# minutes: 20
# ---

# %% [markdown]
# # 01 · Searching
#
# A telephone book has a million names, and twenty looks are enough to find one. This lesson is about how, and about what
# it costs to have no order.

# %% [markdown]
# **You will be able to**
#
# * find a number in a sorted list with a handful of looks,
# * say how many looks a list of any length takes.

# %% [markdown]
# **You need** Python's lists and loops, and nothing else. **Time**: about 20 minutes, with one exercise.

# %%
from sorting.counting import Counted

from labkit.checks import check
from labkit.widgets import outcome, predict, reflection

# %% [markdown]
# ## A guess first
#
# Here are a thousand sorted numbers. One search goes through them from the left. How many will it look at before it
# meets the last?

# %%
choices = ["about 10", "about 500", "1000"]
predict("01-looks", "How many numbers does it look at?", choices)

# %%
numbers = Counted(range(1000))
place = next(place for place, number in enumerate(numbers) if number == 999)
outcome("01-looks", choices[2], f"It looked at {numbers.looks}, and found place {place}.")

# %% [markdown]
# ## Halve it
#
# Look at the middle. The number you want is there, or it is to the left, or to the right. One look rules out half of
# the list. Do the same with the half that is left.


# %% exercise="1.1"
def binary_search(numbers, wanted):
    """The place of `wanted` in `numbers`, or -1 where it is not there.

    numbers: a sorted sequence of different ints; look at them by their place, as in numbers[3], a few times only.
    """
    ### BEGIN SOLUTION
    low, high = 0, len(numbers) - 1
    while low <= high:
        middle = (low + high) // 2
        found = numbers[middle]
        if found == wanted:
            return middle
        low, high = (middle + 1, high) if found < wanted else (low, middle - 1)
    return -1
    ### END SOLUTION


# %% check="1.1"
result = check("1.1", binary_search)
result

# %% [markdown]
# ## Take with you
#
# * Each look at the middle of something sorted rules out half of it: a thousand numbers take ten looks, a million
#   twenty.

# %%
question = "Where outside a computer do you search by halving?"
reflection("01-searching", question)

# %% [markdown]
# Next: [02 · Merging](02_merging.ipynb). There a list gets its order in the first place, which is what all of this
# rests upon.
