"""What goes wrong, said so that the reader can mend it.

Every error that a user can cause is a `LabkitError`: its text names the file, the line or the field, what was found
and what is wanted. The command line prints that text and nothing else, and exits with the error's `exit_code`.
"""

import difflib
from collections.abc import Iterable


class LabkitError(Exception):
    """Something failed during the run; whatever was saved before it is good."""

    exit_code = 1


class UsageError(LabkitError):
    """Wrong use, found before any work: nothing was written."""

    exit_code = 2


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The nearest of the right names as the end of a sentence, or nothing.

    >>> did_you_mean("warmup_ration", ["epochs", "warmup_ratio"])
    '; did you mean warmup_ratio?'
    >>> did_you_mean("qqq", ["epochs"])
    ''
    """
    nearest = difflib.get_close_matches(name.lower(), list(choices), n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def missing_extra(purpose: str, package: str, extra: str) -> UsageError:
    """The error for a missing optional package, with both ways to install it.

    >>> print(missing_extra("building notebooks", "nbgrader", "instructor"))
    building notebooks needs nbgrader; in a checkout: python scripts/setup.py instructor, elsewhere: pip install nbgrader
    """
    both = f"in a checkout: python scripts/setup.py {extra}, elsewhere: pip install {package}"
    return UsageError(f"{purpose} needs {package}; {both}")
