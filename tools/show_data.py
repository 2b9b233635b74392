"""wordtree-show-data: what a run is fed, as pictures and as the mixture report.

Takes a run folder, an experiment's name with key=value changes as train.py does, or the
non_finite_batch.pt that a run left whose loss was not finite.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.draw import contact_sheet, write_jpeg
from tools.command import make_parser, run_command
from tools.run_folder import CONFIG, resumed_config
from wordtree import UserError, WordTree
from wordtree.formats.text import write_text

EXAMPLE = """wordtree-show-data photos mixture.ratio=2
wordtree-show-data runs/latest --position 4000
wordtree-show-data runs/latest/non_finite_batch.pt"""
MOST = 400  # pictures of a sheet; more would not open in every viewer


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = make_parser("wordtree-show-data", __doc__, EXAMPLE)
    options.add_argument(
        "run", help="a run folder, an experiment (conf/experiment), or a non_finite_batch.pt"
    )
    options.add_argument(
        "changes", nargs="*", metavar="key=value", help="changes of an experiment, as for train.py"
    )
    options.add_argument("--out", help="folder (default: RUN/data, or show-data/EXPERIMENT)")
    options.add_argument("--position", type=int, default=0, help="first input of the stream (0)")
    options.add_argument("--inputs", type=int, default=16, help="network inputs drawn (16)")
    options.add_argument("--photos", type=int, default=16, help="photos of each source (16)")
    return options


def show(arguments: argparse.Namespace) -> None:
    """Writes the sheets and the report, and prints the short report."""
    path = Path(arguments.run)
    if path.suffix == ".pt":
        if arguments.changes:
            raise UserError(f"{path} is a batch, {arguments.changes[0]} changes nothing of it")
        return show_batch(path, Path(arguments.out or path.parent / "data"))
    for name, least in (("position", 0), ("inputs", 1), ("photos", 1)):
        value = getattr(arguments, name)
        if value < least or (name != "position" and value > MOST):
            words = f"{least} or more" if name == "position" else f"from {least} to {MOST}"
            raise UserError(f"--{name} {value} is out of range; give {words}")
    config, run = read_config(arguments.run, arguments.changes)
    out = Path(arguments.out or (run / "data" if run else Path("show-data") / config["name"]))
    show_config(
        config,
        out,
        tree=WordTree.load(run / "wordtree.json") if run else None,
        position=arguments.position,
        inputs=arguments.inputs,
        photos=arguments.photos,
    )
    return None


def read_config(name: str, changes: Sequence[str]) -> tuple[dict[str, Any], Path | None]:
    """The config of a run folder or of an experiment, and the folder if it is one.

    name: RUN, EXPERIMENT, or a first key=value of an experiment.
    """
    path = Path(name)
    if path.is_dir() and (path / CONFIG).is_file():
        if changes:
            raise UserError(
                f"{name} is a run, whose config stands, so {changes[0]} cannot be given; name an "
                "experiment to change it"
            )
        return resumed_config(path, {}), path
    from tools.config import compose_config, groups  # Hydra, which --help need not import
    from tools.config_parts import check_parts

    if name not in groups()["experiment"] and (path.is_dir() or len(path.parts) > 1):
        there = "holds no config.yaml" if path.is_dir() else "does not exist"
        raise UserError(f"{name} {there}; give the folder of a run, or an experiment's name")
    first = name if "=" in name else f"experiment={name}"
    config = compose_config([first, *changes])
    # Whether anything can be measured is no matter here.
    check_parts({**config, "evaluate_every": 0})
    return config, None


def show_config(
    config: dict[str, Any],
    out: Path,
    *,
    tree: WordTree | None = None,
    position: int = 0,
    inputs: int = 16,
    photos: int = 16,
) -> None:
    """Mixture report, a sheet a source, and the inputs from `position` on, into `out`."""
    from data.coverage import cover
    from data.coverage_text import csv_text, long_report, short_report
    from data.source_sheet import sheet_of
    from tools import assemble

    if tree is None:
        tree, _ = assemble.make_tree(config)
    train, validation = assemble.make_sources(config, tree)
    stream = assemble.make_stream(config, train)
    coverage = cover(stream.mixture, tree, classifier=config["classifier"])
    print(short_report(coverage), flush=True)
    write_text(out / "mixture.txt", long_report(coverage))
    write_text(out / "mixture.csv", csv_text(coverage))
    _wrote(out / "mixture.txt", "the whole report")
    _wrote(out / "mixture.csv", f"{len(tree):,} nodes")

    size = (config["image_size"], config["image_size"])
    for name, source in {**train, **({"validation": validation} if validation else {})}.items():
        broken: list[tuple[str, str]] = []
        sheet = sheet_of(source, tree, photos=photos, size=size, broken=broken)
        _skipped(broken)
        path = out / "sources" / f"{name.replace('/', '-')}.jpg"
        write_jpeg(path, sheet)
        _wrote(path, f"{min(photos, len(source))} of {len(source):,} photos")

    write_inputs(stream, tree, out, position=position, count=inputs)


def write_inputs(stream: Any, tree: WordTree, out: Path, *, position: int, count: int) -> None:
    """inputs.jpg and inputs.txt: the stream's inputs from `position` on, and their photos."""
    from data.sample import collate
    from detector.training.callbacks import pictures_of

    pictures, captions, lines = [], [], []
    for number in range(position, position + count):
        one = stream[number]
        _skipped(one.broken)
        # One by one: where training changes its size, neighbours may differ in it.
        pictures += pictures_of(collate([one]), tree)
        captions.append(f"{number}: {_photos_of(one.samples)}")
        lines += [
            f"{number}\t{sample.source}\t{sample.index}\t{sample.kind}\t{sample.path}"
            for sample in one.samples
        ]
    write_jpeg(out / "inputs.jpg", contact_sheet(pictures, columns=4, captions=captions))
    write_text(out / "inputs.txt", "\n".join(["input\tsource\tphoto\tkind\tpath", *lines, ""]))
    _wrote(out / "inputs.jpg", f"inputs {position:,} to {position + count - 1:,}")
    _wrote(out / "inputs.txt", "the photos in them")


def show_batch(path: Path, out: Path) -> None:
    """Draws the batch that a run with a non-finite loss left, and names its photos."""
    from detector.training.callbacks import pictures_of
    from tools.left_batch import odd_truths, read_left_batch

    batch, reason = read_left_batch(path)
    beside = path.parent / "wordtree.json"
    if not beside.is_file():
        raise UserError(f"{beside} is not there, and names the nodes; leave {path} in its run")
    tree = WordTree.load(beside)
    if reason:
        print(reason)
    captions = [f"input {position}" for position in batch.position.tolist()]
    write_jpeg(
        out / f"{path.stem}.jpg",
        contact_sheet(pictures_of(batch, tree), columns=4, captions=captions),
    )
    images = batch.photo_image.tolist()
    for photo, image in enumerate(images):
        source, index = batch.photo_source[photo], batch.photo_index[photo]
        print(f"{captions[image]}: {source} {index}: {batch.photo_path[photo]}")
    for line in odd_truths(batch, tree):
        print(f"odd: {line}")
    _wrote(out / f"{path.stem}.jpg", f"{len(batch)} inputs, {len(images)} photos")


def _photos_of(samples: Sequence[Any]) -> str:
    """`boxes 3, 17; labels 4`: the photos by their sources, in the order of the tiles."""
    numbers: dict[str, list[str]] = {}
    for sample in samples:
        numbers.setdefault(sample.source, []).append(str(sample.index))
    return "; ".join(f"{source} {', '.join(some)}" for source, some in numbers.items())


def _skipped(broken: Sequence[tuple[str, str]]) -> None:
    for path, reason in broken:
        print(f"skipped {path}: {reason}", file=sys.stderr)


def _wrote(path: Path, what: str) -> None:
    print(f"{path}: {what}", flush=True)


def main() -> int:
    """The console script."""
    return run_command(lambda: show(parser().parse_intermixed_args()))


if __name__ == "__main__":
    sys.exit(main())
