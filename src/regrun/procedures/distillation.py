"""Knowledge distillation."""

from __future__ import annotations

import torch

from regrun.contracts.output import as_output
from regrun.contracts.procedure import Context
from regrun.data.stream import BatchList
from regrun.procedures.after_training import check_data
from regrun.procedures.training import SupervisedTraining
from regrun.regularizers.soft_targets import SoftTargets


class Distillation:
    """Trains a teacher, or finds it trained, and then a student on the teacher's logits.

    All runs with the same teacher share it. Its logits on the student's train split are computed once, in
    evaluation mode, without augmentation. Reports the student's metrics, and ``teacher_accuracy`` on the test
    split. Hinton et al., arXiv 1503.02531.

    Args:
        teacher: training of the teacher.
        student: training of the student, with a regularizer that takes soft targets.
    """

    def __init__(self, teacher: SupervisedTraining, student: SupervisedTraining) -> None:
        self.taking = [r for r in student.regularizers.values() if isinstance(r, SoftTargets)]
        if not self.taking:
            raise ValueError(
                "no regularizer of the student takes soft targets; add soft_targets to regularizer=[...]"
            )
        if teacher.dataset.classes != student.dataset.classes:
            raise ValueError(
                f"a teacher of {teacher.dataset.classes} classes cannot teach {student.dataset.classes}"
            )
        self.teacher = teacher
        self.student = student

    @property
    def metrics(self) -> list[str]:
        """The student's metrics, and the teacher's accuracy."""
        return [*self.student.metrics, "teacher_accuracy"]

    def __call__(self, context: Context) -> dict[str, float]:
        """Train both."""
        stage = context.stage("teacher", self.teacher)
        splits = self.teacher.dataset.load(context.data_dir, context.seed)
        check_data(stage, splits)
        task = self.teacher.restore(stage.checkpoint, splits).eval()
        train = self.student.dataset.load(context.data_dir, context.seed).train
        with torch.no_grad():  # here, because training leaves gradients enabled
            logits = torch.cat(
                [
                    as_output(task.model(task.inputs.prepare(batch.x))).logits.float()
                    for batch in BatchList(train, task.evaluation_batch)
                ]
            )
        for regularizer in self.taking:
            regularizer.teach(logits)
        return self.student(context) | {"teacher_accuracy": stage.metrics["test_accuracy"]}
