"""`wordtree-suggest`: the WordNet senses that category names may have, best first.

The first sense is a guess by rules that know no name. A name marked ? has other senses that a
photo could show, or is known only by its last word: check those. --out writes them into a label
map to correct by hand, which --map takes elsewhere."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tools.command import make_parser, run_command
from wordtree.annotation_files import read_categories
from wordtree.errors import UserError
from wordtree.formats.darknet import read_labels
from wordtree.labels import LabelMap
from wordtree.suggest import Sense, Suggestion, suggest
from wordtree.wording import plural

EXAMPLE = """\
  wordtree-suggest names.txt
  wordtree-suggest instances_train2017.json --out my_map.yaml
  wordtree-suggest photos/train --all"""
CLEAR, AMBIGUOUS, MISSING = " ", "?", "!"
# What a guess at another word than the user's is called in tables and comments.
GUESSED = {"participle": "by a related word", "head": "by its main word"}
_OTHERS = 5  # senses in the comment of an ambiguous name, besides the first


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = make_parser("wordtree-suggest", __doc__, EXAMPLE)
    command.add_argument(
        "names",
        metavar="NAMES",
        nargs="+",
        help="a text file with one name a line, a COCO JSON file, or a folder of folders",
    )
    command.add_argument(
        "--out", metavar="F", help="write a label map to correct by hand (YAML); never overwrites"
    )
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--all", action="store_true", help="show every sense, its path and its rank")
    shown.add_argument("--json", action="store_true", help="print all senses as JSON instead")
    return command


def read_names(path: Path) -> list[str]:
    """The names in a text file (one a line), a COCO file (by id), or of the folders in a folder.

    A folder whose only folder is `train` stands for that one.
    """
    if path.is_dir():
        folders = _folders(path)
        if folders == ["train"]:
            folders = _folders(path / "train")
        if not folders:
            raise UserError(f"{path} has no folders; give one that has a folder of photos a name")
        return folders
    if path.suffix.lower() == ".json":
        return [category.name for category in read_categories(path)]
    return read_labels(path)


def _folders(path: Path) -> list[str]:
    return sorted(
        entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def mark(suggestion: Suggestion) -> str:
    """`?` where a person has to choose, `!` where nothing was found, a blank otherwise."""
    if not suggestion.senses:
        return MISSING
    return AMBIGUOUS if suggestion.ambiguous else CLEAR


def table(suggestions: Iterable[Suggestion], *, every: bool, width: int | None) -> str:
    """One line a name, or a line a sense with its path below; cut at `width` characters."""
    rows = list(suggestions)
    column = min(max((len(row.name) for row in rows), default=0), 30)
    synsets = (sense.synset for row in rows for sense in row.senses[: None if every else 1])
    second = min(max(map(len, synsets), default=0), 34)
    lines = []
    for row in rows:
        start = f"{mark(row)} {row.name:{column}}  "
        guessed = f"({GUESSED[row.how]}) " if row.how in GUESSED else ""
        if not row.senses:
            lines.append(start + "not found" + (f"; near: {_near(row)}" if row.near else ""))
        for at, sense in enumerate(row.senses if every else row.senses[:1]):
            lines.append(
                f"{start if at == 0 else ' ' * len(start)}"
                f"{sense.key}  {sense.synset:{second}}  "
                f"{guessed if at == 0 else ''}{sense.gloss}"
            )
            if every:
                indent = " " * (len(start) + 11)
                lines += [f"{indent}{' > '.join(sense.path)}", f"{indent}{sense.reason}"]
    return "\n".join(line if width is None else line[:width] for line in lines)


def label_map(dataset: str, suggestions: Iterable[Suggestion]) -> tuple[LabelMap, dict[str, str]]:
    """The map of the first senses, and a comment a category that says what is to be checked."""
    targets: dict[str, str | None] = {}
    comments = {}
    for row in suggestions:
        best = row.senses[0] if row.senses else None
        targets[row.name] = best.key if best else None
        if best is None:
            comments[row.name] = "NOT FOUND" + (f", near: {_near(row)}" if row.near else "")
        elif row.ambiguous:
            comments[row.name] = _choices(row)
        else:
            comments[row.name] = f"{best.synset}: {best.gloss}"
    return LabelMap(dataset, targets), comments


def _choices(row: Suggestion) -> str:
    best, *others = row.senses
    guessed = f", found {GUESSED[row.how]}" if row.how in GUESSED else ""
    text = f"AMBIGUOUS{guessed}: {_short(best)}"
    text += "".join(f"; or {other.key} {_short(other)}" for other in others[:_OTHERS])
    more = len(others) - _OTHERS
    return text + (f"; and {more} more: wordtree-suggest --all" if more > 0 else "")


def _short(sense: Sense) -> str:
    return f"{sense.synset} ({sense.gloss})"


def _near(row: Suggestion) -> str:
    return ", ".join(row.near)


def _as_json(suggestions: Iterable[Suggestion]) -> str:
    content = {
        row.name: [
            {
                "key": sense.key,
                "synset": sense.synset,
                "gloss": sense.gloss,
                "path": list(sense.path),
            }
            for sense in row.senses
        ]
        for row in suggestions
    }
    return json.dumps(content, ensure_ascii=False, indent=1)


def run(arguments: Any) -> None:
    """Does what the parsed arguments ask for."""
    out = Path(arguments.out) if arguments.out else None
    if out and out.exists():
        raise UserError(f"{out} exists and may hold corrections; give --out another name")
    names = [name for path in arguments.names for name in read_names(Path(path))]
    suggestions = [suggest(name) for name in dict.fromkeys(names)]
    marks = [mark(row) for row in suggestions]
    unclear = [f"{marks.count(AMBIGUOUS)} ambiguous (?)", f"{marks.count(MISSING)} not found (!)"]
    if arguments.json:
        print(_as_json(suggestions))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(table(suggestions, every=arguments.all, width=width))
        print(f"{plural(len(marks), 'name')}: {marks.count(CLEAR)} clear, {', '.join(unclear)}")
    if out:
        found, comments = label_map(out.stem, suggestions)
        found.save(out, comments)
        # Standard output is for JSON alone where that was asked for.
        print(
            f"wrote {out}: correct the {marks.count(AMBIGUOUS)} marked AMBIGUOUS and the "
            f"{marks.count(MISSING)} marked NOT FOUND before you use it",
            file=sys.stderr if arguments.json else sys.stdout,
        )


def main() -> int:
    """The console command; gives its exit code."""
    return run_command(lambda: run(parser().parse_args()))


if __name__ == "__main__":
    sys.exit(main())
