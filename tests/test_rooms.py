"""The rooms and the arrows between them, read from the imports of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("wordtree", "data", "detector", "tools")

# A room and what its modules may import of the others, besides the room itself. The longest prefix
# that fits a module decides; imports inside functions and for types alone count too.
ARROWS: dict[str, tuple[str, ...]] = {
    "wordtree": (),
    "data": ("wordtree",),
    "detector": ("detector.inference",),
    "detector.predictions": ("wordtree",),
    "detector.boxes": ("wordtree",),
    "detector.anchors": ("wordtree", "detector.boxes"),
    "detector.network": ("wordtree", "detector.predictions", "detector.boxes"),
    "detector.losses": ("wordtree", "data.sample", "detector.predictions", "detector.boxes"),
    "detector.weights": ("wordtree", "detector.network"),
    "detector.inference": (
        "wordtree",
        "data.images",
        "data.letterbox",
        "data.draw",
        "data.sample",
        "detector.network",
        "detector.predictions",
        "detector.boxes",
        "detector.weights",
    ),
    "detector.explain": (
        "wordtree.errors",
        "data.draw",
        "data.letterbox",
        "detector.network",
        "detector.predictions",
        "detector.inference",
    ),
    "detector.darknet": ("wordtree", "detector.network", "detector.weights"),
    "detector.evaluation": (
        "wordtree",
        "data.draw",
        "data.sample",
        "detector.inference.detections",
    ),
    "detector.training": (
        "wordtree",
        "data",
        "detector.anchors",
        "detector.boxes",
        "detector.evaluation",
        "detector.inference",
        "detector.losses",
        "detector.network",
        "detector.predictions",
        "detector.weights",
    ),
    "tools": ("wordtree", "data", "detector"),
    "train": ("wordtree", "data", "detector", "tools"),
}
COMMAND_LINE = ("hydra", "omegaconf", "argparse")


def below(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    found = {}
    for file in [*files, ROOT / "train.py"]:
        parts = list(file.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(source: str) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it, and for types alone too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    """The room of a module: the longest prefix of the table."""
    return max((room for room in ARROWS if below(module, room)), key=len)


def strangers(module: str, source: str) -> list[str]:
    """The imports of a module that the table does not allow."""
    room = room_of(module)
    allowed = (room, *ARROWS[room])
    # Below `detector` every room stands for itself: the package does not open them all.
    return [
        name
        for name in imports(source)
        if name.split(".")[0] in (*ROOMS, "train")
        and not any(
            below(name, prefix) and (prefix != "detector" or room in ("tools", "train"))
            for prefix in allowed
        )
    ]


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_its_room_may(module: str) -> None:
    found = strangers(module, modules()[module].read_text())
    assert not found, f"{module} (room {room_of(module)}) imports {', '.join(found)}"


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("wordtree.tree", "import data.sample"),
        ("data.loader", "from detector.boxes import iou"),
        ("data.loader", "def f():\n    from detector import boxes"),
        ("detector.evaluation.ap", "from detector.network.detector import Detector"),
        ("detector.evaluation.ap", "from detector.inference.predictor import Predictor"),
        ("detector.losses.weak", "from data.draw import draw_boxes"),
        ("detector.training.trainer", "from detector.explain import explain"),
        ("detector.weights.reading", "from tools.config import compose_config"),
        ("detector", "from detector.training import trainer"),
    ],
)
def test_the_table_refuses_an_arrow_that_is_not_there(module: str, line: str) -> None:
    assert len(strangers(module, line)) == 1


def test_every_room_of_the_detector_is_in_the_table() -> None:
    rooms = {".".join(name.split(".")[:2]) for name in modules() if name.startswith("detector.")}
    assert rooms <= set(ARROWS)


def test_only_train_and_tools_know_the_command_line() -> None:
    found = {
        module: name
        for module, file in modules().items()
        for name in imports(file.read_text())
        if name.split(".")[0] in COMMAND_LINE and module.split(".")[0] not in ("tools", "train")
    }
    assert found == {}


def test_torch_stands_in_one_part_of_the_tree_room_alone() -> None:
    found = {
        module
        for module, file in modules().items()
        if below(module, "wordtree") and not below(module, "wordtree.probability")
        if any(below(name, "torch") for name in imports(file.read_text()))
    }
    assert found == set()


def test_importing_the_tree_loads_no_heavy_library() -> None:
    code = (
        "import sys, wordtree\n"
        "print([m for m in ('torch', 'nltk', 'networkx', 'cv2', 'data', 'detector')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
