"""The table over a sweep's runs: `table.md` for people, `table.csv` for programs.

  python -m tools.sweep_table runs/NAME/DATE_TIME-sweep

makes it anew while jobs still run on a cluster, or where the sweep's own process has died.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.training.progress import clock_text
from wordtree.errors import UserError
from wordtree.formats.text import write_text

# Column of the table -> where report.json has it.
FIGURES = {
    "AP50": ("ap50", "all"),
    "AP50 boxed": ("ap50", "boxed"),
    "AP50 label-only": ("ap50", "label_only"),
    "steps": ("steps",),
    "seconds": ("seconds",),
}
MEASURED = ("AP50", "AP50 boxed", "AP50 label-only", "seconds")
NOT_ENDED = "not run, still running, or its process died"

Row = dict[str, Any]


def show_table(folder: Path) -> int:
    """Writes the tables of a sweep, prints them, and gives the greatest exit code of its jobs.

    A job that has not said how it ended counts as 1.
    """
    plan, rows = read_rows(folder)
    swept = list(rows[0]["swept"]) if rows else []
    text = markdown(plan["command"], swept, rows)
    write_text(folder / "table.md", text)
    write_text(folder / "table.csv", csv_text(swept, rows))
    print(text)
    print(f"table: {folder / 'table.md'}", file=sys.stderr)
    return max((row["code"] for row in rows), default=0)


def read_rows(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """The sweep's plan, and a row a job: `number, folder, seed, swept, code, reason`, and a value
    a column of FIGURES, None where there is none."""
    path = folder / "sweep.json"
    if not path.is_file():
        raise UserError(f"{path} is not there; give the folder of a sweep, runs/NAME/...-sweep.")
    plan = json.loads(path.read_text())
    rows = []
    for job in plan["jobs"]:
        ended = folder / f"job-{job['number']}.json"
        said = {"code": 1, "reason": NOT_ENDED}
        if ended.is_file():
            said = json.loads(ended.read_text())
        report = Path(job["folder"]) / "report.json"
        figures = json.loads(report.read_text()) if said["code"] == 0 and report.is_file() else {}
        rows.append({**job, **said, **{name: _at(figures, keys) for name, keys in FIGURES.items()}})
    return plan, rows


def spread(swept: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """Mean and standard deviation (n - 1) of the runs that differ in nothing but the seed.

    A row a setting of the other swept keys with two finished runs or more: `swept` (those keys),
    `runs`, and (mean, deviation) a column of MEASURED, None where a run does not have it.
    """
    if "seed" not in swept:
        return []
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["code"] == 0:
            others = tuple(row["swept"][key] for key in swept if key != "seed")
            groups.setdefault(others, []).append(row)
    found = []
    for others, same in groups.items():
        if len(same) < 2:
            continue
        keys = [key for key in swept if key != "seed"]
        row: Row = {"swept": dict(zip(keys, others, strict=True)), "runs": len(same)}
        for name in MEASURED:
            values = [run[name] for run in same]
            whole = None not in values
            row[name] = (statistics.mean(values), statistics.stdev(values)) if whole else None
        found.append(row)
    return found


def markdown(command: str, swept: Sequence[str], rows: Sequence[Row]) -> str:
    """The table for people: finished runs, their spread over seeds, and what failed and why."""
    header = [*swept, *FIGURES, "folder"]
    lines = [
        [
            *(row["swept"][key] for key in swept),
            *(_shown(n, row[n]) for n in FIGURES),
            row["folder"],
        ]
        for row in rows
    ]
    parts = [f"    {command}", _table(header, lines)]
    over_seeds = spread(swept, rows)
    if over_seeds:
        keys = list(over_seeds[0]["swept"])
        lines = [
            [*(row["swept"][key] for key in keys), str(row["runs"])]
            + [_both(name, row[name]) for name in MEASURED]
            for row in over_seeds
        ]
        parts += [
            "Mean and standard deviation (n - 1) over seeds:",
            _table([*keys, "runs", *MEASURED], lines),
        ]
    failed = [row for row in rows if row["code"]]
    if failed:
        parts += [
            f"{len(failed)} of {len(rows)} did not finish:",
            "\n".join(
                f"- {row['folder']}: {row['reason']} (exit code {row['code']})" for row in failed
            ),
        ]
    return "\n\n".join(parts) + "\n"


def csv_text(swept: Sequence[str], rows: Sequence[Row]) -> str:
    """A line a run: swept keys, figures as they are, exit code, reason, folder."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*swept, *FIGURES, "exit code", "reason", "folder"])
    for row in rows:
        writer.writerow(
            [*(row["swept"][key] for key in swept), *(row[name] for name in FIGURES),
             row["code"], row["reason"], row["folder"]]
        )  # fmt: skip
    return file.getvalue()


def _at(node: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "seconds":
        return clock_text(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _both(name: str, value: tuple[float, float] | None) -> str:
    if value is None:
        return "–"
    mean, deviation = value
    if name == "seconds":
        return f"{mean:.1f} ± {deviation:.1f}"
    return f"{mean:.3f} ± {deviation:.3f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of markdown whose columns stand below each other in a terminal too."""
    cells = [
        [" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in (header, *rows)
    ]
    widths = [max(3, *(len(row[c]) for row in cells)) for c in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells)
    return "\n".join("| " + " | ".join(row) + " |" for row in padded)


if __name__ == "__main__":
    from tools.command import run_command

    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0)
    sys.exit(run_command(lambda: show_table(Path(sys.argv[1]))))
