"""A cross table as terminal output, heat map and files."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Canvas
from rich.table import Table as RichTable
from rich.text import Text

from regrun.claims.wording import figure
from regrun.errors import UserError
from regrun.matrix.cells import Cell, Result
from regrun.plural import count
from regrun.records.files import write_atomically
from regrun.report.figures import save
from regrun.report.page import on_white
from regrun.report.style import INK, STYLE, WIDTH

BETTER = "#12a37f"
WORSE = "#d64545"


def terminal_table(result: Result) -> RichTable:
    """Print means over seeds, marked where Holm's correction leaves a difference from the baseline."""
    table = RichTable(title=f"{result.title}: means over {count(result.seeds, 'seed')}", box=None)
    table.add_column("")
    for name, problem in result.problems.items():
        table.add_column(f"{name}\n{problem.measure} ({problem.better} is better)", justify="right")
    for component in result.components:
        cells = [result.cell(component, problem) for problem in result.problems]
        table.add_row(component, *(Text(cell_text(cell), style=cell_style(cell)) for cell in cells))
    return table


def cell_text(cell: Cell) -> str:
    """The mean, with a star if the difference is significant; a dash if there is none."""
    return "–" if not cell.values else figure(cell.mean) + (" *" if cell.significant else "")


def cell_style(cell: Cell) -> str:
    """The style of a cell in the terminal."""
    if not cell.significant:
        return ""
    return "green" if cell.difference > 0 else "red"


def heat_map(result: Result) -> Canvas:
    """Draw a heat map: rows are components, columns problems, colours differences from the baseline.

    Each column's colours are scaled by its largest difference, so they show which cells stand out in a
    column, not absolute size.
    """
    rows, columns = result.components, list(result.problems)
    share = np.full((len(rows), len(columns)), math.nan)
    for j, problem in enumerate(columns):
        differences = [result.cell(row, problem).difference for row in rows]
        largest = max((abs(d) for d in differences if not math.isnan(d)), default=0.0)
        share[:, j] = [d / largest if largest else math.nan for d in differences]
    colors = mpl.colors.LinearSegmentedColormap.from_list("difference", [WORSE, "#ffffff", BETTER])
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        canvas = Canvas(figsize=(WIDTH, 0.6 + 0.28 * len(rows)), layout="constrained")
        ax = canvas.add_subplot()
        ax.pcolormesh(np.ma.masked_invalid(share), cmap=colors, vmin=-1.6, vmax=1.6, edgecolors="white")
        ax.invert_yaxis()
        ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
        ax.set_xticks(
            np.arange(len(columns)) + 0.5,
            [f"{name}\n{result.problems[name].measure}" for name in columns],
        )
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        for i, row in enumerate(rows):
            for j, problem in enumerate(columns):
                cell = result.cell(row, problem)
                empty = math.isnan(share[i, j])
                ax.text(
                    j + 0.5,
                    i + 0.5,
                    cell_text(cell),
                    ha="center",
                    va="center",
                    color=INK if empty else "#1b1b1f",
                    fontweight="bold" if cell.significant else "normal",
                )
    return canvas


def save_result(result: Result, outputs: Path, record: bool) -> list[Path]:
    """Write the table and its heat map to ``outputs/matrix``, and to the ledger if it is recorded."""
    over = count(result.seeds, "seed")
    title = f"{result.title}: means over {over}, * where they differ from {result.baseline}"
    drawn = save(result.name, title, result.says, heat_map(result))
    written = []
    for folder in [outputs / "matrix" / result.name, *([outputs / "ledger" / "matrix"] if record else [])]:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{result.name}.json"
        write_atomically(file, result.model_dump_json(indent=1) + "\n")
        write_atomically(file.with_suffix(".svg"), on_white(drawn.svg))
        written.append(file)
    return written


def read_result(file: Path) -> Result:
    """Read a table's file.

    Raises:
        UserError: if it is not a valid table.
    """
    try:
        return Result.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is no cross table: {str(error).splitlines()[0]}") from error
