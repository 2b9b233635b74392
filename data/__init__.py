"""Photos in, batches out. Names are loaded when they are first asked for."""

from __future__ import annotations

from importlib import import_module

_HOME = {
    "Batch": "data.sample",
    "BrokenPhoto": "data.images",
    "CocoSource": "data.sources.coco",
    "Colour": "data.transforms",
    "EmojiPhotos": "data.sources.emoji",
    "EmojiScenes": "data.sources.emoji",
    "ImageFolderSource": "data.sources.image_folder",
    "Input": "data.sample",
    "Letterbox": "data.letterbox",
    "Loader": "data.loader",
    "Mixture": "data.mixture",
    "Sample": "data.sample",
    "Source": "data.sources",
    "Stream": "data.loader",
    "TrainTransform": "data.transforms",
    "View": "data.transforms",
    "collate": "data.sample",
    "contact_sheet": "data.draw",
    "data_path": "data.root",
    "data_root": "data.root",
    "draw_boxes": "data.draw",
    "draw_regions": "data.draw",
    "letterbox_input": "data.letterbox",
    "node_colour": "data.draw",
    "read_image": "data.images",
    "read_size": "data.images",
    "write_jpeg": "data.draw",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    # Who draws boxes or reads a photo pays for neither torch nor Albumentations.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'data' has no attribute {name!r}")
