"""Programs of ours that run inside the sandbox, beside untrusted code. Each stands alone: Python's own library only."""
