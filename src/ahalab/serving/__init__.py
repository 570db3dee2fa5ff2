"""The gateway in front of a model: OpenAI-compatible, with risk control, keys, limits, audit and a chat page."""
