"""The audit log: every exchange leaves a signed, chained row before its first byte goes out."""

from ahalab.serving.audit.keyfile import AuditKeys, create_keys, read_keys
from ahalab.serving.audit.store import AuditLog, AuditSettings, open_audit

__all__ = ["AuditKeys", "AuditLog", "AuditSettings", "create_keys", "open_audit", "read_keys"]
