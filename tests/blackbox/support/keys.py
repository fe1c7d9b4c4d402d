# SPDX-License-Identifier: MIT
"""Ed25519 keys as the tests need them: made at run time, never stored in the tree."""

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class KeyPair:
    """A key pair from a 32-byte seed (RFC 8032), random unless given."""

    def __init__(self, seed=None):
        self.seed = os.urandom(32) if seed is None else seed
        self._key = Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def seed_base64(self):
        return base64.b64encode(self.seed).decode()

    @property
    def public(self):
        """'ssh-ed25519 AAAA...', without a comment."""
        return (
            self._key.public_key()
            .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
            .decode()
        )

    @property
    def private_text(self):
        """The private key as OpenSSH's client reads it."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ).decode()

    def write_private(self, path):
        """The private key in a file of mode 0600. Returns the path."""
        path = Path(path)
        path.touch(mode=0o600)
        path.write_text(self.private_text)
        return path
