"""Trains a detector over a tree of labels.

  python train.py experiment=emoji                 the embedded demo
  python train.py experiment=photos steps=50       COCO boxes and label-only photos
  python train.py resume=runs/latest               goes on with a run that was stopped
  python train.py experiment=emoji --cfg job       shows the whole config
  python train.py -m experiment=emoji seed=1,2,3   one run after another (Hydra's sweep)
  torchrun --nproc_per_node=2 train.py ...         two processes (docs/several-machines.md)

conf/experiment/*.yaml is the list of what one can run; conf/config.yaml explains every key.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detector.training.distributed import Ranks


def job(config: dict[str, Any], ranks: Ranks | None = None) -> int:
    """One run, by one process or as one of several; returns its exit code."""
    from tools.training_run import train

    several = {} if ranks is None else {"ranks": ranks}
    return train(config, command=shlex.join(["python", *sys.argv]), **several)


def answer(arguments: list[str], *, world: int = 1) -> tuple[int, dict[str, Any]]:
    """Checks the command line and composes the config of a run by `world` processes.

    Returns an exit code and no config where the command line asked for something else.
    """
    from tools.command import version
    from tools.config import check_config, compose_config, show, split_flags, typed_values
    from tools.run_folder import resumed_config

    flags, overrides = split_flags(arguments)
    if {"-h", "--help"} & {*flags}:
        print(__doc__)
        return 0, {}
    if "--version" in flags:
        print(f"train.py {version()}")
        return 0, {}
    if {"-m", "--multirun"} & {*flags}:
        from tools.sweep import run_sweep

        return run_sweep(flags, overrides), {}
    if flags:
        return show(flags, overrides), {}
    config = compose_config(overrides)
    if config["resume"]:
        config = resumed_config(config["resume"], typed_values(overrides, config))
        check_config(config)
    # Not before: it imports torch, and a mistyped key is answered without.
    from tools.config_parts import check_parts

    check_parts(config)
    if world > 1:
        from tools.shares import forward_size

        forward_size(config, world)
    return 0, config


def main(arguments: list[str]) -> int:
    """One run, or whatever else the command line asks for; returns the exit code."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        code, config = answer(arguments)
        return job(config) if config else code

    from detector.training.distributed import together

    def one_of_several(ranks: Ranks) -> int:
        code, config = ranks.first_decides(lambda: answer(arguments, world=ranks.world))
        return job(config, ranks) if config else code

    return together(one_of_several)


if __name__ == "__main__":
    from tools.command import run_command

    # Read when torch is first imported. Threads that spin while they wait starve every other
    # process of the machine, and a training that shares its cores becomes ten times slower.
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Of a rank that is lost one sentence tells, without the stack trace of torch's C++.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    sys.exit(run_command(lambda: main(sys.argv[1:])))
