"""Speed of the probability room: ratios against torch's flat softmax and a plain loop over levels.

  python benchmarks/probability.py               needs darknet's 9k.tree below $WORDTREE_DATA
  python benchmarks/probability.py --tree my.json --threads 1

One process, float32, random logits, labels even over all nodes. Every result and gradient is first
held against a loop over groups in double, at ordinary logits and at ±1e4. Then all programs run
in every round, in an order shuffled each round, after two calls that do not count; a ratio is
taken within its round. A line a bar: what, bar, median [middle half], verdict. A bar missed within
its middle half is measured once more. Exits with 1 where a bar is missed; the bars are meant for
9k.tree.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from wordtree import WordTree
from wordtree.probability import TreeTables, make_classifier, path_sums, sibling_log_softmax

NINE_K = Path(os.environ.get("WORDTREE_DATA", "datasets")) / "darknet" / "9k.tree"
# All of it is read when a program starts. The allocator keeps its pages: fresh ones can cost more
# than what is measured. A passive wait leaves the cores to whoever else needs them.
SURROUNDINGS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}
Program = Callable[[], object]


@dataclass(frozen=True)
class Bar:
    """A program's time may be at most `limit` of that of its base."""

    what: str
    program: str
    base: str
    limit: float


# Rows -> bars: how many rows a training batch of 8 images has labels for (50, 500), and how many
# an image of 416 pixels has in all with five anchors (845).
BARS: dict[int, list[Bar]] = {
    50: [Bar("path-only loss / flat cross-entropy", "path_loss", "flat", 2.3)],
    500: [
        Bar("path-only loss / flat cross-entropy", "path_loss", "flat", 0.70),
        Bar("sibling log-softmax / flat cross-entropy", "softmax", "flat", 4.0),
        Bar("... nodes given by group size", "softmax_by_size", "flat", 4.0),
    ],
    845: [Bar("path sums / loop over levels on (rows, nodes)", "path_sums", "level_loop", 0.15)],
}


def level_loop(values: Tensor, tables: TreeTables) -> Tensor:
    """Path sums, one level after another, a row's nodes side by side."""
    sums = values.clone()
    for level in tables.levels[1:]:
        sums[:, level.nodes] += sums[:, tables.parent[level.nodes]]
    return sums


def group_loop(logits: Tensor, tables: TreeTables) -> Tensor:
    """The sibling log-softmax, one group after another."""
    return torch.cat([z.log_softmax(1) for z in logits.split(tables.group_size.tolist(), 1)], 1)


def gradient(result: Tensor, logits: Tensor, weight: Tensor) -> Tensor:
    """d sum(weight x result) / d logits."""
    return torch.autograd.grad(result, logits, weight)[0]


def programs(rows: int, tables: TreeTables) -> dict[str, Program]:
    """What is timed at this many rows; those with a gradient return it."""
    nodes = len(tables)
    generator = torch.Generator().manual_seed(rows)
    logits = torch.randn(rows, nodes, generator=generator).requires_grad_()
    labels = torch.randint(nodes, (rows,), generator=generator)
    above = torch.randn(rows, nodes, generator=generator)
    one = torch.ones(())
    classifier = make_classifier("siblings", tables)
    columns = classifier.columns(torch.arange(nodes))
    by_size = logits.detach().T[tables.by_size].clone().requires_grad_()
    above_by_size = above.T[tables.by_size].clone()
    values = sibling_log_softmax(logits.detach(), tables)
    row_major = values.contiguous()

    def softmax_by_size() -> Tensor:
        result = sibling_log_softmax(by_size.T, tables, order="size")
        return gradient(result.T, by_size, above_by_size)

    return {
        "flat": lambda: gradient(F.cross_entropy(logits, labels, reduction="sum"), logits, one),
        "path_loss": lambda: gradient(classifier.loss(logits, columns, labels).sum(), logits, one),
        "softmax": lambda: gradient(sibling_log_softmax(logits, tables), logits, above),
        "softmax_by_size": softmax_by_size,
        "path_sums": lambda: path_sums(values, tables),
        "level_loop": lambda: level_loop(row_major, tables),
    }


def check(tables: TreeTables, rows: int = 20) -> None:
    """AssertionError where a fast form and the loops in double differ."""
    nodes = len(tables)
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(nodes, (rows,), generator=generator)
    above = torch.randn(rows, nodes, generator=generator)
    classifier = make_classifier("siblings", tables)
    columns = classifier.columns(torch.arange(nodes))
    pick = torch.arange(rows)
    for scale in (1.0, 1e4):
        logits = (scale * torch.randn(rows, nodes, generator=generator)).requires_grad_()
        exact = logits.detach().double().requires_grad_()
        slow = group_loop(exact, tables)
        slow_sums = level_loop(slow, tables)
        slow_loss = -slow_sums[pick, labels]
        loss = classifier.loss(logits, columns, labels)
        shuffled = logits[:, tables.by_size]
        conditional = sibling_log_softmax(logits, tables)
        pairs = {
            "log-softmax": (conditional, slow, above),
            "log-softmax by size": (
                sibling_log_softmax(shuffled, tables, order="size")[:, tables.place_by_size],
                slow,
                above,
            ),
            "path sums": (path_sums(conditional, tables), slow_sums, above),
            "log P": (classifier.log_p(logits), slow_sums, above),
            "path-only loss": (loss, slow_loss, torch.ones(rows)),
        }
        for name, (fast, loops, weight) in pairs.items():
            found = (fast, torch.autograd.grad(fast, logits, weight, retain_graph=True)[0])
            expected = torch.autograd.grad(loops, exact, weight.double(), retain_graph=True)[0]
            for mine, theirs in zip(found, (loops, expected), strict=True):
                assert torch.isfinite(mine).all(), name
                torch.testing.assert_close(
                    mine.double(),
                    theirs,
                    rtol=2e-5,
                    atol=2e-3,
                    msg=lambda text, name=name, scale=scale: f"{name}, ±{scale:g}: {text}",
                )


def times(chosen: dict[str, Program], rounds: int) -> dict[str, list[float]]:
    """Seconds of each program in each round."""
    found: dict[str, list[float]] = {name: [] for name in chosen}
    for program in chosen.values():
        program(), program()
    order = list(chosen)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            begin = time.perf_counter()
            chosen[name]()
            found[name].append(time.perf_counter() - begin)
    return found


def ratios(seconds: dict[str, list[float]], bar: Bar) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile of the ratio within a round."""
    pairs = zip(seconds[bar.program], seconds[bar.base], strict=True)
    low, middle, high = statistics.quantiles([mine / base for mine, base in pairs], n=4)
    return low, middle, high


def measure(rows: int, tables: TreeTables, rounds: int) -> bool:
    """Prints a line for each bar at this many rows; whether none is missed."""
    needed = {name for bar in BARS[rows] for name in (bar.program, bar.base)}
    chosen = {name: p for name, p in programs(rows, tables).items() if name in needed}
    seconds = times(chosen, rounds)
    passed = True
    for bar in BARS[rows]:
        low, middle, high = ratios(seconds, bar)
        again = ""
        if low <= bar.limit < middle:
            low, middle, high = ratios(times(chosen, rounds), bar)
            again = ", second measurement"
        held = middle <= bar.limit
        passed = passed and held
        print(
            f"{rows:4} rows  {bar.what:46} bar {bar.limit:4.2f}  measured {middle:4.2f} "
            f"[{low:.2f}, {high:.2f}]  {'ok' if held else 'MISSED'}{again}  "
            f"(base {1e3 * statistics.median(seconds[bar.base]):.1f} ms)"
        )
    return passed


def processor() -> str:
    """The processor's name, and the widest of the instructions that matter here."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", "").split()
    widest = next((flag for flag in ("avx512f", "avx2") if flag in flags), "")
    return " ".join(filter(None, [fields.get("model name", platform.processor()), widest]))


def main() -> int:
    """Starts anew with pinned threads where it has to, checks, measures; the exit code."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--tree", type=Path, default=NINE_K, help="default: %(default)s")
    options.add_argument("--threads", type=int, default=os.cpu_count(), help="all, if not given")
    options.add_argument("--rounds", type=int, default=30, help="at least 10; default: %(default)s")
    given = options.parse_args()
    if given.rounds < 10:
        options.error("--rounds: fewer than 10 say nothing")
    if not given.tree.exists():
        options.error(f"--tree: {given.tree} is missing; name a tree, or set WORDTREE_DATA")

    surroundings = {**SURROUNDINGS, "OMP_NUM_THREADS": str(given.threads)}
    if any(os.environ.get(name) != value for name, value in surroundings.items()):
        environment = {**os.environ, **surroundings}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    torch.set_num_threads(given.threads)
    random.seed(0)

    tree = WordTree.load(given.tree)
    tables = TreeTables.from_tree(tree)
    print(
        f"{given.tree.name}: {len(tree):,} nodes in {len(tree.group_size):,} groups; "
        f"{given.threads} threads, {given.rounds} rounds; torch {torch.__version__}; "
        f"{processor()}; {date.today()}"
    )
    check(tables)
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    passed = [measure(rows, tables, given.rounds) for rows in BARS]
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - begin
    own, kernel = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    cores = (own + kernel) / wall
    print(f"{cores:.2f} cores in use on average; the kernel took {kernel / own:.0%}")
    # Below that the threads lacked their cores, which changes a ratio by up to two fifths.
    if cores < 0.75 * given.threads or kernel > 0.1 * own:
        print("disturbed, by other programs or by the allocator: run it again on a quiet machine")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
