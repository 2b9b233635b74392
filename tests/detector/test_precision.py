"""Which number type a run computes in."""

from __future__ import annotations

import pytest
import torch

from detector.training.precision import bfloat16_flags, choose_precision
from wordtree import UserError


def processor(monkeypatch: pytest.MonkeyPatch, **flags: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)


def test_auto_takes_bfloat16_where_the_processor_has_units(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, avx2=True, avx512_bf16=True, amx_bf16=False)
    dtype, reason = choose_precision("auto", "cpu")
    assert dtype == torch.bfloat16
    assert reason == "bfloat16, because this processor has bfloat16 units (avx512_bf16)"


def test_auto_takes_float32_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, avx2=True, avx512_f=True)
    dtype, reason = choose_precision("auto", torch.device("cpu"))
    assert dtype is None
    assert reason == "float32, because this processor has no bfloat16 units"


def test_what_is_asked_for_is_given_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, avx512_bf16=True)
    assert choose_precision("float32", "cpu") == (None, "float32, as asked for")
    assert "slower" not in choose_precision("bfloat16", "cpu")[1]
    processor(monkeypatch, avx2=True)
    dtype, reason = choose_precision("bfloat16", "cpu")
    assert dtype == torch.bfloat16
    assert "has no bfloat16 units, which makes it slower" in reason


def test_older_releases_of_torch_are_asked_flag_by_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert bfloat16_flags() == ["avx512_bf16"]


def test_this_processor_answers_the_same_every_time() -> None:
    assert choose_precision("auto", "cpu") == choose_precision("auto", "cpu")


@pytest.mark.parametrize(
    ("fit", "expected"), [(True, torch.bfloat16), (False, None)], ids=["fit", "unfit"]
)
def test_a_gpu_is_asked_for_units_not_for_emulation(
    monkeypatch: pytest.MonkeyPatch, fit: bool, expected: torch.dtype | None
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return fit or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "get_device_name", "{}: Some GPU".format)
    dtype, reason = choose_precision("auto", "cuda:0")
    assert dtype == expected
    assert "cuda:0: Some GPU has" in reason


def test_other_devices_take_float32_and_other_names_are_refused() -> None:
    assert choose_precision("auto", "mps")[0] is None
    with pytest.raises(UserError, match="precision is 'half'; choose auto, float32 or bfloat16"):
        choose_precision("half", "cpu")  # type: ignore[arg-type]
