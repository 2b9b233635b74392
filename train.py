"""Trains a detector over a tree of labels.

  python train.py experiment=emoji                 the embedded demo
  python train.py experiment=photos steps=50       COCO boxes and label-only photos
  python train.py resume=runs/latest               goes on with a run that was stopped
  python train.py experiment=emoji --cfg job       shows the whole config
  python train.py -m experiment=emoji seed=1,2,3   one run after another (Hydra's sweep)

conf/experiment/*.yaml is the list of what one can run; conf/config.yaml explains every key.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any


def job(config: dict[str, Any]) -> int:
    """One run; returns its exit code."""
    from tools.training_run import train

    return train(config, command=shlex.join(["python", *sys.argv]))


def main(arguments: list[str]) -> int:
    """Checks the command line, composes the config, trains."""
    from tools.config import compose_config, run_hydra, typed_values
    from tools.run_folder import resumed_config

    if any(word in ("-h", "--help") for word in arguments):
        print(__doc__)
        return 0
    if any(word.startswith("-") for word in arguments):
        return run_hydra(arguments, job)
    config = compose_config(arguments)
    if config["resume"]:
        config = resumed_config(config["resume"], typed_values(arguments, config))
    return job(config)


if __name__ == "__main__":
    from tools.command import run_command

    # Read when torch is first imported. Threads that spin while they wait starve every other
    # process of the machine, and a training that shares its cores becomes ten times slower.
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run_command(lambda: main(sys.argv[1:])))
