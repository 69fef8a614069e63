"""Weights & Biases logging, which needs no account."""

from __future__ import annotations

import glob
import netrc
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from regrun.errors import UserError, one_line
from regrun.loggers.base import Publication, RunInfo
from regrun.loggers.reaching import why_silent

MODES = ("auto", "online", "offline")
WHOLE_PATIENCE = 9.0  # seconds to start a run, unless WANDB_INIT_TIMEOUT is set
WITHOUT_NETWORK = "logger.wandb.mode=offline and logger=csv need no network"


class WandbLogger:
    """Logs to W&B: online if there is a key and the server answers, else to files in the record.

    Logs the run name, group (the experiment), tags (arm, scale), full config, metrics and summary. ``regrun
    sync`` sends offline files later. W&B's own inspection of the git remote, which may hold credentials, is
    off; the record has the commit.

    Args:
        mode: ``auto``, ``offline``, or ``online``, which raises if the server does not answer within ten
            seconds.
        project: the W&B project.
        entity: user or team; ``None`` for the account's default.
    """

    def __init__(self, mode: str = "auto", project: str = "regrun", entity: str | None = None) -> None:
        if mode not in MODES:
            raise ValueError(f"logger.wandb.mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.mode = mode
        self.project = project
        self.entity = entity
        self.run: Any = None

    def start(self, run: RunInfo) -> str | None:
        """Open the W&B run; see the class."""
        self.run, why_offline = self._open(
            run.directory,
            id=run.identity,
            name=f"{run.experiment}/{run.arm}/seed{run.seed}",
            group=run.experiment,
            tags=[run.arm[:64], run.scale],
            config=dict(run.config),
        )
        if not self.run.offline:
            return str(self.run.url)
        # A resumed run logs its history again, so that one offline file holds all of it.
        for step, metrics in run.history:
            self.run.log(dict(metrics), step=step)
        return offline_words(why_offline)

    def _open(self, directory: Path, **identity: Any) -> tuple[Any, str]:
        """Start a run; returns it, and the reason if it falls back to offline.

        Raises:
            UserError: if it must be online and cannot start within ten seconds.
        """
        began = time.monotonic()
        wandb = import_wandb()
        mode, why = choose_mode() if self.mode == "auto" else self.mode, ""
        if mode == "online" and (silence := why_silent(server())):
            mode, why = "offline", f"W&B's server {server()} does not answer ({silence})"
            if self.mode == "online":
                raise UserError(f"{why}; {WITHOUT_NETWORK}")
        if mode == "offline":  # what an earlier attempt has left there is in the way
            forget(directory, identity["id"])
        left = WHOLE_PATIENCE - (time.monotonic() - began)
        try:
            # otherwise it prints where it found the key and, online, queries the account
            wandb.setup(wandb.Settings(silent=True, mode=mode))
            run = wandb.init(
                dir=directory,
                mode=mode,
                project=self.project,
                entity=self.entity,
                resume="allow" if mode == "online" else None,
                reinit="create_new",  # beside those of other runs that are trained at the same time
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    disable_git=True,
                    disable_code=True,
                    init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT") or left),
                ),
                **identity,
            )
        except (wandb.Error, ValueError) as error:  # the second of settings, such as an address that is none
            raise UserError(f"W&B did not start ({one_line(error)}); {WITHOUT_NETWORK}") from error
        return run, why

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics at a step."""
        self.run.log(dict(metrics), step=step)

    def finish(self, status: str, summary: Mapping[str, float]) -> None:
        """Write the summary and close the run; only a complete run counts as finished."""
        if self.run is None:
            return
        self.run.summary.update({**summary, "status": status})
        self.run.finish(exit_code=0 if status == "complete" else 1)
        self.run = None

    def publish(self, publication: Publication) -> str | None:
        """Log the verdict table, the figures, and the report and its entry as an artifact.

        They form one run in the experiment's group. The artifact is ``<experiment>-verdicts``, with
        ``<experiment>-verdicts:<scale>`` as its newest version at a scale.
        """
        wandb = import_wandb()
        name = f"{publication.experiment}-verdicts"
        run, why_offline = self._open(
            publication.directory,
            id=f"{name}-{publication.scale}",
            name=f"{publication.experiment}/verdicts",
            group=publication.experiment,
            job_type="verdicts",
            tags=["verdicts", publication.scale],
        )
        # Uploads are staged beside the run, not in the home folder.
        os.environ["WANDB_DATA_DIR"] = str(publication.directory.absolute() / "wandb")
        columns, *rows = publication.table
        table = wandb.Table(columns=list(columns), data=[list(row) for row in rows])
        pictures = {key: wandb.Image(str(picture)) for key, picture in publication.pictures.items()}
        run.log({"verdicts": table, **pictures})
        run.summary.update(dict(publication.summary))
        artifact = wandb.Artifact(name, type="verdicts", metadata=dict(publication.summary))
        for file in publication.files:
            artifact.add_file(str(file))
        run.log_artifact(artifact, aliases=["latest", publication.scale])
        run.finish()
        return offline_words(why_offline)


def offline_words(why: str) -> str | None:
    """A line for a run that fell back to offline, else ``None``."""
    return f"offline files, for regrun sync to send: {why}" if why else None


def import_wandb() -> Any:
    """The wandb package.

    Raises:
        UserError: if it is missing or broken.
    """
    try:
        import wandb
    except Exception as error:  # of a broken one, anything
        raise UserError(f"W&B cannot be imported ({one_line(error)}): logger=csv does without") from error
    return wandb


def forget(directory: Path, identity: str) -> None:
    """Delete a run's offline files, and nothing else beside them."""
    for folder in (directory / "wandb").glob(f"offline-run-*-{glob.escape(identity)}"):
        shutil.rmtree(folder, ignore_errors=True)


def choose_mode() -> str:
    """``online`` if there is a key and W&B is not switched off, else ``offline``."""
    if wished := os.environ.get("WANDB_MODE"):
        return "online" if wished in ("online", "shared") else "offline"
    return "online" if has_key() else "offline"


def has_key() -> bool:
    """Whether W&B would find a key in the environment or the netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(server()).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def server() -> str:
    """The URL of W&B's server."""
    return str(os.environ.get("WANDB_BASE_URL") or import_wandb().Settings().base_url)
