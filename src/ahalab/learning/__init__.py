"""From outputs to a better policy: advantages, packing, losses, the learner, the value model of PPO."""

from ahalab.learning.advantages import generalised_advantages, group_advantages, has_gradient
from ahalab.learning.critic import Critic, ValuedOutput, ppo_outputs
from ahalab.learning.learner import Learner, TrainablePolicy
from ahalab.learning.losses import GRPOLoss, Loss, LossBatch, SFTLoss, ValueLoss, ppo_loss
from ahalab.learning.outputs import TrainingOutput
from ahalab.learning.packing import best_fit

__all__ = [
    "Critic",
    "GRPOLoss",
    "Learner",
    "Loss",
    "LossBatch",
    "SFTLoss",
    "TrainablePolicy",
    "TrainingOutput",
    "ValueLoss",
    "ValuedOutput",
    "best_fit",
    "generalised_advantages",
    "group_advantages",
    "has_gradient",
    "ppo_loss",
    "ppo_outputs",
]
