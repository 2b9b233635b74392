"""Albumentations' changes of pixels by name, for whoever wants more than a change of colours.

They come after geometry and colour, on the few pixels that the network sees, and move none of
them: what moves pixels has to move boxes and regions too, and is data/transforms.py's.
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordtree.errors import UserError

_TRIED = np.full((16, 24, 3), 90, np.uint8)


class PixelChanges:
    """A list of Albumentations' pixel transforms, one after the other.

    changes: one mapping each: `name` of the class, and its arguments; as in
    `{name: MotionBlur, blur_limit: 5, p: 0.1}`. Raises UserError for a name that is none (the
    nearest one named), for one that moves pixels, and for arguments that it refuses.
    """

    def __init__(self, changes: Sequence[Mapping[str, Any]]) -> None:
        for change in changes:
            if not isinstance(change, Mapping):
                raise UserError(
                    f"augment.pixels has {str(change)[:100]}; give a mapping such as "
                    "{name: MotionBlur, p: 0.1}."
                )
        self._changes = _albumentations().Compose([_change(dict(change)) for change in changes])

    def __call__(self, image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """Pixels uint8 (H, W, 3), RGB, changed; the same whenever the seed is."""
        self._changes.set_random_seed(seed)
        return self._changes(image=np.ascontiguousarray(image))["image"]


@cache
def _albumentations() -> ModuleType:
    # Else it asks the package index for a newer version of itself at every import.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations


def _change(options: dict[str, Any]) -> Any:
    library = _albumentations()
    pixelwise = library.ImageOnlyTransform
    name = options.pop("name", None)
    kind = getattr(library, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, library.BasicTransform)):
        known = [n for n in dir(library) if _is_kind(getattr(library, n), pixelwise)]
        close = difflib.get_close_matches(str(name), known, n=1)
        raise UserError(
            f"augment.pixels has name={name}, which is no transform of Albumentations"
            + (f"; did you mean {close[0]}?" if close else "; give one that changes pixels.")
        )
    if not issubclass(kind, pixelwise):
        raise UserError(
            f"augment.pixels has name={name}, which moves pixels away from their boxes; give one "
            "that changes them where they are, and set augment.boxed and label_only for the rest."
        )
    try:
        with warnings.catch_warnings():
            # Of an argument that it does not know it only warns.
            warnings.simplefilter("error", UserWarning)
            change = kind(**options)
            tried = library.Compose([kind(**{**options, "p": 1.0})])(image=_TRIED)["image"]
    except Exception as error:  # it checks arguments with several libraries
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"augment.pixels: {name} refuses {options} ({reason}).") from error
    if tried.shape != _TRIED.shape or tried.dtype != np.uint8:
        raise UserError(
            f"augment.pixels: {name} gives {tried.dtype} of shape {tried.shape} for uint8 of shape "
            f"{_TRIED.shape}; give one that keeps both."
        )
    return change


def _is_kind(value: Any, kind: type) -> bool:
    return isinstance(value, type) and issubclass(value, kind) and value is not kind
