"""Laws of precision: what `auto` takes, what is refused, and that weights and gradients stay in fp32."""

import pytest
import torch

from labkit.errors import UsageError
from labkit.training import precision
from labkit.training.precision import WORTH_IT, bf16_speedup, choose_device, choose_precision, make_precision

CPU = torch.device("cpu")


@pytest.fixture
def speedup(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Lets a test say how many times as fast bf16 is here."""
    return lambda times: monkeypatch.setattr(precision, "bf16_speedup", lambda: times)


@pytest.mark.parametrize(("times", "chosen"), [(8.0, "bf16"), (WORTH_IT, "bf16"), (1.29, "fp32"), (0.02, "fp32")])
def test_auto_takes_bf16_on_a_cpu_only_where_it_is_worth_it(times, chosen, speedup):
    speedup(times)
    found = choose_precision("auto", CPU)
    assert (found.name, found.notice) == (chosen, "")


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_auto_takes_fp16_on_a_gpu_that_only_emulates_bf16(native, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: None)  # warns where there is no GPU
    assert choose_precision("auto", torch.device("cuda")).name == chosen


def test_slow_bf16_is_granted_and_said(speedup):
    speedup(0.02)
    found = choose_precision("bf16", CPU)
    assert found.name == "bf16"
    assert "0.02 times as fast as fp32" in found.notice
    speedup(8.0)
    assert choose_precision("bf16", CPU).notice == ""


def test_a_precision_that_the_device_lacks_or_nobody_knows_is_refused():
    with pytest.raises(UsageError, match="fp16: this CPU does not compute in fp16; use auto, fp32 or bf16"):
        choose_precision("fp16", CPU)
    with pytest.raises(UsageError, match="'fp8' is none of auto, fp32, bf16, fp16"):
        choose_precision("fp8", CPU)


@pytest.mark.parametrize(
    ("cuda", "mps", "auto"), [(False, False, "cpu"), (True, False, "cuda"), (False, True, "mps"), (True, True, "cuda")]
)
def test_auto_is_the_best_device_that_is_there_and_no_other_is_granted(cuda, mps, auto, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device().type == auto
    assert choose_device("cpu") == CPU
    for name, there in (("cuda", cuda), ("mps", mps), ("cuda:1", cuda), ("tpu", False)):
        if there:
            assert str(choose_device(name)) == name
        else:
            with pytest.raises(UsageError, match=f"device {name} is not here; this machine has cpu"):
                choose_device(name)


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_products_are_in_the_precision_and_weights_and_gradients_in_fp32(name, dtype):
    found, layer = make_precision(name, CPU), torch.nn.Linear(4, 4)
    with found.autocast():
        product = layer(torch.ones(2, 4))
    assert product.dtype == dtype
    product.float().sum().backward()
    assert {tensor.dtype for tensor in (layer.weight, layer.weight.grad)} == {torch.float32}
    assert found.scaler.is_enabled() == (name == "fp16")


def test_without_fp16_the_scaler_changes_nothing():
    loss = torch.tensor(3.0)
    assert make_precision("bf16", CPU).scaler.scale(loss) is loss
    assert make_precision("fp16", CPU).scaler.scale(loss) > loss


def test_the_speed_of_bf16_is_measured_once_and_leaves_the_threads_as_they_were():
    threads = torch.get_num_threads()
    bf16_speedup.cache_clear()
    assert bf16_speedup() == bf16_speedup() > 0
    assert bf16_speedup.cache_info().misses == 1
    assert torch.get_num_threads() == threads
