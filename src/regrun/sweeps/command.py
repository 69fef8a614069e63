"""Hands a command to Hydra: one run or a sweep."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from regrun.config.checking import check_command
from regrun.config.explaining import explain
from regrun.config.hydra_settings import CONFIG_NAME, HYDRA_VERSION_BASE, check_typed
from regrun.config.recombine import recombined
from regrun.config.scales import scale_choices
from regrun.config.typed import config_folders
from regrun.console import complain
from regrun.errors import UserError
from regrun.paths import conf_dir
from regrun.records.record import Status
from regrun.runs.job import Outcome, job
from regrun.runs.run import is_first_process
from regrun.sweeps.sweep import SweepUnfinishedError

# Overrides that Lightning gives to further processes of a run, which find their folder themselves.
OF_LIGHTNING = ("hydra.run.dir=", "hydra.job.name=", "hydra.output_subdir=")


def run_hydra(words: list[str]) -> int:
    """Check the command, and hand it to Hydra."""
    # Hydra's parser fails on -m between overrides.
    words = [word for word in words if is_first_process() or not word.startswith(OF_LIGHTNING)]
    words.sort(key=lambda word: word not in ("-m", "--multirun"))
    options = get_args_parser().parse_args(words)
    check_options(options)
    asks_only = options.help or options.hydra_help or options.shell_completion
    cfg = None
    if not asks_only:
        cfg = check_command(options.overrides, options.config_dir, options.multirun)
        if options.cfg == "job":
            return print_config(cfg, options.package, options.resolve)

    outcomes: list[Outcome] = []

    def single(cfg: object) -> None:
        outcomes.append(job(cfg))  # type: ignore[arg-type]

    # Hydra then raises its errors instead of printing them with hints that do not apply here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    task = job if options.multirun else single
    if cfg is not None and not options.multirun:
        words += scale_choices(options.overrides, config_folders(cfg))
    sys.argv[1:] = words
    try:
        decorate = hydra.main(
            config_path=str(conf_dir()), config_name=CONFIG_NAME, version_base=HYDRA_VERSION_BASE
        )
        with leaving_no_empty_folders(Path(cfg.outputs) if cfg is not None else None):
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


@contextmanager
def leaving_no_empty_folders(outputs: Path | None) -> Iterator[None]:
    """Remove ``outputs`` and its parents if this command created them and left them empty."""
    made = (
        [] if outputs is None else [folder for folder in (outputs, *outputs.parents) if not folder.exists()]
    )
    try:
        yield
    finally:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


def check_options(options: Namespace) -> None:
    """Raise ``UserError`` for options of Hydra that would bypass regrun's configs or their checks."""
    for name, instead in (
        ("config_path", "--config-dir adds a folder of your own configs"),
        ("config_name", "experiment=NAME chooses one of your own"),
        ("experimental_rerun", "the record's run.json says the command"),
    ):
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')}: not with regrun; {instead}")
    if not options.shell_completion:
        check_typed(options.overrides)


def print_config(cfg: DictConfig, package: str | None, resolve: bool) -> int:
    """Print a run's config as the run sees it, recombined; Hydra's own ``--cfg job`` cannot."""
    own = recombined(cfg)
    with open_dict(own):
        del own["hydra"]
    node = OmegaConf.select(own, package, throw_on_missing=True) if package else own
    if node is None:
        raise UserError(f"the config has no {package!r}")
    sys.stdout.write(OmegaConf.to_yaml(node, resolve=resolve))
    return 0
