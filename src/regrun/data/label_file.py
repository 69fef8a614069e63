"""Labels that somebody else has made, read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrun.data.label_noise import LabelNoise, TrueLabels
from regrun.data.label_table import read_column
from regrun.errors import nearest

TRUE_LABELS = "clean_label"


class LabelFile(LabelNoise):
    """The train labels of a file, in the order of the dataset's own train split.

    Reads the files of CIFAR-N (Wei et al., arXiv 2110.12088): a ``.pt`` file of a dictionary of arrays, whose
    ``clean_label`` is held against the dataset's own labels; ``.npy``; and text with one number per line, or,
    under a line of names, with several of which the key names one.

    Args:
        path: the file, relative to where the command runs.
        key: which array of a dictionary, or column of a table: ``worse_label``, ``aggre_label``,
            ``random_label1``, ...
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
        wrong = (labels < 0) | (labels >= classes)
        if wrong.any():
            place = int(wrong.nonzero()[0])
            raise ValueError(
                f"{self.path}: labels must lie in 0 to {classes - 1}, got {int(labels.min())} to "
                f"{int(labels.max())}; the first that does not is {int(labels[place])}, label {place + 1}"
            )
        return labels[truth.index]

    def _read(self) -> tuple[Tensor, Tensor | None]:
        kind = self.path.suffix.lower()
        if kind in (".txt", ".csv", ".tsv"):
            return as_labels(self.path, read_column(self.path, self.key)), None
        try:
            content = np.load(self.path, allow_pickle=False) if kind == ".npy" else load_arrays(self.path)
        except OSError as error:
            raise ValueError(f"the label file {self.path} cannot be read: {error.strerror}") from error
        except Exception as error:
            expected = (
                "an array of numpy.save" if kind == ".npy" else "arrays of torch.save, and nothing else"
            )
            raise ValueError(f"the label file {self.path} cannot be read: {expected} is expected") from error
        if not isinstance(content, dict):
            return as_labels(self.path, content), None
        if self.key not in content:
            known = [str(name) for name in content]
            raise ValueError(
                f"{self.path} has no {self.key!r}{nearest(self.key, known)} (it has {', '.join(known)})"
            )
        truth = content.get(TRUE_LABELS)
        return as_labels(self.path, content[self.key]), None if truth is None else as_labels(self.path, truth)


def load_arrays(file: Path) -> Any:
    """What ``torch.save`` has written, as far as it is arrays and tensors: a file runs no code."""
    trusted: list[Any] = [np.ndarray, np.dtype, type(np.dtype(np.int64)), type(np.dtype(np.int32))]
    trusted.append(np.zeros(0).__reduce__()[0])  # its module's name differs among versions of numpy
    with torch.serialization.safe_globals(trusted):
        return torch.load(file, map_location="cpu", weights_only=True)


def as_labels(file: Path, values: object) -> Tensor:
    """An array, a tensor or a list of whole numbers as int64 ``(n,)``.

    Raises:
        ValueError: if it is something else; names the file.
    """
    if isinstance(values, Tensor):
        values = (values.double() if values.is_floating_point() else values).detach().numpy()
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{file}: a row of whole numbers is expected: {error}") from error
    if found.ndim == 2 and 1 in found.shape:
        found = found.reshape(-1)
    if found.ndim != 1 or found.dtype.kind not in "iuf":
        shape = " × ".join(map(str, found.shape)) or "one"
        raise ValueError(f"{file}: a row of whole numbers is expected, not {shape} of {found.dtype}")
    whole = np.isfinite(found) & (found == np.round(found)) & (np.abs(found) < 2.0**62)
    if not whole.all():
        place = int((~whole).argmax())
        raise ValueError(f"{file}: label {place + 1} is no whole number that a label can be: {found[place]}")
    return torch.from_numpy(found.astype(np.int64))
