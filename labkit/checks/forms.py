"""Arguments in one form after another, where the contract leaves open whether they are arrays, tensors or lists.

An answer that takes one of the forms is right, whatever it makes of the others.
"""

from collections.abc import Callable, Mapping
from typing import Any

from labkit.checks.observing import call
from labkit.checks.wire import Plain


def call_in_forms(answer: Callable[..., Any], *forms: Callable[[], tuple[Any, ...]], **named: Any) -> dict[str, Plain]:
    """Call an answer with the first form of its arguments; where it raises, with the next. Raises what the first one raised."""
    first: Exception | None = None
    for arguments in forms:
        try:
            return call(answer, *arguments(), **named)
        except Exception as error:
            first = error if first is None else first
    assert first is not None, "at least one form"
    raise first


def named(inputs: Mapping[str, Plain], *names: str) -> dict[str, Plain]:
    """Those of the optional arguments that the case has."""
    return {name: inputs[name] for name in names if name in inputs}


def with_seeds(ask: Callable[..., dict[str, Plain]], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """What the answer gave; where the case names another seed, also `again` with the same one and `other` with that one."""
    seen = ask()
    if "_other_seed" in inputs:
        seen |= {"again": ask()["value"], "other": ask(seed=inputs["_other_seed"])["value"]}
    return seen
