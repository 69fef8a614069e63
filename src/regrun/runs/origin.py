"""Which data a complete record was made from, and whether today's data are the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrun.errors import UserError

if TYPE_CHECKING:
    from regrun.data.base import Dataset


def origin(config: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """One line on a record's data; empty if there is nothing to report.

    Data are read and compared only if that is fast: their files exist and images are already decoded.

    Args:
        config: the requested config, resolved.
        manifest: the content of ``run.json``.
    """
    made_from, now = manifest.get("data_dir"), Path(config["data_dir"]).absolute()
    before = manifest.get("data_fingerprint")
    dataset = dataset_of(config) if before and now.is_dir() else None
    if dataset is None or not dataset.files(now):
        return ""
    found = fingerprint_of(dataset, now, config["seed"])
    where = f"made of the data in {made_from}" if made_from else "made of data"
    if found is not None and found != before:
        return f"{where}, with the fingerprint {before}; those in {now} are others, with {found}"
    return where if made_from and made_from != str(now) and found is None else ""


def dataset_of(config: Mapping[str, Any]) -> Dataset | None:
    """The dataset that a run trains on, if its procedure names one."""
    from regrun.data.base import Dataset
    from regrun.runs.building import construct

    procedure = config["procedure"]
    node = procedure.get("dataset") or (procedure.get("training") or {}).get("dataset")
    if not isinstance(node, Mapping):
        return None
    try:
        found: Dataset = construct({"dataset": node}, Dataset)["dataset"]
    except UserError:
        return None
    return found


def fingerprint_of(dataset: Dataset, data_dir: Path, seed: int) -> str | None:
    """The fingerprint of a dataset with a seed; ``None`` if it cannot be computed quickly."""
    try:
        return dataset.load(data_dir, seed).fingerprint() if dataset.is_at_hand(data_dir) else None
    except (ValueError, OSError):  # damaged data
        return None
