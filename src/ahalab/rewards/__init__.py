"""Rewards: parts are computed apart, logged apart, and summed in one place. Never imports torch."""

from ahalab.rewards.compose import PreferenceScope, RewardRules, compose
from ahalab.rewards.functions import accept_empty_thinking, accuracy_reward, format_reward

__all__ = [
    "PreferenceScope",
    "RewardRules",
    "accept_empty_thinking",
    "accuracy_reward",
    "compose",
    "format_reward",
]
