"""The PhysioNet/Computing in Cardiology Challenge of 2012: vital signs of patients in intensive care."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from regrun.contracts.inputs import Series
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.criteria import ObservedSeries
from regrun.data.files import misspelt
from regrun.data.generators import generator_of
from regrun.data.series import observed_samples
from regrun.ranges import check_finite, check_whole

# What is measured more than once; the general descriptors and the record's number are left out.
VARIABLES = (
    *("ALP", "ALT", "AST", "Albumin", "BUN", "Bilirubin", "Cholesterol", "Creatinine", "DiasABP", "FiO2"),
    *("GCS", "Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "MAP", "MechVent", "Mg"),
    *("NIDiasABP", "NIMAP", "NISysABP", "Na", "PaCO2", "PaO2", "Platelets", "RespRate", "SaO2", "SysABP"),
    *("Temp", "TroponinI", "TroponinT", "Urine", "WBC", "Weight", "pH"),
)
DESCRIPTORS = ("RecordID", "Age", "Gender", "Height", "ICUType")
HOURS = 48


class PhysioNet2012(Dataset):
    """Up to 48 hours of 37 vital signs of 4000 or more patients, to be reconstructed.

    Each variable is scaled to ``[0, 1]`` by its least and greatest value in the patients that are trained on;
    times are rounded to the grid, where later values replace earlier ones. As Rubanova et al., arXiv
    1907.03907, and after them Pal et al., arXiv 2105.03918, have it. Reads ``physionet2012/set-a/*.txt`` (and
    ``set-b``, ``set-c``, where they are), one file for each patient with lines ``Time,Parameter,Value``.

    Args:
        test_share: fraction of patients in the test split.
        minutes: between the times of the grid.
        limit: number of patients, ``None`` for all.
        sigma: standard deviation that the likelihood assumes.
    """

    inputs: Series
    classes = len(VARIABLES)
    FOLDER = "physionet2012"

    def __init__(
        self, test_share: float = 0.2, minutes: int = 60, limit: int | None = None, sigma: float = 0.01
    ) -> None:
        check_finite(test_share=test_share, sigma=sigma)
        check_whole(minutes=minutes, **({} if limit is None else {"limit": limit}))
        if not 0 < test_share < 1:
            raise ValueError(f"test_share must lie strictly between 0 and 1, got {test_share}")
        if minutes < 1 or HOURS * 60 % minutes:
            raise ValueError(f"minutes must divide {HOURS * 60}, got {minutes}")
        if limit is not None and limit < 2:
            raise ValueError(f"limit must be at least 2, or null for all, got {limit}")
        self.test_share = test_share
        self.minutes = minutes
        self.limit = limit
        steps = HOURS * 60 // minutes
        self.inputs = Series(tuple(k / steps for k in range(steps + 1)), len(VARIABLES))
        self.criterion = ObservedSeries(sigma)

    def files(self, data_dir: Path) -> list[Path]:
        return [data_dir / self.FOLDER]

    def is_at_hand(self, data_dir: Path) -> bool:
        """Never: thousands of files take their time."""
        return False

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if there are no files, or one is damaged.
        """
        folder = data_dir / self.FOLDER
        files = sorted(folder.glob("set-*/*.txt"))[: self.limit]
        if len(files) < 2:
            raise ValueError(
                f"there are no patients in {folder / 'set-a'}{misspelt(folder / 'set-a', data_dir)}; unpack "
                "set-a.tar.gz of PhysioNet's Challenge 2012 there, or set data_dir"
            )
        values = torch.full((len(files), len(self.inputs.times), len(VARIABLES)), torch.nan)
        for k, file in enumerate(files):
            for minute, variable, value in read_patient(file):
                values[k, round(minute / self.minutes), variable] = value
        order = torch.randperm(len(files), generator=generator_of(seed))
        tested = max(1, int(self.test_share * len(files)))
        test, train = order[:tested], order[tested:]
        trained = values[train]
        notes = (f"{len(files)} patients of {self.FOLDER}",)
        return Splits(scaled(trained, trained), scaled(values[test], trained), notes=notes)


def scaled(values: Tensor, reference: Tensor) -> Samples:
    """Samples with each variable in ``[0, 1]`` where the reference's are."""
    flat = reference.flatten(0, 1)
    low = flat.nan_to_num(nan=torch.inf).amin(0)
    high = flat.nan_to_num(nan=-torch.inf).amax(0)
    span = torch.where(high > low, high - low, 1.0)
    low = low.where(low.isfinite(), 0.0)
    observed = ~values.isnan()
    return observed_samples(((values - low) / span).nan_to_num(), observed)


def read_patient(file: Path) -> Iterator[tuple[int, int, float]]:
    """Minutes, positions among ``VARIABLES``, and values.

    Raises:
        ValueError: if a line is not of that form.
    """
    places = {name: k for k, name in enumerate(VARIABLES)}
    with file.open(newline="", encoding="utf-8", errors="replace") as lines:
        rows = csv.reader(lines)
        while True:
            try:
                if (row := next(rows, None)) is None:
                    return
                if row[:1] == ["Time"] or not row:
                    continue
                time, name, text = row
                hours, minutes = time.split(":")
                minute, value = int(hours) * 60 + int(minutes), float(text)
                if not math.isfinite(value):
                    raise ValueError
            except (ValueError, csv.Error):
                raise ValueError(
                    f"{file}: line {max(1, rows.line_num)} is not of the form hh:mm,parameter,value"
                ) from None
            if name in places and 0 <= minute <= HOURS * 60 and value >= 0:  # -1 stands for unknown
                yield minute, places[name], value
