"""The command: a verb if the first word is one, else Hydra."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from regrun.config.whitelist import read_trust
from regrun.errors import UserError, naming_full_disks
from regrun.streams import Stream, flush, prepare

# Each in a module of its own, imported when it is asked for.
VERBS = {
    "list": "listing",
    "show": "show",
    "doctor": "doctor",
    "reproduce": "reproduce",
    "matrix": "matrix",
    "report": "report",
    "verify": "verify",
    "sync": "sync",
    "new": "new",
}
USAGE = """\
regrun experiment=grokking regularizer=stablemax       one run
regrun -m experiment=grokking seed=0,1,2               a sweep; again: only what is missing
regrun reproduce grokking                              all arms × seeds, then the verdicts and the report
regrun matrix losses                                   every component on every problem, tuned alike
regrun report | verify NAME                            every verdict so far; do the ledger's figures hold
regrun sync                                            send to W&B what was logged offline
regrun list [words] | show NAME | doctor               what is there, what it says, is the machine fit
regrun new NAME                                        the skeleton of your own paper, in the current folder
regrun --help                                          every group and option, Hydra's own included
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the ``regrun`` console script; exits with the command's code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    read_trust()
    prepare()
    code: int | str | None
    try:
        with naming_full_disks():
            try:
                code = dispatch(words)
            except SystemExit as asked:  # by the parser of a verb's options
                code = int(asked.code or 0)
            except BrokenPipeError:  # the reader, such as `head`, has seen enough
                code = 0
            flush()
    except UserError as error:
        complain(str(error))
        code = 2
    except KeyboardInterrupt:
        complain("interrupted")
        code = 130
    sys.exit(code)


def complain(message: str) -> None:
    """One line to standard error."""
    from regrun.console import complain

    complain(message)


def dispatch(words: list[str]) -> int:
    """Run a command; returns its exit code."""
    if not words:
        Stream("stdout").write(USAGE)
        return 2
    verb, rest = words[0], words[1:]
    if verb in VERBS:
        return int(import_module(f"regrun.verbs.{VERBS[verb]}").run(rest))
    if "=" not in verb and not verb.startswith(("-", "~", "+")):
        from regrun.errors import nearest

        raise UserError(
            f"unknown command {verb!r}{nearest(verb, [*VERBS, 'experiment='])}; "
            f"a verb ({', '.join(VERBS)}) or "
            "overrides such as experiment=grokking"
        )
    from regrun.sweeps.command import run_hydra

    return run_hydra(words)


if __name__ == "__main__":
    main()
