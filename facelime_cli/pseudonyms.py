"""Pseudonyms: stable ids in place of the names of files, from a key of the user's that lies outside every store."""

from __future__ import annotations

import hmac
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.machine import state_folder
from facelime_cli.store import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from facelime_cli.store.artifacts import Artifact

KEY_VARIABLE = "FACELIME_KEY"
"""Environment variable that names another key file, such as one that a group shares."""
KEY_FILE = "pseudonyms.key"
KEY_BYTES = 32
DIGITS = 16
"""Hexadecimal digits of a pseudonym: among a million pictures, two share one with a chance of 3 in 100 million."""
PARAMETER = "pseudonyms"
"""Among a dataset's parameters, under which the digest of the key stands."""


def key_file() -> Path:
    """Return where the user's key is, or will be."""
    given = os.environ.get(KEY_VARIABLE)
    return Path(given) if given else state_folder() / KEY_FILE


def keyed(secret: bytes, kind: str, text: str) -> str:
    """Return a hash that nobody without the secret can compute: HMAC-SHA-256 (RFC 2104), cut.

    Parameters
    ----------
    secret : bytes
    kind : str
        What the text is, so that equal texts of two kinds get two hashes.
    text : str
        Such as a patient's number: few enough to try them all.

    Returns
    -------
    str
        `DIGITS` hexadecimal digits.
    """
    # Names of files need not be UTF-8.
    message = f"{kind}\0{text}".encode("utf-8", "surrogateescape")
    return hmac.new(secret, message, "sha256").hexdigest()[:DIGITS]


@dataclass(frozen=True)
class Pseudonyms:
    """Pseudonyms under the user's key, which is read or made when it is first needed.

    Attributes
    ----------
    warn : callable
        Is told when others could read the key.
    """

    warn: Callable[[str], None]

    def picture(self, name: str) -> str:
        """Return what stands in place of a picture's id."""
        return keyed(self.key, "picture", name)

    def group(self, name: str) -> str:
        """Return what stands in place of the name of a patient or lesion."""
        return keyed(self.key, "group", name)

    @property
    def digest(self) -> str:
        """What tells this key from others, and nothing more."""
        return keyed(self.key, "key", "")

    @cached_property
    def key(self) -> bytes:
        """The key. `FacelimeError` when its file cannot be used."""
        path, own = key_file(), not os.environ.get(KEY_VARIABLE)
        # A mistyped name would begin a new key, and with it other pseudonyms.
        if not own and not path.is_file():
            raise NotFoundError(
                f"there is no key file {path}; check {KEY_VARIABLE}, or make the file once with "
                f"`head -c {KEY_BYTES} /dev/urandom > {path}`."
            )
        try:
            key = self._own(path) if own else path.read_bytes()
            # A group may share a key on purpose, but nobody shares it with the whole machine.
            if path.stat().st_mode & stat.S_IRWXO:
                self.warn(f"others on this machine can read the key {path}; `chmod o-rwx {path}` closes it.")
        except OSError as why:
            raise FacelimeError(
                f"the key of the pseudonyms {path} cannot be read or made ({why.strerror}); "
                f"change its permissions, or name another file with {KEY_VARIABLE}."
            ) from why
        if len(key) != KEY_BYTES:
            raise FacelimeError(
                f"the key of the pseudonyms {path} has {len(key)} bytes in place of {KEY_BYTES}; "
                "restore it from a copy."
            )
        return key

    def _own(self, path: Path) -> bytes:
        """Return the key in the user's own folder."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = files.write_secret(path, os.urandom(KEY_BYTES))
        if files.close_to_others(path):
            self.warn(f"others on this machine could read the key {path}; now its owner alone can.")
        return key


def made_with(dataset: Artifact, warn: Callable[[str], None]) -> Callable[[str], str] | None:
    """Return what makes the pseudonyms of a dataset's pictures, None where these have their names.

    Parameters
    ----------
    dataset : Artifact
    warn : callable
        Is told when others could read the key.

    Returns
    -------
    callable or None
        From a name to its pseudonym. None too where this user has another key: then files must be named by pseudonyms.
    """
    digest = dataset.parameters.get(PARAMETER)
    # A new key would fit no dataset.
    if digest is None or not key_file().is_file():
        return None
    own = Pseudonyms(warn)
    return own.picture if own.digest == digest else None
