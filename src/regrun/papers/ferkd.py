"""*FerKD: Surgical Label Adaptation for Efficient Distillation*."""

from __future__ import annotations

from regrun.contracts.procedure import Context
from regrun.procedures.distillation import Distillation
from regrun.procedures.training import SupervisedTraining
from regrun.regularizers.region_labels import REGIONS, RegionLabels


class CropDistillation(Distillation):
    """Distillation on stored crops with region labels from the teacher.

    ``region_share/region=R`` is the share of crops in a region, and ``region_accuracy/region=R`` the
    teacher's accuracy on them, ``nan`` in an empty one; ``unsure`` in the latter has the background, too.

    Args:
        teacher: training of the teacher.
        student: training of the student, with a regularizer of region labels.
    """

    def __init__(self, teacher: SupervisedTraining, student: SupervisedTraining) -> None:
        super().__init__(teacher, student)
        telling = [regularizer for regularizer in self.taking if isinstance(regularizer, RegionLabels)]
        if not telling:
            raise ValueError("no regularizer of the student tells regions; choose regularizer=region_labels")
        self.regions = telling[0]

    @property
    def metrics(self) -> list[str]:
        """The metrics of distillation and of the regions."""
        return [*super().metrics, "region_share", "region_accuracy"]

    def __call__(self, context: Context) -> dict[str, float]:
        """Train both."""
        final = super().__call__(context)
        clean = self.student.dataset.load(context.data_dir, context.seed).train.clean
        right = (self.regions.teacher.cpu().argmax(1) == clean).double()
        region = self.regions.region.cpu()
        for number, name in enumerate(REGIONS):
            final[f"region_share/region={name}"] = float((region == number).double().mean())
        for name, inside in {"unsure": region < 2, "sure": region == 2}.items():
            final[f"region_accuracy/region={name}"] = float(right[inside].mean())
        return final
