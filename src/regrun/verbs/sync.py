"""``regrun sync``: sends runs logged offline to W&B."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from regrun.console import OUT, complain
from regrun.errors import UserError
from regrun.plural import count
from regrun.records.damage import DamagedError
from regrun.records.record import Record
from regrun.verbs.options import Options

AT_ONCE = 5  # runs sent in parallel: W&B limits how many a project creates
PATHS = 200  # per call, within any limit on a command's length


def run(words: Sequence[str]) -> int:
    """Send every unsent offline run below ``outputs``; see the module."""
    parser = Options(
        "regrun sync",
        description="Send what was logged offline to W&B: runs, grouped by experiment, and verdicts. What "
        "has been sent is left out, and so are runs under way.",
        epilog="exit codes: 0 all is sent; 1 something could not be; 2 something you can mend",
    )
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where records lie")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="runs sent side by side (default: 5)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent")
    options = parser.parse_args(words)
    if not options.outputs.is_dir():
        raise UserError(f"--outputs {options.outputs}: there is no such folder")
    waiting, under_way = offline_runs(options.outputs)
    line = f"{count(len(waiting), 'offline run')} to send"
    OUT.print(line + (f", {under_way} still under way" if under_way else ""), soft_wrap=True)
    if options.dry_run or not waiting:
        for folder in waiting:
            OUT.print(Text(f"  {folder.parent.parent}"), soft_wrap=True)
        return 0
    check_server()
    for start in range(0, len(waiting), PATHS):
        part = [str(folder) for folder in waiting[start : start + PATHS]]
        command = [sys.executable, "-m", "wandb", "sync", "--yes", "-n", str(options.at_once), *part]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    left, _ = offline_runs(options.outputs)
    OUT.print(f"{len(waiting) - len(left)} sent" + (f", {len(left)} not" if left else ""), soft_wrap=True)
    return 1 if left else 0


def offline_runs(outputs: Path) -> tuple[list[Path], int]:
    """The W&B folders that wait to be sent, and how many belong to running runs.

    Folders of a record with a damaged lock are reported and left out.
    """
    found = [
        folder
        for folder in sorted(outputs.glob("**/wandb/offline-run-*"))
        if not any(folder.glob("*.synced"))
    ]
    ready, under_way = [], 0
    for folder in found:
        try:
            if Record(folder.parent.parent).is_locked():
                under_way += 1
            else:
                ready.append(folder)
        except DamagedError as error:
            complain(str(error))
    return ready, under_way


def check_server() -> None:
    """Raise ``UserError`` unless W&B has a key and its server answers; it would retry for minutes."""
    from regrun.loggers.reaching import why_silent
    from regrun.loggers.wandb import has_key, server

    if not has_key():
        raise UserError("W&B has no key on this machine: wandb login asks for one")
    if silence := why_silent(server()):
        raise UserError(f"W&B's server {server()} does not answer: {silence}")
