"""The command: a verb if the first word is one, else Hydra."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from regrun.errors import UserError, naming_full_disks

if TYPE_CHECKING:
    from omegaconf import DictConfig

VERBS = ("list", "show", "doctor", "reproduce", "report", "verify")
USAGE = """\
regrun experiment=grokking regularizer=stablemax       one run
regrun -m experiment=grokking seed=0,1,2               a sweep; again: only what is missing
regrun reproduce grokking                              all arms × seeds, then the verdicts and the report
regrun report | verify NAME                            every verdict so far; do the ledger's figures hold
regrun list [words] | show NAME | doctor               what is there, what it says, is the machine fit
regrun --help                                          every group and option, Hydra's own included
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the ``regrun`` console script; exits with the command's code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with naming_full_disks():
            code = dispatch(words)
    except UserError as error:
        from regrun.console import complain

        complain(str(error))
        code = 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        code = 0
    sys.exit(code)


def dispatch(words: list[str]) -> int:
    """Run a command; returns its exit code."""
    if not words:
        sys.stdout.write(USAGE)
        return 2
    verb, rest = words[0], words[1:]
    if verb == "list":
        from regrun.verbs.listing import run

        return run(rest)
    if verb == "show":
        from regrun.verbs.show import run

        return run(rest)
    if verb == "doctor":
        from regrun.verbs.doctor import run

        return run(rest)
    if verb == "reproduce":
        from regrun.verbs.reproduce import run

        return run(rest)
    if verb == "report":
        from regrun.verbs.report import run

        return run(rest)
    if verb == "verify":
        from regrun.verbs.verify import run

        return run(rest)
    if "=" not in verb and not verb.startswith(("-", "~", "+")):
        from regrun.errors import nearest

        raise UserError(
            f"unknown command {verb!r}{nearest(verb, [*VERBS, 'experiment='])}; "
            f"a verb ({', '.join(VERBS)}) or "
            "overrides such as experiment=grokking"
        )
    return run_hydra(words)


def run_hydra(words: list[str]) -> int:
    """Hand the command to Hydra, once it has been checked."""
    import hydra
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException

    from regrun.app import CONFIG_NAME, HYDRA_VERSION_BASE, check_command, explain
    from regrun.console import complain
    from regrun.job import Outcome, job
    from regrun.paths import conf_dir
    from regrun.record import Status
    from regrun.sweep import SweepUnfinishedError

    # Hydra's parser stumbles over -m between overrides.
    words.sort(key=lambda word: word not in ("-m", "--multirun"))
    options = get_args_parser().parse_args(words)
    asks_only = options.help or options.hydra_help or options.shell_completion
    if not asks_only:
        cfg = check_command(options.overrides, options.config_dir, options.multirun)
        if options.cfg == "job":
            return print_config(cfg, options.package, options.resolve)

    outcomes: list[Outcome] = []

    def single(cfg: object) -> None:
        outcomes.append(job(cfg))  # type: ignore[arg-type]

    # Hydra would print its own errors, with hints that do not fit here; with this it raises them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    task = job if options.multirun else single
    sys.argv[1:] = words
    try:
        decorate = hydra.main(
            config_path=str(conf_dir()), config_name=CONFIG_NAME, version_base=HYDRA_VERSION_BASE
        )
        decorate(task)()
    except SweepUnfinishedError as error:
        return error.exit_code
    except KeyboardInterrupt:
        complain("killed; what was saved is kept, and the same command goes on from there")
        return 130
    except HydraException as error:
        raise explain(error, options.overrides) from error
    for outcome in outcomes:
        if outcome.message:
            interrupted = outcome.status is Status.INTERRUPTED
            complain(f"interrupted; {outcome.message}" if interrupted else outcome.message)
        return outcome.exit_code
    return 0


def print_config(cfg: DictConfig, package: str | None, resolve: bool) -> int:
    """Print a run's config as the run would have it, which Hydra's own ``--cfg job`` does not know."""
    from omegaconf import OmegaConf, open_dict

    from regrun.recombine import recombined

    own = recombined(cfg)
    with open_dict(own):
        del own["hydra"]
    node = OmegaConf.select(own, package, throw_on_missing=True) if package else own
    if node is None:
        raise UserError(f"the config has no {package!r}")
    sys.stdout.write(OmegaConf.to_yaml(node, resolve=resolve))
    return 0


if __name__ == "__main__":
    main()
