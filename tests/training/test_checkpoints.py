"""Laws of checkpoints: what was written comes back to the bit, or the one before it does, or the reader is told."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import LabkitError
from labkit.training.checkpoints import KEPT, CheckpointError, CheckpointFolder

law = settings(max_examples=40, deadline=None)
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
FILES = ["state.safetensors", "state.json"]

facts_of_runs = st.dictionaries(
    st.text("abcdefgh_", min_size=1, max_size=8),
    st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.text(max_size=9), st.lists(st.floats(0, 1))),
    max_size=5,
)


@st.composite
def tensors_of_bits(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    """Tensors of any bits at all, NaN and negative zero among them, some of them empty, scalar or not contiguous."""
    tensors = {}
    for name in draw(st.lists(st.sampled_from(["a", "model.b", "optimizer.0.exp_avg", "ä"]), unique=True, min_size=1)):
        dtype = draw(st.sampled_from(DTYPES))
        shape = draw(st.sampled_from([(), (0,), (3,), (2, 3)]))
        generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
        size = torch.empty(shape, dtype=dtype).nbytes
        bits = torch.randint(0, 2 if dtype == torch.bool else 256, (size,), dtype=torch.uint8, generator=generator)
        tensors[name] = bits.view(dtype).view(shape) if size else torch.empty(shape, dtype=dtype)
        if len(shape) == 2:
            tensors[name] = tensors[name].t()
    return tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def save_state(folder: Path, step: int, best: int | None = None, notices: list[str] | None = None) -> CheckpointFolder:
    """A state in which everything is its own step."""
    notices = [] if notices is None else notices
    checkpoints = CheckpointFolder(folder, notices.append)
    checkpoints.save(step, {"weights": torch.full((50,), float(step))}, {"step": step, "best_epoch": best})
    return checkpoints


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def bits(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist()) if tensor.numel() else b""


# --- what comes back ----------------------------------------------------------------------------------------------


@law
@given(tensors_of_bits(), facts_of_runs)
def test_what_was_saved_comes_back_to_the_bit(tensors, facts):
    with tempfile.TemporaryDirectory() as folder:
        CheckpointFolder(Path(folder)).save(3, tensors, facts)
        found = CheckpointFolder(Path(folder)).latest()
        assert found is not None
        assert found.facts == facts
        assert {name: (tensor.dtype, tensor.shape, bits(tensor)) for name, tensor in found.tensors.items()} == {
            name: (tensor.dtype, tensor.shape, bits(tensor)) for name, tensor in tensors.items()
        }


def test_a_folder_without_checkpoints_has_none(folder):
    assert CheckpointFolder(folder).latest() is None
    folder.mkdir()
    assert CheckpointFolder(folder).latest() is None


def test_the_newest_is_the_one_of_the_most_steps_and_two_are_kept(folder):
    for step in (9, 10, 99, 100, 101):
        checkpoints = save_state(folder, step)
        assert checkpoints.latest().facts["step"] == step
    assert KEPT == 2
    assert names(folder) == ["step-00000100", "step-00000101"]


def test_a_state_may_be_written_again_under_its_own_step(folder):
    save_state(folder, 4)
    CheckpointFolder(folder).save(4, {"weights": torch.zeros(2)}, {"step": 4, "again": True})
    assert CheckpointFolder(folder).latest().facts == {"step": 4, "again": True}
    assert names(folder) == ["step-00000004"]


def test_best_weights_are_kept_as_long_as_a_kept_checkpoint_refers_to_them(folder):
    checkpoints = CheckpointFolder(folder)
    seen = []
    for step, best in enumerate([None, 0, 0, 1, 1, 1]):
        if best is not None and f"best-{best:04d}" not in names(folder):
            checkpoints.save_best(best, {"weights": torch.full((3,), float(best))})
        save_state(folder, step, best)
        seen.append([name for name in names(folder) if name.startswith("best")])
        if best is not None:
            assert checkpoints.load_best(best)["weights"].tolist() == [best] * 3
    assert seen == [[], ["best-0000"], ["best-0000"], ["best-0000", "best-0001"], ["best-0001"], ["best-0001"]]


def test_best_weights_that_no_state_came_to_refer_to_may_be_written_again(folder):
    save_state(folder, 0)
    CheckpointFolder(folder).save_best(0, {"weights": torch.zeros(3)})  # killed here, before the state that names them
    CheckpointFolder(folder).save_best(0, {"weights": torch.ones(3)})
    save_state(folder, 1, best=0)
    assert CheckpointFolder(folder).load_best(0)["weights"].tolist() == [1, 1, 1]


# --- damage -------------------------------------------------------------------------------------------------------


@law
@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_one_flipped_bit_anywhere_in_the_newest_brings_the_one_before_with_a_notice(file, place, bit):
    with tempfile.TemporaryDirectory() as name:
        folder, notices = Path(name), []
        save_state(folder, 1)
        checkpoints = save_state(folder, 2, notices=notices)
        path = folder / "step-00000002" / file
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 1 << bit
        path.write_bytes(content)
        assert checkpoints.latest().facts["step"] == 1
        assert notices == [f"{path.parent} is damaged (its hash does not match); the checkpoint before it is used"]
        assert names(folder) == ["step-00000001"]


@law
@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True))
def test_the_newest_cut_short_anywhere_brings_the_one_before_with_a_notice(file, place):
    with tempfile.TemporaryDirectory() as name:
        folder, notices = Path(name), []
        save_state(folder, 1)
        checkpoints = save_state(folder, 2, notices=notices)
        path = folder / "step-00000002" / file
        os.truncate(path, int(place * (path.stat().st_size - 1)))  # without its last newline the text is whole
        assert checkpoints.latest().facts["step"] == 1
        assert len(notices) == 1


@pytest.mark.parametrize("lost", [*FILES, None])
def test_the_newest_that_lost_a_file_brings_the_one_before(lost, folder):
    save_state(folder, 1)
    checkpoints = save_state(folder, 2)
    for file in FILES if lost is None else [lost]:
        (folder / "step-00000002" / file).unlink()
    assert checkpoints.latest().facts["step"] == 1


def test_after_damage_the_run_goes_on_and_the_good_one_is_kept_beside_the_next(folder):
    save_state(folder, 1)
    checkpoints = save_state(folder, 2)
    (folder / "step-00000002" / "state.json").write_text("")
    checkpoints.latest()
    save_state(folder, 2)
    assert names(folder) == ["step-00000001", "step-00000002"]
    assert checkpoints.latest().facts["step"] == 2


def test_damaged_best_weights_bring_the_checkpoint_that_refers_to_others(folder):
    checkpoints, notices = CheckpointFolder(folder), []
    checkpoints.save_best(0, {"weights": torch.zeros(3)})
    save_state(folder, 1, best=0)
    checkpoints.save_best(1, {"weights": torch.ones(3)})
    checkpoints = save_state(folder, 2, best=1, notices=notices)
    os.truncate(folder / "best-0001" / "state.safetensors", 20)
    assert checkpoints.latest().facts == {"step": 1, "best_epoch": 0}
    assert len(notices) == 1
    with pytest.raises(CheckpointError, match="best-0001 is damaged"):
        checkpoints.load_best(1)


def test_where_no_checkpoint_is_whole_that_is_an_error_with_the_way_out(folder):
    save_state(folder, 1)
    checkpoints = save_state(folder, 2)
    for step in (1, 2):
        os.truncate(folder / f"step-{step:08d}" / "state.safetensors", 5)
    with pytest.raises(CheckpointError, match="no checkpoint there is whole; begin again with --overwrite") as refused:
        checkpoints.latest()
    assert refused.value.exit_code == 1
    assert names(folder) == ["step-00000001", "step-00000002"]  # they may yet be of use to somebody


def test_what_a_killed_writer_left_is_removed(folder):
    checkpoints = save_state(folder, 1)
    for leftover in (".step-00000002.abcd1234", ".best-0000.0_xyz789"):
        (folder / leftover).mkdir()
        (folder / leftover / "state.safetensors").write_bytes(b"half")
    assert checkpoints.latest().facts["step"] == 1
    assert names(folder) == ["step-00000001"]


# --- what others put there ---------------------------------------------------------------------------------------

FOREIGN = [
    "best-0000 2",
    "best-",
    "best-0",
    "best-00001",
    "best-٣٣٣٣",
    "step-1",
    "step-00000009.bak",
    "step-x",
    "notes",
]


@pytest.mark.parametrize("copied", ["step-00000003", "best-0000"])
@pytest.mark.parametrize("name", [*FOREIGN, ".backup.12345678"])
def test_what_has_no_name_of_ours_is_no_checkpoint_and_stays(name, copied, folder):
    checkpoints = save_state(folder, 3, best=0)
    checkpoints.save_best(0, {"weights": torch.zeros(3)})
    shutil.copytree(folder / copied, folder / name)
    assert checkpoints.latest().facts["step"] == 3
    for step in (4, 5, 6):
        save_state(folder, step, best=0)
    assert names(folder) == sorted([name, "best-0000", "step-00000005", "step-00000006"])
    assert checkpoints.remove() and names(folder) == [name]
    assert not checkpoints.remove()


def test_checkpoints_are_ordered_by_their_number_however_many_digits_it_has(folder):
    for step in (99_999_998, 99_999_999, 100_000_000):
        checkpoints = save_state(folder, step)
    assert names(folder) == ["step-100000000", "step-99999999"]
    assert checkpoints.latest().facts["step"] == 100_000_000


def test_checkpoints_in_a_folder_that_is_a_link_come_and_go_there(folder, tmp_path):
    folder.symlink_to(tmp_path / "disk")  # which is not there yet
    for step in (1, 2, 3):
        checkpoints = save_state(folder, step, best=None)
    assert names(tmp_path / "disk") == ["step-00000002", "step-00000003"]
    assert checkpoints.remove() and folder.is_symlink() and not folder.exists()
    assert save_state(folder, 4).latest()


def test_without_anything_of_others_the_folder_goes_with_its_checkpoints(folder):
    assert save_state(folder, 1).remove() and not folder.exists()
    assert not CheckpointFolder(folder).remove()


# --- a full disk --------------------------------------------------------------------------------------------------


def half_written(tensors: Any, path: Path) -> None:
    Path(path).write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("what", ["state", "best"])
def test_a_full_disk_is_an_error_that_leaves_the_states_before_it_good(what, folder, monkeypatch):
    save_state(folder, 1)
    checkpoints = save_state(folder, 2)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(safetensors.torch, "save_file", half_written)
    with pytest.raises(
        CheckpointError, match=r"could not be written .*No space left.*; the one before it is good"
    ) as full:
        save_state(folder, 3) if what == "state" else checkpoints.save_best(0, {"weights": torch.zeros(3)})
    assert full.value.exit_code == 1
    assert isinstance(full.value, LabkitError)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert names(folder) == ["step-00000001", "step-00000002"]
    assert checkpoints.latest().facts["step"] == 2


def test_a_first_checkpoint_that_fails_promises_no_other(folder, monkeypatch):
    monkeypatch.setattr(safetensors.torch, "save_file", half_written)
    with pytest.raises(CheckpointError, match=r"No space left.*; it would have been the first, so nothing is kept"):
        save_state(folder, 1)
    assert names(folder) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where this machine lets us make one."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no small disk can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("numbers", [4100, 5000, 7000, 9000, 40_000])
def test_a_disk_that_really_is_full_leaves_the_state_before_it_good(numbers, small_disk):
    checkpoints = save_state(small_disk, 1)
    before = names(small_disk)

    def fill() -> None:
        for step in range(2, 9):
            checkpoints.save(step, {"weights": torch.zeros(numbers)}, {"step": step})

    with pytest.raises(CheckpointError, match="could not be written"):
        fill()
    found = checkpoints.latest()
    assert found is not None
    assert all(name.startswith("step-") for name in names(small_disk))
    assert found.facts["step"] >= 1
    assert len(names(small_disk)) <= max(KEPT, len(before))
