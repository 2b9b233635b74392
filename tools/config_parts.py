"""What stands inside a config's lists and parts, checked by building what costs little to build.

No photo and no file of a data set is read here: `open_data` does that, for sweeps.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

import torch

from data.mixture import Grid
from data.pixel_changes import PixelChanges
from data.sources.catalogue import SOURCE_TYPES
from data.transforms import Colour, View
from detector.losses import PARTS, Criterion
from detector.losses.assignment import ASSIGNMENTS
from detector.losses.boxed import BOX_LOSSES, OBJECTNESS_LOSSES
from detector.losses.weak import POLICIES, RULES
from detector.network.backbones import BACKBONES, TORCHVISION
from detector.network.detector import Detector
from detector.network.head import TOWERS, Head
from detector.network.necks import NECKS
from detector.training.optimizer import make_optimizer
from detector.training.schedule import learning_rate
from detector.training.trackers import check_trackers
from detector.weights import find_checkpoint
from tools import assemble
from tools.config_values import check_type, choice, is_number, nearest
from tools.own_data import refuse_unfilled
from wordtree import UserError, WordTree
from wordtree.presets import resolve_options
from wordtree.probability.classifiers import CLASSIFIERS

Config = Mapping[str, Any]
# How each field of a Grid is called and what it may be.
GRID_TYPES: dict[str, tuple[type, ...]] = {
    "rows": (int,),
    "columns": (int,),
    "weight": (int, float),
    "kinds": (list, type(None)),
    "source": (str, type(None)),
    "mixed": (bool,),
}

DATA = ("name", "drawn", "train", "validation")  # keys of conf/data/*.yaml


def check_parts(config: Config) -> None:
    """Refuses (UserError) what cannot be built, naming its key and the nearest known word."""
    assemble.choose_device(config["device"])
    check_trackers(config["trackers"])
    choice("classifier", config["classifier"], CLASSIFIERS)
    tree = config["tree"]
    _named("tree", lambda: resolve_options(tree["preset"], _without(tree, "preset", "file")))
    refuse_unfilled(config)
    _sources(config["data"], evaluate_every=config["evaluate_every"])
    _sizes(config)
    _grids(config)
    _augment(config["augment"])
    _loss(config["loss"])
    _optimizer(config)
    _network(config)
    if config["init"] and not config["resume"]:
        find_checkpoint(config["init"], prefer=("last", "best"))


def open_data(config: Config) -> None:
    """Refuses (UserError) what only the data sets themselves can tell: missing files, labels
    without a node, a mixture that cannot be held. Reads indices and labels, and of photos no more
    than the headers of boxed ones whose annotations state no sizes."""
    tree, _ = assemble.make_tree(config)
    sources, _ = assemble.make_sources(config, tree)
    assemble.make_stream(config, sources)


def _sources(data: Config, *, evaluate_every: int | None) -> None:
    _only("data", data, DATA)
    for key in DATA:
        if key not in data:
            raise UserError(f"data.{key} is missing; conf/data/own.yaml says what it may be.")
    train = data["train"]
    if not isinstance(train, Mapping) or not train:
        raise UserError("data.train names no source; give it one at least (see conf/data).")
    if "validation" in train:
        raise UserError(
            "data.train.validation has the name of the photos that are measured on "
            "(data.validation), which would take its place; give it another name."
        )
    sources = {f"data.train.{name}": options for name, options in train.items()}
    if data.get("validation") is not None:
        sources["data.validation"] = data["validation"]
    elif evaluate_every != 0:
        raise UserError(
            "data.validation=null leaves nothing to evaluate on; name validation photos, or give "
            "evaluate_every=0."
        )
    for key, options in sources.items():
        if not isinstance(options, Mapping):
            raise UserError(f"{key}={options} is no source; give it a type and its options.")
        choice(f"{key}.type", options.get("type"), SOURCE_TYPES)
        weight = options.get("weight", 1.0)
        if not is_number(weight) or weight < 0:
            raise UserError(f"{key}.weight={weight} must be a number of 0 or more.")


def _sizes(config: Config) -> None:
    stride = config["network"]["stride"]
    for key, sizes in (
        ("image_size", [config["image_size"]]),
        ("multiscale.sizes", config["multiscale"]["sizes"]),
    ):
        for size in sizes:
            if not is_number(size) or size < 32 or size % 32 or size % stride:
                raise UserError(
                    f"{key}: {size} is no size of an input; it must be a multiple of 32 and of "
                    f"network.stride={stride}."
                )


def _grids(config: Config) -> None:
    size = min(config["image_size"], *config["multiscale"]["sizes"], 2**31)
    stride = config["network"]["stride"]
    for number, grid in enumerate(config["mixture"]["grids"]):
        key = f"mixture.grids[{number}]"
        if not isinstance(grid, Mapping):
            raise UserError(f"{key}={grid} must be of the form {{rows: 2, columns: 2}}.")
        _only(key, grid, [field.name for field in fields(Grid)])
        for name, value in grid.items():
            check_type(f"{key}.{name}", value, GRID_TYPES[name])
        for kind in grid.get("kinds") or ():
            choice(f"{key}.kinds", kind, ("boxed", "label_only"))
        if grid.get("source") is not None:
            choice(f"{key}.source", grid["source"], config["data"]["train"])
        made = _named(key, lambda grid=grid: Grid(**grid))
        if max(made.rows, made.columns) * stride > size:
            raise UserError(
                f"{key} has {made.rows} x {made.columns} tiles, too many for an input of {size} "
                f"pixels at network.stride={stride}; give a larger image_size or a smaller grid."
            )


def _augment(augment: Config) -> None:
    for name in ("boxed", "label_only"):
        view = {k: tuple(v) if isinstance(v, list) else v for k, v in augment[name].items()}
        _named(f"augment.{name}", lambda view=view: View(**view))
    colour = augment["colour"]
    if colour:
        _named("augment.colour", lambda: Colour(**colour))
    if augment["pixels"]:
        PixelChanges(augment["pixels"])


def _loss(loss: Config) -> None:
    _only("loss", loss, _arguments(Criterion, leave_out=("inputs",)))
    for name, choices in {
        "assignment": ASSIGNMENTS,
        "box": BOX_LOSSES,
        "objectness": OBJECTNESS_LOSSES,
        "rule": RULES,
        "policy": POLICIES,
    }.items():
        if name in loss:
            choice(f"loss.{name}", loss[name], choices)
    scales = loss.get("scales")
    if not isinstance(scales, Mapping):
        raise UserError(f"loss.scales={scales} must give a factor for each of {', '.join(PARTS)}.")
    _only("loss.scales", scales, PARTS)
    for part in PARTS:
        if part not in scales:
            raise UserError(f"loss.scales.{part} is missing; 0 leaves that part out.")
        if not is_number(scales[part]) or scales[part] < 0:
            raise UserError(f"loss.scales.{part}={scales[part]} must be a number of 0 or more.")
    rule, options = loss.get("rule", "objectness_times_class"), loss.get("rule_options") or {}
    known = _arguments(RULES[rule], leave_out=("predictions", "batch"))
    strange = [name for name in options if name not in known]
    if strange:
        drop = " ".join(f"~loss.rule_options.{name}" for name in strange)
        hint = nearest(strange[0], known, otherwise="; take away what it does not know with")
        raise UserError(f"loss.rule={rule} has no option {', '.join(strange)}{hint} {drop}")


def _optimizer(config: Config) -> None:
    options = config["optimizer"]
    _only("optimizer", options, [*_arguments(make_optimizer, leave_out=("model",)), "schedule"])
    choice("optimizer.name", options.get("name", "adamw"), ("adamw", "sgd", "muon"))
    if "rate" not in options or not isinstance(options.get("schedule"), Mapping):
        raise UserError("optimizer.rate or optimizer.schedule is missing; see conf/optimizer.")
    for beta in options.get("betas", ()):
        if not 0 <= beta < 1:
            raise UserError(f"optimizer.betas={options['betas']} must be two numbers in [0, 1).")
    schedule = options["schedule"]
    known = _arguments(learning_rate, leave_out=("step", "steps", "rate"))
    _only("optimizer.schedule", schedule, known)
    choice("optimizer.schedule.kind", schedule.get("kind", "cosine"), SCHEDULES)
    for step in (0, config["steps"] - 1):
        rate = _named("optimizer.schedule", lambda step=step: assemble.make_schedule(config)(step))
        if not is_number(rate) or rate < 0:
            raise UserError(
                f"optimizer.schedule gives step {step + 1} the rate {rate}; scales and warmup must "
                "be 0 or more."
            )


SCHEDULES = ("cosine", "steps", "constant")


def _network(config: Config) -> None:
    network = config["network"]
    _only("network", network, _arguments(Detector, leave_out=("tree", "classifier")))
    backbone = str(network.get("backbone", "darknet19"))
    if not backbone.startswith(TORCHVISION):
        choice("network.backbone", backbone, (*BACKBONES, f"{TORCHVISION}resnet50"))
        _only("network.backbone_options", network.get("backbone_options") or {},
              _arguments(BACKBONES[backbone]))  # fmt: skip
    options = network.get("backbone_options") or {}
    learnt = options.get("pretrained") or config["init"] or config["resume"]
    if options.get("frozen") and not learnt:
        raise UserError(
            f"network.backbone_options.frozen={options['frozen']} would keep random weights, since "
            "pretrained is false; give frozen=0."
        )
    choice("network.neck", network.get("neck", "none"), NECKS)
    head = network.get("head") or {}
    _only(
        "network.head",
        head,
        _arguments(Head, leave_out=("in_channels", "nodes", "anchors", "stride")),
    )
    choice("network.head.tower", head.get("tower", "full"), TOWERS)
    _anchors(network.get("anchors"))
    # On the meta device nothing is computed, and pretrained weights go nowhere, which torch says
    # once a tensor.
    tree = WordTree(["a", "b"], [-1, -1])
    with torch.device("meta"), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _named("network", lambda: Detector(tree, classifier=config["classifier"], **network))


def _anchors(anchors: Any) -> None:
    good = isinstance(anchors, list) and anchors
    for anchor in anchors if good else ():
        good = good and isinstance(anchor, list) and len(anchor) == 2
        good = good and all(is_number(side) and side > 0 for side in anchor)
    if not good:
        raise UserError(
            f"network.anchors={anchors} must be a list of widths and heights above 0 in pixels of "
            "the input, as [[32, 32], [96, 96]]."
        )


def _only(key: str, options: Any, known: Iterable[str]) -> None:
    """Refuses options that are none of the known ones, with the nearest."""
    if not isinstance(options, Mapping):
        raise UserError(f"{key}={options} must hold keys and values.")
    known = list(known)
    for name in options:
        if name not in known:
            hint = nearest(str(name), known, otherwise=f"; it knows {', '.join(known)}.")
            raise UserError(f"unknown key '{key}.{name}'{hint}")


def _arguments(function: Callable[..., Any], leave_out: Iterable[str] = ()) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in leave_out]


def _named(key: str, make: Callable[[], Any]) -> Any:
    """What `make` makes; its refusal begins with the key, and no other error comes through."""
    try:
        return make()
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    except (TypeError, ValueError, KeyError, RuntimeError, IndexError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"{key} cannot be built ({reason}); see conf/ for values that can."
        ) from error


def _without(options: Config, *names: str) -> dict[str, Any]:
    return {
        name: value for name, value in options.items() if name not in names and value is not None
    }
