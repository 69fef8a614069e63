"""``regrun matrix``: every component of a table on every problem, tuned alike."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from regrun.claims.verdict import FEWEST_SEEDS
from regrun.config.composing import compose_config
from regrun.config.user_files import folders_of
from regrun.console import OUT
from regrun.errors import UserError
from regrun.matrix.config import load_table, tables
from regrun.matrix.running import InterruptedTableError, Runner
from regrun.plural import count
from regrun.verbs.options import Options, positive, seed_count

EPILOG = "exit codes: 0 every cell has a value; 1 a cell has none; 2 something you can mend; 130 interrupted"


def run(words: Sequence[str]) -> int:
    """Run a table; see the module."""
    options = parser().parse_intermixed_args(words)
    if options.name is None:
        for name in tables(folders_of([options.config_dir])):
            OUT.print(Text.assemble((name, "bold"), f"  {load_table(name, options.config_dir).says}"))
        return 0
    for word in options.overrides:
        if word.startswith("seed="):
            raise UserError(f"{word}: seeds are numbered from 0; --seeds says how many")
    table = load_table(options.name, options.config_dir)
    changes = {key: getattr(options, key) for key in ("trials", "seeds") if getattr(options, key)}
    table = type(table).model_validate(table.model_dump() | changes)
    table = table.part(names(options.components), names(options.problems))
    where = [word for word in options.overrides if word.startswith("outputs=")]
    overrides = [word for word in options.overrides if word not in where]
    outputs = Path(compose_config(where).outputs)
    runner = Runner(options.name, table, overrides, outputs, options.config_dir)
    if options.record and (any(runner.changes) or table.seeds < FEWEST_SEEDS):
        raise UserError(
            "--record: the ledger is for a table as it stands, with at least "
            f"{count(FEWEST_SEEDS, 'seed')}, not with " + (" ".join(runner.changes) or f"{table.seeds}")
        )
    runner.announce()
    if options.dry_run:
        return 0
    try:
        result = runner()
    except InterruptedTableError:
        return 130
    from regrun.report.cross_table import save_result, terminal_table

    OUT.print(terminal_table(result))
    for file in save_result(result, outputs, options.record):
        OUT.print(Text(f"matrix  {file}"), soft_wrap=True)
    return 1 if any(cell.why for cell in result.cells) else 0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    result = Options(
        "regrun matrix",
        description="Run what is missing of a cross table: every component on every problem, with the same "
        "number of trials each, then the seeds of the best; without a name, say what tables there are.",
        epilog=EPILOG,
    )
    result.add_argument("name", nargs="?", help="a table, such as losses")
    result.add_argument("overrides", nargs="*", help="Hydra overrides for all runs, such as trainer=gpu")
    result.add_argument("--components", help="only these rows and the baseline, comma-separated")
    result.add_argument("--problems", help="only these columns, comma-separated")
    result.add_argument("--trials", type=positive, help="settings tried in each cell (default: the table's)")
    result.add_argument("--seeds", type=seed_count, help="how many, from 0 (default: the table's)")
    result.add_argument("--dry-run", action="store_true", help="say how many runs there are to do")
    result.add_argument(
        "--record", action="store_true", help="write it and its figure to outputs/ledger/matrix"
    )
    result.add_argument("--config-dir", "-cd", help="your own configs")
    return result


def names(text: str | None) -> list[str] | None:
    """Split a comma-separated list."""
    return text.split(",") if text else None
