"""Rewards: parts are computed apart, logged apart, and summed in one place. Never imports torch."""

from ahalab.rewards.compose import compose
from ahalab.rewards.functions import accuracy_reward, format_reward

__all__ = ["accuracy_reward", "compose", "format_reward"]
