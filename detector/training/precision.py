"""Which number type a step computes in, chosen from what the hardware says of itself.

No timed trial: a busy moment could choose otherwise when the run is resumed.
"""

from __future__ import annotations

from typing import Literal

import torch

from wordtree.errors import UserError

Precision = Literal["auto", "float32", "bfloat16"]


def choose_precision(name: Precision, device: torch.device | str) -> tuple[torch.dtype | None, str]:
    """(dtype for autocast, None for float32; the reason, a sentence for the log).

    `auto` takes bfloat16 where the device has units for it: twice as fast there, and ten to a
    hundred times slower on a processor without. Raises UserError for another name.
    """
    if name not in ("auto", "float32", "bfloat16"):
        raise UserError(f"precision is {name!r}; choose auto, float32 or bfloat16.")
    if name == "float32":
        return None, "float32, as asked for"
    device = torch.device(device)
    if device.type == "cuda":
        fit = torch.cuda.is_bf16_supported(including_emulation=False)
        where = torch.cuda.get_device_name(device)
        units = "bfloat16 units" if fit else "no bfloat16 units"
    elif device.type == "cpu":
        flags = bfloat16_flags()
        fit, where = bool(flags), "this processor"
        units = f"bfloat16 units ({', '.join(flags)})" if fit else "no bfloat16 units"
    else:
        fit, where = False, device.type
        units = "no bfloat16 units that are known of"
    if name == "bfloat16":
        warning = "" if fit else ", which makes it slower than float32, 10 to 100 times on CPUs"
        return torch.bfloat16, f"bfloat16, as asked for; {where} has {units}{warning}"
    if fit:
        return torch.bfloat16, f"bfloat16, because {where} has {units}"
    return None, f"float32, because {where} has {units}"


def bfloat16_flags() -> list[str]:
    """The processor's flags that stand for bfloat16 arithmetic (x86), empty where it has none."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return [name for name in ("avx512_bf16", "amx_bf16") if found.get(name)]
    # Releases of torch before 2.10 or so ask one flag at a time; those without a function for
    # one know no kernel for it either.
    asked = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
    return [flag for flag, ask in asked.items() if getattr(torch.cpu, ask, lambda: False)()]
