"""The index of all experiments: ``outputs/index.html``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regrun.claims import Verdict
from regrun.report.page import environment, write_page
from regrun.reproduction.entry import Entry


def write_index(outputs: Path, entries: Sequence[tuple[Path, Entry]]) -> Path:
    """Write the index.

    Args:
        outputs: folder of the index; its links are relative to it.
        entries: entries with their files; an experiment's report lies in the same folder.
    """
    linked = []
    for file, entry in entries:
        report = file.with_name(file.name.replace("verdicts", "report", 1)).with_suffix(".html")
        has_report = file.name.startswith("verdicts") and report.exists()
        linked.append((entry, report.relative_to(outputs).as_posix() if has_report else None))
    page = outputs / "index.html"
    outputs.mkdir(parents=True, exist_ok=True)
    text = (
        environment()
        .get_template("index.html")
        .render(
            entries=linked,
            claims=sum(len(entry.claims) for entry, _ in linked),
            counts={v.value: sum(entry.count(v) for entry, _ in linked) for v in Verdict},
        )
    )
    write_page(page, text)
    return page
