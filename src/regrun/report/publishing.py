"""Publishes a judged reproduction: page, entry, loggers, ledger."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from regrun.claims import Bounds, Verdict
from regrun.claims.wording import estimate_text, figure
from regrun.console import OUT, complain
from regrun.errors import UserError
from regrun.report.page import Report, write_report
from regrun.report.terminal import diverged_lines, summary_line, verdict_table
from regrun.reproduction.entry import Entry
from regrun.reproduction.experiment import Experiment
from regrun.reproduction.habits import habits_of
from regrun.reproduction.ledger import last_file, ledger_file, write_entry
from regrun.reproduction.reading import Reading

COLUMNS = ("claim", "says", "expect", "verdict", "estimate", "low", "high", "p", "p_holm", "seeds", "why")


def publish(experiment: Experiment, reading: Reading, entry: Entry) -> Report:
    """Print the verdicts; write the report, its figures and the entry."""
    OUT.print(verdict_table(entry))
    for line in diverged_lines(entry):
        OUT.print(line, soft_wrap=True)
    report = write_report(experiment, reading, entry)
    write_entry(entry, entry_file(experiment))
    OUT.print(summary_line(entry))
    OUT.print(Text(f"report  {report.page}"), soft_wrap=True)
    return report


def entry_file(experiment: Experiment) -> Path:
    """The file of an experiment's last entry."""
    return last_file(experiment.outputs, experiment.name, experiment.scale, experiment.variant)


def record_in_ledger(experiment: Experiment, entry: Entry) -> None:
    """Write the ledger's entry, with figures of smoke runs."""
    target = ledger_file(experiment.outputs, experiment.name, experiment.scale)
    OUT.print("smoke runs, twice, by which later code can be told to do the same")
    write_entry(entry.model_copy(update={"habits": habits_of(experiment)}), target)
    OUT.print(Text(f"ledger  {target}"), soft_wrap=True)


def tell_loggers(experiment: Experiment, entry: Entry, report: Report) -> None:
    """Pass the verdicts to the loggers that keep them."""
    if not experiment.config["logger"] or experiment.scale == "smoke":
        return
    from regrun.loggers import Publication
    from regrun.runs.building import build_loggers

    publication = Publication(
        experiment.name,
        experiment.scale,
        report.page.parent,
        [COLUMNS, *rows(entry)],
        {verdict.value.replace(" ", "_"): entry.count(verdict) for verdict in Verdict},
        report.pictures,
        [report.page, entry_file(experiment)],
    )
    for logger in build_loggers(experiment.config):
        try:
            if line := logger.publish(publication):
                OUT.print(Text(f"logging to {line}"), soft_wrap=True)
        except UserError as error:  # the verdicts stand, sent or not
            complain(str(error))


def rows(entry: Entry) -> list[tuple[object, ...]]:
    """The verdicts as a table, with every comparison of a claim."""
    return [
        (
            *(claim.name, claim.says, claim.expect, claim.verdict.value),
            *(estimate_text(Bounds(*comparison.estimate)), *map(figure, comparison.interval)),
            *(claim.p, claim.p_holm, claim.seeds, claim.why),
        )
        for claim in entry.claims
        for comparison in claim.comparisons
    ]
