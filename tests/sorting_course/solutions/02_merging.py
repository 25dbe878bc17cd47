# ---
# title: Merging
# minutes: 25
# ---

# %% [markdown]
# # 02 · Merging
#
# Two sorted piles of cards become one without any search at all: only ever the two top cards are compared. This lesson
# builds that step, and a way to sort that needs no second pile.

# %% [markdown]
# **You will be able to**
#
# * merge two sorted lists, and say why that is quick,
# * sort a list by putting each number in its place.

# %% [markdown]
# **You need** lesson [01](01_searching.ipynb), and paper to try small lists on. **Time**: about 25 minutes, with two
# exercises.

# %%
from labkit.checks import check
from labkit.widgets import reflection

# %% [markdown]
# ## Two become one
#
# The smallest number of both lists is the first of one of them. Take it away, and ask again. Write that down, and mind
# what happens when one list is empty.


# %% exercise="2.1"
def merge(left, right):
    """All numbers of two sorted lists in one sorted list.

    left, right: lists of ints, each sorted; either may be empty. They stay as they are.
    """
    ### BEGIN SOLUTION
    merged, first, second = [], 0, 0
    while first < len(left) or second < len(right):
        if second == len(right) or (first < len(left) and left[first] <= right[second]):
            merged.append(left[first])
            first += 1
        else:
            merged.append(right[second])
            second += 1
    return merged
    ### END SOLUTION


# %% check="2.1"
result = check("2.1", merge)
result

# %% [markdown]
# ## One card at a time
#
# Whoever sorts cards in the hand takes the next one and slides it to the left until it fits. Start with an empty hand,
# which is sorted.


# %% exercise="2.2"
def insertion_sort(numbers):
    """The same numbers in a new list, the smallest first; `numbers` itself stays as it is."""
    ### BEGIN SOLUTION
    hand = []
    for number in numbers:
        place = len(hand)
        while place > 0 and hand[place - 1] > number:
            place -= 1
        hand.insert(place, number)
    return hand
    ### END SOLUTION


# %% check="2.2"
result = check("2.2", insertion_sort)
result

# %% [markdown]
# ## Take with you
#
# * Merging looks at every number once. Inserting may look at all that came before it, so a list twice as long takes up
#   to four times as long.

# %%
question = "Which of the two would you use for a list to which one number comes every minute?"
reflection("02-merging", question)

# %% [markdown]
# That was the last lesson. [The list of all](README.md) has the way back, and there is more to sort in the world than
# numbers.
