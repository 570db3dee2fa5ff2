"""What a teacher and a judge behind an endpoint share: their prompt files, their client, what they count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ahalab.endpoints.client import ChatClient
from ahalab.endpoints.config import EndpointConfig
from ahalab.teachers.asking import Asker
from ahalab.teachers.templates import hashes, load_instructions


class AtEndpoint:
    """A helper at an OpenAI-compatible endpoint. Arguments as `make_teacher` and `make_judge`."""

    prompt_files: ClassVar[tuple[str, ...]]
    """Names of the prompt files that it uses."""

    def __init__(
        self,
        name: str,
        config: EndpointConfig,
        cache_folder: Path,
        prompts_folder: Path | None,
        stopping: Callable[[], bool],
    ) -> None:
        self.name = name
        self._instructions = load_instructions(self.prompt_files, prompts_folder)
        self._asker = Asker(ChatClient(name, config, cache_folder, stopping))

    @property
    def counts(self) -> Mapping[str, int]:
        """See `Teacher.counts`."""
        return dict(+self._asker.counts)

    @property
    def traffic(self) -> Mapping[str, int]:
        """See `Teacher.traffic`."""
        return self._asker.client.traffic

    def identity(self) -> dict[str, Any]:
        """See `Teacher.identity`."""
        settings = self._asker.client.config.identity()
        return {"kind": "endpoint", **settings, "prompt_files": hashes(self._instructions)}
