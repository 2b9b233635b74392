"""Rebuilds a detector from a run, and refuses weights of another tree or network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from detector.weights.layout import find_checkpoint
from detector.weights.reading import Checkpoint, first_line, read_checkpoint
from wordtree import UserError, WordTree

if TYPE_CHECKING:
    from detector.network.detector import Detector

TREE = "wordtree.json"


def load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Copies `tensors` into a model in place; UserError names what differs. path: for messages."""
    own = model.state_dict()
    differences = [f"{n} is missing" for n in own if n not in tensors]
    differences += [f"{n} is unknown here" for n in sorted(tensors) if n not in own]
    differences += [
        f"{n} is {tuple(tensors[n].shape)} instead of {tuple(own[n].shape)}"
        for n in own
        if n in tensors and tensors[n].shape != own[n].shape
    ]
    if differences:
        raise UserError(
            f"the weights in {path} are of another network: {_listed(differences)}; use the "
            f"configuration they were trained with."
        )
    model.load_state_dict(dict(tensors))


def check_fit(
    checkpoint: Checkpoint, *, tree: WordTree, classifier: str, network: Mapping[str, Any]
) -> None:
    """Refuses (UserError) a checkpoint of another tree, classifier or network, naming all that
    differs. network: the plain arguments, as `state.json` holds them."""
    state, differences = checkpoint.state, []
    if state.get("tree_hash") != tree.hash:
        there = checkpoint.run / TREE
        size = f" of {len(WordTree.load(there))} nodes" if there.is_file() else ""
        differences.append(
            f"its tree{size} has the hash {state.get('tree_hash')}, this run's of {len(tree)} "
            f"nodes has {tree.hash}"
        )
    if state.get("classifier") != classifier:
        differences.append(f"classifier is {state.get('classifier')!r} there, {classifier!r} here")
    there_network = _without_start(_argument(checkpoint, "network", dict))
    here = _without_start(network)
    for key in sorted({*there_network, *here}):
        if there_network.get(key) != here.get(key):
            differences.append(
                f"network.{key} is {there_network.get(key)!r} there, {here.get(key)!r} here"
            )
    if differences:
        raise UserError(
            f"{checkpoint.folder} does not fit this run: {_listed(differences)}; give the same "
            f"labels and network, or another checkpoint."
        )


def _without_start(network: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as JSON has them, less `backbone_options.pretrained`.

    What a network's weights began with is no part of the network: a run folder alone must be
    enough to rebuild it, on a machine without the pretrained weights.
    """
    plain: dict[str, Any] = json.loads(json.dumps(dict(network)))
    options = plain.get("backbone_options")
    if isinstance(options, dict):
        options.pop("pretrained", None)
    return plain


def _listed(items: Sequence[str], at_most: int = 6) -> str:
    more = f"; and {len(items) - at_most} more" if len(items) > at_most else ""
    return "; ".join(items[:at_most]) + more


def load_detector(
    run: str | Path,
    *,
    device: torch.device | str = "cpu",
    which: Literal["ema", "model"] = "ema",
    build: Callable[..., nn.Module] | None = None,
) -> tuple[Detector, WordTree, dict[str, Any]]:
    """(detector in evaluation mode on `device`, its tree, state) of RUN or RUN/weights/X.

    Everything is rebuilt from the plain names in state.json and from RUN/wordtree.json, whose
    hash must be the one that the checkpoint was trained with. which: averaged weights, or those
    of the last step. build: `(tree, *, classifier, **network) -> module`, `Detector` where None.
    """
    checkpoint = read_checkpoint(find_checkpoint(run), with_optimizer=False)
    tree = _read_tree(checkpoint)
    if build is None:
        from detector.network.detector import Detector

        build = Detector
    network = _without_start(_argument(checkpoint, "network", dict))
    classifier = _argument(checkpoint, "classifier", str)
    try:
        model = build(tree, classifier=classifier, **network)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"{checkpoint.folder / 'state.json'} describes a network that cannot be built "
            f"({first_line(error)}); use the release of this project that wrote it."
        ) from error
    file = f"{which}.safetensors"
    load_tensors(model, getattr(checkpoint, which), checkpoint.folder / file)
    return cast("Detector", model.to(device).eval()), tree, checkpoint.state


def _read_tree(checkpoint: Checkpoint) -> WordTree:
    path = checkpoint.run / TREE
    if not path.is_file():
        raise UserError(f"{path} is not there; put the run's tree back beside its weights.")
    tree = WordTree.load(path)
    trained = _argument(checkpoint, "tree_hash", str)
    if tree.hash != trained:
        raise UserError(
            f"{path} ({len(tree)} nodes) has the hash {tree.hash}, but {checkpoint.folder} was "
            f"trained with the tree {trained}; put the run's own tree back."
        )
    return tree


def _argument(checkpoint: Checkpoint, key: str, kind: type) -> Any:
    value = checkpoint.state.get(key)
    if not isinstance(value, kind):
        raise UserError(
            f"{checkpoint.folder / 'state.json'} says {key} = {value!r}, where a {kind.__name__} "
            f"is needed; use a checkpoint that this project wrote."
        )
    return value
