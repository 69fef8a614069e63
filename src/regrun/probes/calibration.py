"""Whether a network is as often right as it says."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError

from regrun.data.base import Batch
from regrun.models.output import Output
from regrun.probes.base import Probe
from regrun.regularizers.base import Task


class Calibration(Probe):
    """``calibration_error``: the expected calibration error of the test split (Guo et al., arXiv 1706.04599).

    The mean distance of confidence and accuracy over bins of the confidence, weighted by their samples.

    Args:
        bins: of equal width.
    """

    metrics = ("calibration_error",)
    split = "test"

    def __init__(self, bins: int = 15) -> None:
        super().__init__()
        if bins < 1:
            raise ValueError(f"bins must be at least 1, got {bins}")
        # It takes any number of classes above the one it is told when it is not to check its input.
        self.error = MulticlassCalibrationError(2, n_bins=bins, norm="l1", validate_args=False)

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        """See the class."""
        self.error.update(output.logits.float().softmax(1), batch.y)

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        """See the class."""
        value = self.error.compute()
        self.error.reset()
        return {"calibration_error": value}
