"""Label smoothing."""

from __future__ import annotations

from torch import Tensor

from regrun.data.base import Batch
from regrun.regularizers.base import Regularizer, Task
from regrun.regularizers.targets import as_probabilities


class LabelSmoothing(Regularizer):
    """Mixes each label with the uniform distribution. Szegedy et al., arXiv 1512.00567.

    Args:
        share: of the uniform distribution, in ``[0, 1)``.
    """

    softens_labels = True

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise ValueError(f"share must lie in [0, 1), got {share}")
        self.share = share

    def attach(self, task: Task) -> None:
        """Note the number of classes."""
        self.classes = task.classes

    def transform(self, batch: Batch) -> Batch:
        """See the class."""
        y: Tensor = as_probabilities(batch.y, self.classes)
        return batch._replace(y=(1 - self.share) * y + self.share / self.classes)
