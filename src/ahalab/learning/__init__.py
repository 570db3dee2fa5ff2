"""From graded outputs to a better policy: advantages, packing, losses, the learner."""

from ahalab.learning.advantages import group_advantages, has_gradient
from ahalab.learning.learner import Learner, TrainablePolicy
from ahalab.learning.losses import GRPOLoss, Loss, LossBatch
from ahalab.learning.outputs import TrainingOutput
from ahalab.learning.packing import best_fit

__all__ = [
    "GRPOLoss",
    "Learner",
    "Loss",
    "LossBatch",
    "TrainablePolicy",
    "TrainingOutput",
    "best_fit",
    "group_advantages",
    "has_gradient",
]
