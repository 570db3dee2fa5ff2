"""The audit log's secrets, kept outside the database: one for the chain, one for the texts.

A file of two lines, mode 0600, or the same two words in an environment variable:

    chain  64 hex digits   signs rows and heads, hashes texts; enough to verify, not to read a text
    texts  64 hex digits   seals the row keys; without it no text can be written or read

A copy with the first line alone is for auditors who verify but must not read: the scope `audit-read` is the second.
Who can verify an HMAC could also make one: give auditors no right to write to the database.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from ahalab.errors import UserError
from ahalab.runs.atomic import explaining_disk_errors, sync_folder, write_all

VARIABLE = "AHALAB_AUDIT_KEY"
_NAMES = ("chain", "texts")


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """Both secrets, 32 bytes each; `texts` is None in an auditor's copy. Never printed."""

    chain: bytes
    texts: bytes | None

    def __repr__(self) -> str:
        return f"AuditKeys({self.fingerprint})"

    @property
    def fingerprint(self) -> str:
        """Names the chain's secret without telling it: what the database remembers."""
        return self.sign(b"fingerprint")[:16]

    def sign(self, data: bytes) -> str:
        """HMAC-SHA256 under the chain's secret, hex."""
        return hmac.digest(self.chain, data, "sha256").hex()

    def text_hash(self, text: str) -> str:
        """The same for the same text under the same key; tells nothing without the key. Hostile text is welcome."""
        return self.sign(b"text\0" + text.encode("utf-8", "surrogatepass"))[:32]

    def seal(self) -> bytes:
        """The secret that row keys are sealed under. UserError in an auditor's copy."""
        if self.texts is None:
            raise UserError(
                "this audit key has no line `texts`: it verifies, but may not write or read texts (scope audit-read). "
                "Use the whole key file."
            )
        return self.texts


def create_keys(path: Path) -> AuditKeys:
    """Make a new key file, mode 0600. UserError where something is already there: a chain needs its old key."""
    keys = AuditKeys(secrets.token_bytes(32), secrets.token_bytes(32))
    _write_new(path, keys)
    return keys


def write_verifier(keys: AuditKeys, path: Path) -> None:
    """Make the auditor's copy, which verifies and cannot read texts."""
    _write_new(path, AuditKeys(keys.chain, None))


def read_keys(path: Path | None) -> AuditKeys:
    """The secrets of a key file; of the environment variable AHALAB_AUDIT_KEY when there is no path.

    Raises:
        UserError: nothing is there, it is no key, or others than the owner may read the file.
    """
    if path is None:
        text = os.environ.get(VARIABLE)
        if not text:
            raise UserError(
                f"the audit log needs its key: name a key file, or set {VARIABLE}. "
                "`aha guard audit key FILE` makes one; keep it outside the database and its backups."
            )
        return _parse(text, f"environment variable {VARIABLE}")
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            data = file.read(4096)
    except OSError as error:
        raise UserError(
            f"audit key {path}: cannot be read ({error.strerror}). `aha guard audit key {path}` makes a new one; "
            "an old chain needs the key that it was begun with."
        ) from error
    if stat.S_ISREG(state.st_mode) and state.st_mode & 0o077:
        raise UserError(
            f"audit key {path}: others may read or write it (mode {stat.S_IMODE(state.st_mode):04o}). "
            f"Take that away with `chmod 600 {path}`; if others had access, begin a new chain with a new key."
        )
    return _parse(data.decode("ascii", "replace"), f"audit key {path}")


def _parse(text: str, where: str) -> AuditKeys:
    words = text.split()
    named = dict(zip(words[::2], words[1::2], strict=False))
    wrong = len(words) % 2 or len(named) * 2 != len(words) or not {"chain"} <= set(named) <= set(_NAMES)
    try:
        values = {name: bytes.fromhex(value) for name, value in named.items()}
    except ValueError:
        wrong = True
    if wrong or any(len(value) != 32 for value in values.values()):
        raise UserError(
            f"{where}: expected `chain` and `texts`, each followed by 64 hex digits, as `aha guard audit key` writes it"
        )
    return AuditKeys(values["chain"], values.get("texts"))


def _write_new(path: Path, keys: AuditKeys) -> None:
    lines = "".join(
        f"{name} {value.hex()}\n" for name in _NAMES if (value := getattr(keys, name)) is not None
    )
    with explaining_disk_errors(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise UserError(
                f"{path} is there already: a key is never overwritten, since its chain could not be verified without it"
            ) from None
        try:
            os.fchmod(descriptor, 0o600)
            write_all(descriptor, lines.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
