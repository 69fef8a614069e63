"""Labels that somebody else has made, read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrun.data.label_noise import LabelNoise, TrueLabels
from regrun.errors import nearest

TRUE_LABELS = "clean_label"


class LabelFile(LabelNoise):
    """The train labels of a file, in the order of the dataset's own train split.

    Reads the files of CIFAR-N (Wei et al., arXiv 2110.12088): a ``.pt`` file of a dictionary of arrays, whose
    ``clean_label`` is held against the dataset's own labels; ``.npy``; and text with one number per line.

    Args:
        path: the file, relative to where the command runs.
        key: which array of a dictionary: ``worse_label``, ``aggre_label``, ``random_label1``, ...
    """

    def __init__(self, path: str, key: str = "worse_label") -> None:
        self.path = Path(path)
        self.key = key

    def corrupt(self, truth: TrueLabels, generator: torch.Generator) -> Tensor:
        """See the class.

        Raises:
            ValueError: if the file cannot be read or does not belong to these data.
        """
        labels, clean = self._read()
        for what, read in {self.key: labels, TRUE_LABELS: clean}.items():
            if read is not None and len(read) != truth.total:
                raise ValueError(
                    f"{self.path}: {what} has {len(read)} labels, the dataset's train split {truth.total}"
                )
        if clean is not None and not torch.equal(clean[truth.index], truth.y):
            raise ValueError(f"{self.path}: {TRUE_LABELS} is not in the order of this dataset's labels")
        classes = len(truth.names)
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise ValueError(
                f"{self.path}: labels must lie in 0 to {classes - 1}, "
                f"got {int(labels.min())} to {int(labels.max())}"
            )
        return labels[truth.index]

    def _read(self) -> tuple[Tensor, Tensor | None]:
        try:
            if self.path.suffix == ".npy":
                return as_labels(np.load(self.path, allow_pickle=False)), None
            if self.path.suffix in (".txt", ".csv"):
                return as_labels(np.loadtxt(self.path, dtype=np.int64, ndmin=1)), None
            trusted: list[Any] = [np.ndarray, np.dtype, type(np.dtype(np.int64)), type(np.dtype(np.int32))]
            trusted.append(np.zeros(0).__reduce__()[0])  # its module's name differs among versions of numpy
            with torch.serialization.safe_globals(trusted):
                content = torch.load(self.path, weights_only=True)
        except Exception as error:
            raise ValueError(f"the label file {self.path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            return as_labels(content), None
        if self.key not in content:
            known = [str(name) for name in content]
            raise ValueError(
                f"{self.path} has no {self.key!r}{nearest(self.key, known)} (it has {', '.join(known)})"
            )
        truth = content.get(TRUE_LABELS)
        return as_labels(content[self.key]), None if truth is None else as_labels(truth)


def as_labels(values: object) -> Tensor:
    """Any array or tensor of whole numbers as int64 ``(n,)``."""
    return torch.as_tensor(np.asarray(values)).to(torch.int64).flatten()
