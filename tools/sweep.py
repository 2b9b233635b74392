"""`train.py -m`: one run after another, or side by side where another launcher is asked for.

Hydra and its launchers run the jobs; ours is what comes before (every job's config is checked
before the first one starts) and after (a table over all). Jobs may run in other processes and on
other machines, so what they have to say goes through files of the sweep's folder:

  runs/NAME/DATE_TIME-1, -2 ...     the jobs' run folders
  runs/NAME/DATE_TIME-sweep/        sweep.json, job-N.json, table.md, table.csv, launcher's logs
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from detector.weights.reading import first_line
from tools.config import call_hydra, choices, compose_job, parse, plain
from tools.config_values import choice
from tools.run_folder import refuse_taken, resolved
from tools.sweep_table import show_table
from wordtree.errors import UserError
from wordtree.formats.text import write_text

HYDRA = ("hydra.", "hydra/")  # what keys of Hydra's own begin with
LAUNCHERS = ("basic", "submitit_local", "slurm", "submitit_slurm")


def run_sweep(flags: Mapping[str, str], overrides: Sequence[str]) -> int:
    """Runs every combination of the listed values; the exit code is the greatest of all jobs'.

    Raises UserError, before anything is made, for a mistake in any job's config.
    """
    others = [flag for flag in flags if flag not in ("-m", "--multirun")]
    if others:
        raise UserError(f"-m runs a sweep; {', '.join(others)} cannot be given with it.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "-m starts the runs of a sweep itself; under torchrun give one run, without -m."
        )
    jobs = expand(overrides)
    _check_launcher(overrides)
    configs = _checked(jobs)
    swept = [key for key in _keys(overrides) if len({job[key] for job in jobs}) > 1]
    folder, places = _places(configs)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"the sweep's folder {folder} cannot be made ({error.strerror}); move away what stands "
            "at runs, or sweep from another folder."
        ) from error
    plan = {
        "command": shlex.join(["python", "train.py", "-m", *overrides]),
        "jobs": [
            {
                "number": number,
                "folder": str(place),
                "seed": config["seed"],
                # runs/latest would lead to the job before.
                "init": config["init"] and resolved(config["init"]),
                "swept": {key: job[key] for key in swept},
            }
            for number, (job, config, place) in enumerate(
                zip(jobs, configs, places, strict=True), 1
            )
        ],
    }
    write_text(folder / "sweep.json", json.dumps(plan, indent=2) + "\n")
    print(f"{folder}: {len(jobs)} runs", file=sys.stderr)
    code = 0
    try:
        call_hydra(
            ["--multirun", *overrides, f"hydra.sweep.dir={_quoted(folder)}"],
            sweep_job,
        )
    except Exception as error:
        # `sweep_job` lets nothing out: a job's process died, or the launcher could not start it.
        code = 1
        print(
            f"error: the launcher gave up ({type(error).__name__}: {first_line(error)}); jobs that "
            f"still run end by themselves, and python -m tools.sweep_table {folder} tells of them",
            file=sys.stderr,
        )
    except Stopped as stop:
        code = stop.code
    return max(code, show_table(folder))


class Stopped(BaseException):
    """A signal ended a job that runs in this process: the jobs after it are not begun."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


def expand(overrides: Sequence[str]) -> list[dict[str, str]]:
    """The jobs of a sweep, the last key changing fastest, as Hydra's basic sweeper has them.

    A job is its keys (with `+` and `~`) and their values, as text; Hydra's own keys are left out.
    """
    values: dict[str, list[str]] = {}
    for text in overrides:
        override = parse(text)
        if override.key_or_group.startswith(HYDRA):
            continue
        key = override.get_key_element()
        if override.is_discrete_sweep():
            values[key] = list(override.sweep_string_iterator())
        elif override.is_sweep_override():
            raise UserError(f"'{text}' gives no list of values; write {key}=1,2,3.")
        else:
            values[key] = [override.get_value_element_as_str()]
    return [
        dict(zip(values, combined, strict=True)) for combined in itertools.product(*values.values())
    ]


def words(job: Mapping[str, str]) -> list[str]:
    """A job as overrides."""
    return [f"{key}={value}" for key, value in job.items()]


def _keys(overrides: Sequence[str]) -> list[str]:
    parsed = (parse(text) for text in overrides)
    return [p.get_key_element() for p in parsed if not p.key_or_group.startswith(HYDRA)]


def _check_launcher(overrides: Sequence[str]) -> None:
    """Hydra's own keys must compose too; submitit's launchers are an extra."""
    own = [text for text in overrides if parse(text).key_or_group.startswith(HYDRA)]
    chosen = [text.partition("=")[2] for text in own if text.startswith("hydra/launcher=")]
    try:
        compose_job(own)
    except UserError as error:
        if not chosen or "hydra/launcher" not in str(error):
            raise
        choice("hydra/launcher", chosen[-1], LAUNCHERS)
        raise UserError(
            f"{error} hydra/launcher={chosen[-1]} needs pip install 'wordtree-detector[slurm]'."
        ) from error
    if any("slurm" in name for name in chosen) and shutil.which("srun") is None:
        raise UserError(
            "there is no srun here: a sweep on Slurm is started on a machine of the cluster; "
            "hydra/launcher=submitit_local runs it here."
        )


def _checked(jobs: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """The jobs' configs, each checked; data sets are opened once for each that is another."""
    from tools.config_parts import check_parts, open_data

    configs, opened = [], set()
    if len(jobs) > 4:
        print(f"checking {len(jobs)} configs ...", file=sys.stderr)
    for job in jobs:
        choices(words(job))
    for job in jobs:
        typed = words(job)
        config = compose_job(typed)
        for key in ("resume", "extend"):
            if config[key]:
                raise UserError(
                    f"{key}={config[key]} cannot be given with -m; resume runs one by one."
                )
        check_parts(config)
        configs.append(config)
    for config in configs:
        # Neither the seed nor anything of the network changes what a data set has to say.
        asked = json.dumps(
            [
                config[key]
                for key in ("data", "data_root", "tree", "mixture", "image_size", "multiscale")
            ]
        )
        if asked not in opened:
            opened.add(asked)
            open_data(config)
    given = [config["run_dir"] for config in configs if config["run_dir"]]
    twice = sorted({one for one in given if given.count(one) > 1})
    if twice:
        raise UserError(
            f"run_dir={twice[0]} would be the folder of {given.count(twice[0])} runs; leave it "
            "out, and each gets a folder of its own below runs/."
        )
    return configs


def _places(configs: Sequence[Mapping[str, Any]]) -> tuple[Path, list[Path]]:
    """The sweep's folder and the jobs': runs/NAME/DATE_TIME-sweep, runs/NAME/DATE_TIME-N.

    Raises UserError where one of the jobs' cannot be made.
    """
    names = sorted({config["name"] for config in configs})
    home = names[0] if len(names) == 1 else "sweeps"
    now, number = datetime.now().strftime("%Y-%m-%d_%H-%M-%S"), 1
    stamp = now
    while any(any(Path("runs", name).glob(f"{stamp}*")) for name in (*names, home)):
        number += 1
        stamp = f"{now}-{number}"
    places = [
        Path(config["run_dir"] or Path("runs", config["name"], f"{stamp}-{n}"))
        for n, config in enumerate(configs, 1)
    ]
    for config, place in zip(configs, places, strict=True):
        refuse_taken(config, place)
    return Path("runs", home, f"{stamp}-sweep"), places


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def sweep_job(composed: DictConfig) -> int:
    """One job, in whatever process the launcher has put it; says how it ended in `job-N.json`.

    A job that a cluster starts a second time goes on from its checkpoint.
    """
    hydra = HydraConfig.get()
    sweep, number = Path(hydra.sweep.dir), hydra.job.num + 1
    plan = json.loads((sweep / "sweep.json").read_text())["jobs"][number - 1]
    folder = Path(plan["folder"])
    command = shlex.join(["python", "train.py", *hydra.overrides.task])
    setting = " ".join(f"{key}={value}" for key, value in plan["swept"].items())
    print(f"run {number}: {setting}", file=sys.stderr, flush=True)
    code, reason = _run({**plain(composed), "init": plan["init"]}, folder, command)
    ended = {"code": code, "reason": reason}
    write_text(sweep / f"job-{number}.json", json.dumps(ended) + "\n")
    if code in (130, 143) and "BasicLauncher" in hydra.launcher._target_:
        raise Stopped(code)
    return code


def _put_aside(folder: Path) -> None:
    """Renames what a job left that died before its first checkpoint, so that it can begin anew."""
    aside, number = folder.with_name(f"{folder.name}-dead"), 1
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{folder.name}-dead-{number}")
    folder.rename(aside)
    print(
        f"{folder} has no checkpoint to go on from: it is {aside} now, and the run begins anew",
        file=sys.stderr,
    )


def _run(config: dict[str, Any], folder: Path, command: str) -> tuple[int, str]:
    """(exit code, why it is not 0) of one run; whatever it changes of torch is put back."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    reasons = {3: "a loss that is not finite", 130: "stopped by SIGINT", 143: "stopped by SIGTERM"}
    try:
        from tools.run_folder import resumed_config
        from tools.training_run import train

        if (folder / "weights/last").exists():
            code = train(resumed_config(folder, {}), command=command)
        else:
            if folder.exists():
                _put_aside(folder)
            code = train(config, command=command, place=folder)
        return code, reasons.get(code, "" if code == 0 else f"exit code {code}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2, str(error)
    except KeyboardInterrupt:
        return 130, reasons[130]
    except Exception as error:
        message = f"a defect of ours ({type(error).__name__}: {error})"
        print(f"error: {message}; WORDTREE_DEBUG=1 shows where", file=sys.stderr)
        if os.environ.get("WORDTREE_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        return 1, message
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
