"""Texts under keys of their own: AES-256-GCM, one random key a text, itself sealed under the key file's secret.

Deleting the sealed row key makes the text noise, in the database and in every later copy of it, while the chain, which
holds only keyed hashes, stays as it is.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


def seal(secret: bytes, text: bytes, label: str) -> tuple[bytes, bytes]:
    """The sealed text and its sealed row key; both open only with the same label (exchange and kind of row)."""
    fresh = os.urandom(32 + 2 * _NONCE)  # at once: each call asks the system
    key, mine, its = fresh[:32], fresh[32:-_NONCE], fresh[-_NONCE:]
    return _encrypt(key, text, label, mine), _encrypt(secret, key, label, its)


def unseal(secret: bytes, sealed: bytes, sealed_key: bytes, label: str) -> bytes:
    """The text. ValueError when text, row key or label is not what was sealed."""
    try:
        return _decrypt(_decrypt(secret, sealed_key, label), sealed, label)
    except (InvalidTag, ValueError) as error:
        raise ValueError("does not open: text or row key was changed, or belongs to another row") from error


def _encrypt(key: bytes, data: bytes, label: str, nonce: bytes) -> bytes:
    return nonce + AESGCM(key).encrypt(nonce, data, label.encode("utf-8", "surrogatepass"))


def _decrypt(key: bytes, data: bytes, label: str) -> bytes:
    return AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], label.encode("utf-8", "surrogatepass"))
