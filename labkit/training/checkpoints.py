"""Checkpoints: a whole training state on disk, checked by its hash.

A killed run goes on from one to the same bits. The last two are kept; if the newest cannot be trusted, the one before it
is used, with a notice. Best weights are kept as long as a checkpoint refers to them. Does not know what is in a state
(fit.py).
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError
from labkit.files import atomic_folder, remove, remove_leftovers, sha256, target_of

if TYPE_CHECKING:
    import torch

KEPT = 2
STEP, BEST = "step-{:08d}", "best-{:04d}"  # the names of checkpoints: other folders beside them are not ours


class CheckpointError(LabkitError):
    """A checkpoint that could not be written or read; the one before it stands, if there is one."""


@dataclass(frozen=True)
class Checkpoint:
    """A state as it was saved: `tensors` by name, `facts` as JSON knows them."""

    tensors: Mapping[str, "torch.Tensor"]
    facts: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one run.

    `step-NNNNNNNN/` are the last two states, `best-NNNN/` the best weights that they refer to.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None] = lambda notice: None) -> None:
        self.folder = folder
        self.tell = tell

    def save(self, step: int, tensors: Mapping[str, "torch.Tensor"], facts: dict[str, Any]) -> None:
        """Write the state after `step` optimizer steps.

        Raises CheckpointError where the disk does not take it.
        """
        self._write(self.folder / STEP.format(step), tensors, facts)
        for old in self._steps()[:-KEPT]:
            remove(old)
        used = {json.loads(text).get("best_epoch") for folder in self._steps() if (text := _text(folder))}
        for epoch, best in self._numbered(BEST):
            if epoch not in used:
                remove(best)

    def save_best(self, epoch: int, tensors: Mapping[str, "torch.Tensor"]) -> None:
        """Write the weights of the best epoch so far."""
        self._write(self.folder / BEST.format(epoch), tensors, {"epoch": epoch})

    def latest(self) -> Checkpoint | None:
        """Return the newest state whose hash is right; None where there is no state.

        Damaged ones are passed over with a notice. Raises CheckpointError where all are damaged.
        """
        if self.folder.is_dir():
            self._remove_unfinished()
        damaged = []
        for folder in reversed(self._steps()):
            try:
                found = _read(folder)
                if (best := found.facts.get("best_epoch")) is not None:
                    self.load_best(best)
            except CheckpointError as why:
                damaged.append(folder)
                self.tell(f"{why}; the checkpoint before it is used")
                continue
            for folder in damaged:
                remove(folder)
            return found
        if damaged:
            raise CheckpointError(f"{self.folder}: no checkpoint there is whole; begin again with --overwrite")
        return None

    def load_best(self, epoch: int) -> Mapping[str, "torch.Tensor"]:
        """Return the weights of that epoch.

        Raises CheckpointError where their hash is wrong.
        """
        return _read(self.folder / BEST.format(epoch)).tensors

    def remove(self) -> bool:
        """Remove all checkpoints, and the folder if nothing of others is in it; say whether there was anything to remove."""
        ours = [path for name in (STEP, BEST) for _, path in self._numbered(name)]
        self._remove_unfinished()
        for path in ours:
            remove(path)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            target_of(self.folder).rmdir()
            return True
        return bool(ours)

    def _remove_unfinished(self) -> None:
        for name in (STEP, BEST):
            remove_leftovers(self.folder, f".{name.partition('{')[0]}")

    def _steps(self) -> list[Path]:
        return [path for _, path in self._numbered(STEP)]

    def _numbered(self, name: str) -> list[tuple[int, Path]]:
        """The folders that have a name of ours, in the order of their numbers; what others put beside them is theirs."""
        prefix = name.partition("{")[0]
        numbers = [
            (int(digits), path)
            for path in self.folder.glob(f"{prefix}*")
            if path.is_dir() and (digits := path.name.removeprefix(prefix)).isdecimal()
        ]
        return sorted((number, path) for number, path in numbers if path.name == name.format(number))

    def _write(self, folder: Path, tensors: Mapping[str, "torch.Tensor"], facts: dict[str, Any]) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        try:
            with atomic_folder(folder) as unfinished:
                save_file(
                    {name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished / "state.safetensors"
                )
                content = json.dumps({"tensors_sha256": sha256(unfinished / "state.safetensors"), **facts})
                digest = hashlib.sha256(content.encode()).hexdigest()
                (unfinished / "state.json").write_text(f"{digest}\n{content}\n")
        except (OSError, SafetensorError) as why:
            there = "the one before it is good" if self._steps() else "it would have been the first, so nothing is kept"
            raise CheckpointError(f"{folder}: the checkpoint could not be written ({why}); {there}") from None


def _text(folder: Path) -> str:
    """The facts of a checkpoint as text, or nothing where they are not whole."""
    try:
        digest, _, content = (folder / "state.json").read_text("utf-8").rstrip("\n").partition("\n")
    except (OSError, UnicodeDecodeError):
        return ""
    return content if hashlib.sha256(content.encode()).hexdigest() == digest else ""


def _read(folder: Path) -> Checkpoint:
    from safetensors.torch import load_file

    facts = json.loads(_text(folder) or "{}")
    state = folder / "state.safetensors"
    if not facts or not state.is_file() or sha256(state) != facts.pop("tensors_sha256"):
        raise CheckpointError(f"{folder} is damaged (its hash does not match)")
    return Checkpoint(load_file(state), facts)
