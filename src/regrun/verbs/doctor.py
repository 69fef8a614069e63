"""``regrun doctor``: checks whether this machine is fit, and says how to mend it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from regrun.console import OUT
from regrun.plural import count
from regrun.runs.environment import available_cores, cpu_info, cpu_model, package_version
from regrun.verbs.options import Options


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        name: name of the check.
        state: ``ok``, ``note`` (works without it) or ``bad`` (must be mended).
        says: the finding.
        remedy: what to do, if anything.
    """

    name: str
    state: str
    says: str
    remedy: str = ""


MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "bad": ("✗", "red")}


def run(words: Sequence[str]) -> int:
    """Run all checks; exit code 1 if something must be mended."""
    parser = Options("regrun doctor", description="Is this machine fit, and what if not?")
    parser.add_argument("--outputs", default="outputs", help="where records go (default: outputs)")
    parser.add_argument("--data-dir", default=os.environ.get("REGRUN_DATA", "data"), help="where data lie")
    options = parser.parse_args(words)
    findings = [
        *look_at_torch(),
        look_at_cores(),
        *look_at_data(Path(options.data_dir)),
        look_at_wandb(),
        look_at_outputs(Path(options.outputs)),
    ]
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        remedy = Text(f"\n→ {finding.remedy}", style="dim") if finding.remedy else Text()
        table.add_row(
            Text.assemble(MARKS[finding.state]), finding.name, Text(finding.says, overflow="fold") + remedy
        )
    OUT.print(table)
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def look_at_torch() -> Iterator[Finding]:
    """Check torch, torchvision, GPUs, and the processor's support of bfloat16."""
    try:
        import torch
    except Exception as error:
        yield Finding("torch", "bad", f"does not import: {error}", "pip install --force-reinstall torch")
        return
    yield Finding("torch", "ok", torch.__version__)
    try:
        import torchvision

        yield Finding("torchvision", "ok", torchvision.__version__)
    except Exception as error:
        remedy = "install torch and torchvision of one build: pip install --force-reinstall torch torchvision"
        yield Finding("torchvision", "bad", f"does not import: {error}", remedy)
    if torch.cuda.is_available():
        for k in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(k)
            bf16 = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
            words = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, {bf16}"
            yield Finding(f"GPU {k}", "ok", words, "use it with trainer=gpu")
    elif torch.backends.mps.is_available():
        yield Finding("GPU", "ok", "Apple MPS", "use it with trainer=gpu")
    else:
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch has no CUDA"
        remedy = "if there is one, install its driver (nvidia-smi must see it); trainer=cpu needs none"
        yield Finding("GPU", "note", f"none is seen; {built}", remedy)
    capabilities = torch.backends.cpu.get_cpu_capability()
    flags = cpu_info("flags").split()
    fast = [name for name in ("amx_bf16", "avx512_bf16") if name in flags]
    words = f"{cpu_model()}, {capabilities}" + (f", {' '.join(fast)}" if fast else "")
    yield Finding("processor", "ok", f"{words}: bfloat16 is {'fast' if fast else 'emulated, and slow'}")


def look_at_cores() -> Finding:
    """Check cores, and whether the environment limits torch's threads."""
    import torch

    cores, threads = available_cores(), torch.get_num_threads()
    limited = os.environ.get("OMP_NUM_THREADS")
    if limited and threads < cores:
        remedy = f"OMP_NUM_THREADS={limited} is only the default; trainer.threads sets a run's threads"
        return Finding("threads", "note", f"{threads} of {count(cores, 'core')}", remedy)
    return Finding("threads", "ok", f"{threads} on {count(cores, 'core')}")


def look_at_data(data_dir: Path) -> Iterator[Finding]:
    """Check the data directory and the data sets in it."""
    if not data_dir.is_dir():
        remedy = "only downloaded data need it; set REGRUN_DATA or data_dir=... if they lie elsewhere"
        yield Finding("data", "note", f"{data_dir.absolute()} does not exist", remedy)
        return
    present = [name for name, sign in DATA_SETS.items() if any(data_dir.glob(sign))]
    yield Finding("data", "ok", f"{data_dir.absolute()}: {', '.join(present) or 'no known data set'}")


DATA_SETS = {
    "MNIST": "MNIST/raw/train-images-idx3-ubyte*",
    "CIFAR-10": "cifar-10-batches-py",
    "CIFAR-10 (image archive)": "cifar10_train.tar",
    "CIFAR-100": "cifar-100-python",
    "tiny-shakespeare": "tinyshakespeare.txt",
    "ETTh1": "ETTh1.csv",
}


def look_at_wandb() -> Finding:
    """Check whether W&B would log online or offline."""
    from regrun.loggers.wandb import choose_mode, has_key

    if package_version("wandb") is None:
        return Finding("W&B", "bad", "not installed", "pip install wandb, or run with logger=csv")
    if choose_mode() == "online":
        return Finding("W&B", "ok", "a key is present: runs are logged online")
    if has_key():
        remedy = "unset WANDB_MODE to log online"
        return Finding("W&B", "ok", "a key is present, and WANDB_MODE keeps runs offline", remedy)
    remedy = "wandb login logs online; regrun sync sends offline runs later; logger=csv does without"
    return Finding("W&B", "ok", "no key: runs are logged to offline files inside their records", remedy)


def look_at_outputs(outputs: Path) -> Finding:
    """Check whether records can be written."""
    folder = next(parent for parent in (outputs.absolute(), *outputs.absolute().parents) if parent.is_dir())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "choose another place with outputs=..."
        return Finding("outputs", "bad", f"{folder} cannot be written: {error.strerror}", remedy)
    free = shutil.disk_usage(folder).free / 2**30
    if free < 1:
        remedy = "make room, or choose another place with outputs=..."
        return Finding("outputs", "bad", f"only {free:.2f} GiB free for {outputs.absolute()}", remedy)
    return Finding("outputs", "ok", f"{outputs.absolute()}, {free:.0f} GiB free")
