"""The gateway in front of a model: an OpenAI-compatible server with risk control, keys, limits, audit and a chat page."""
