"""Errors raised on purpose: caught and shown in a box; an error if none comes."""

import html
from dataclasses import dataclass
from types import TracebackType

from IPython.display import display

from labkit.display import BAD
from labkit.errors import LabkitError

LONGEST = 600  # characters of a message that are shown


class NothingRaised(LabkitError, AssertionError):
    """A cell that should have failed did not."""


@dataclass(frozen=True)
class ExpectedError:
    """The class and the message of an error that was met on purpose."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"As expected, {self.name}: {self.message}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return (
            f'<div role="note" style="border:1px solid {BAD};border-left-width:6px;padding:0.4em 0.8em;margin:0.4em 0;'
            'overflow-wrap:anywhere">'
            f"As expected, <strong>{html.escape(self.name)}</strong>:"
            f'<pre style="white-space:pre-wrap;margin:0.3em 0 0">{html.escape(self.message)}</pre></div>'
        )


class expect_error:
    """`with expect_error(RuntimeError):` shows the error that the block raises.

    Raises NothingRaised if none comes. Without types any Exception counts. An error of another type passes through.
    `.error` is what was caught.
    """

    def __init__(self, *error_types: type[BaseException]) -> None:
        self.error_types = error_types or (Exception,)
        self.error: BaseException | None = None

    def __enter__(self) -> "expect_error":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            wanted = " or ".join(one.__name__ for one in self.error_types)
            raise NothingRaised(f"this cell was to fail with {wanted}, and nothing was raised")
        if not isinstance(error, self.error_types):
            return False
        # without its trace: the frames would keep alive whatever filled the memory
        self.error = error.with_traceback(None)
        display(describe(error))
        return True


def describe(error: BaseException) -> ExpectedError:
    """An error's class, with its module if not built in, and its shortened message."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    message = str(error).strip() or "(no message)"
    return ExpectedError(name, message if len(message) <= LONGEST else message[:LONGEST].rstrip() + " …")
