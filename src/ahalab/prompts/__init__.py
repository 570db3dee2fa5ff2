"""Prompts: where questions come from, and the order they are asked in. Never imports torch."""

from ahalab.prompts.config import (
    BuiltinEntry,
    FileEntry,
    HubEntry,
    PromptEntry,
    PromptsConfig,
    TaskEntry,
    WorldEntry,
    build_mixture,
    build_source,
    describe_prompts,
    validate_prompts,
)
from ahalab.prompts.mixture import Mixture, Schedule
from ahalab.prompts.source import DescribedSource, PromptSource, content_hash

__all__ = [
    "BuiltinEntry",
    "DescribedSource",
    "FileEntry",
    "HubEntry",
    "Mixture",
    "PromptEntry",
    "PromptSource",
    "PromptsConfig",
    "Schedule",
    "TaskEntry",
    "WorldEntry",
    "build_mixture",
    "build_source",
    "content_hash",
    "describe_prompts",
    "validate_prompts",
]
