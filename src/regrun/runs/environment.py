"""Versions, hardware and commit of a run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "regrun",
    "torch",
    "lightning",
    "torchmetrics",
    "torchvision",
    "numpy",
    "hydra-core",
    "omegaconf",
    "wandb",
)

LAUNCHED = {"job": "REGRUN_JOB", "log": "REGRUN_LOG"}  # variables with a cluster job's name and log


def describe_environment() -> dict[str, Any]:
    """Versions, hardware and commit: everything needed to explain why a number is not repeated."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cpu": cpu_model(),
        "cores": available_cores(),
        "versions": {name: installed for name in PACKAGES if (installed := package_version(name))},
        "commit": git_commit(),
        "gpu": gpu_names(),
        **{key: os.environ[name] for key, name in LAUNCHED.items() if name in os.environ},
    }


def package_version(name: str) -> str | None:
    """The installed version of a package, or ``None``."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def available_cores() -> int:
    """The number of cores this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name."""
    return cpu_info("model name") or platform.processor() or platform.machine()


@cache
def cpu_info(field: str) -> str:
    """A field of Linux's ``/proc/cpuinfo``; empty on other systems."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(field):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return ""


def gpu_names() -> list[str]:
    """Names of the GPUs torch sees; empty if torch has not been imported."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]


@cache
def git_commit() -> str | None:
    """The commit of the checkout regrun runs from, with ``+`` if it has been edited; else ``None``.

    Changes to the ledger do not count as edits.
    """
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(checkout), *words]
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True
        ).stdout.strip()

    try:
        edited = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)outputs")
        return git("rev-parse", "HEAD") + ("+" if edited else "")
    except (OSError, subprocess.SubprocessError):
        return None
