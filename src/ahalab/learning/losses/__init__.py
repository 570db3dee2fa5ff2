"""One small file per loss. A loss is `(logprobs, batch) -> (scalar, metrics)`; the learner does the rest."""

from ahalab.learning.losses.batch import Loss, LossBatch
from ahalab.learning.losses.grpo import GRPOLoss
from ahalab.learning.losses.ppo import ValueLoss, ppo_loss
from ahalab.learning.losses.sft import SFTLoss

__all__ = ["GRPOLoss", "Loss", "LossBatch", "SFTLoss", "ValueLoss", "ppo_loss"]
