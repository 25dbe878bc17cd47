"""Checkpoints: a whole training state on disk, checked by its hash.

A killed run goes on from one to the same bits. The last two are kept; if the newest cannot be trusted, the one before it
is used, with a notice. Best weights are kept as long as a checkpoint refers to them. Does not know what is in a state
(fit.py).
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError
from labkit.files import atomic_folder, remove_leftovers, sha256

if TYPE_CHECKING:
    import torch

KEPT = 2


class CheckpointError(LabkitError):
    """A checkpoint that could not be written; the one before it stands."""


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
        self._write(self.folder / f"step-{step:08d}", tensors, facts)
        for old in self._steps()[:-KEPT]:
            shutil.rmtree(old)
        used = {json.loads(text).get("best_epoch") for folder in self._steps() if (text := _text(folder))}
        for best in self.folder.glob("best-*"):
            if int(best.name.removeprefix("best-")) not in used:
                shutil.rmtree(best)

    def save_best(self, epoch: int, tensors: Mapping[str, "torch.Tensor"]) -> None:
        """Write the weights of the best epoch so far."""
        self._write(self.folder / f"best-{epoch:04d}", tensors, {"epoch": epoch})

    def latest(self) -> Checkpoint | None:
        """Return the newest state whose hash is right; None where there is no state.

        Damaged ones are passed over with a notice. Raises CheckpointError where all are damaged.
        """
        if self.folder.is_dir():
            remove_leftovers(self.folder, ".")
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
                shutil.rmtree(folder)
            return found
        if damaged:
            raise CheckpointError(f"{self.folder}: no checkpoint there is whole; begin again with --overwrite")
        return None

    def load_best(self, epoch: int) -> Mapping[str, "torch.Tensor"]:
        """Return the weights of that epoch.

        Raises CheckpointError where their hash is wrong.
        """
        return _read(self.folder / f"best-{epoch:04d}").tensors

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

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
            raise CheckpointError(
                f"{folder}: the checkpoint could not be written ({why}); the one before it is good"
            ) from None


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
