"""Digests of values: canonical JSON, files and arrays.

A digest is over decoded values, never over stored bytes. So it depends neither on the codec nor on how an array is cut
into chunks.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from facelime_cli.core.opening import opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

READ_BYTES = 1 << 20
SEAL = "digests.json"
"""The file of a sealed folder."""
TEXT_KINDS = "OTU"
"""NumPy's kinds of dtypes that hold texts: objects, variable-width strings, fixed-width strings."""


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces, UTF-8.

    Parameters
    ----------
    value : JSON value
        Dictionaries with texts as keys, lists, tuples, texts, numbers, true, false and None.

    Returns
    -------
    bytes
        Equal values give equal bytes.

    Raises
    ------
    ValueError
        When a number is NaN or infinite: JSON has no word for these.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A name that is no UTF-8 has a digest like any other.
    return text.encode(errors="surrogatepass")


def of_value(value: Any) -> str:
    """Return the SHA-256 of a JSON value.

    Parameters
    ----------
    value : JSON value
        See `canonical`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return of_bytes(canonical(value))


def of_rest(value: Mapping[str, Any]) -> str:
    """Return the digest that an object carries of itself: that of all its values but `digest`.

    Parameters
    ----------
    value : mapping
        With its `digest`, or without one yet.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return of_value({name: each for name, each in value.items() if name != "digest"})


def of_bytes(content: bytes) -> str:
    """Return the SHA-256 of some bytes.

    Parameters
    ----------
    content : bytes
        Any.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Parameters
    ----------
    path : Path
        The file; it is read piece by piece.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    OSError
        When it is no regular file, or cannot be read.
    """
    # Models and figures may be larger than the memory that is free.
    digest = hashlib.sha256()
    with opened(path) as stream:
        while block := stream.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def seal(folder: Path) -> None:
    """Write the digest of every file of a folder beside them, so that `sealed` knows them again.

    Parameters
    ----------
    folder : Path
        Its files may lie in folders below it.
    """
    (folder / SEAL).write_bytes(canonical(_of_files(folder)))


def sealed(folder: Path) -> bool:
    """Return whether a folder holds exactly what `seal` saw.

    Parameters
    ----------
    folder : Path
        It need not exist.

    Returns
    -------
    bool
    """
    seal = folder / SEAL
    return seal.is_file() and seal.read_bytes() == canonical(_of_files(folder))


def _of_files(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    return {path.relative_to(folder).as_posix(): of_file(path) for path in found}


def of_pictures(array: NDArray[Any]) -> list[str]:
    """Return one SHA-256 for each entry along the first axis: over its dtype, shape and C-order bytes.

    Parameters
    ----------
    array : (N, ...) array of numbers or of strings
        Numbers count as little-endian bytes, strings as their UTF-8 text, each with its length in front.

    Returns
    -------
    list of str
        N times 64 hexadecimal digits.
    """
    import numpy as np

    # NumPy stores the same texts in several dtypes, so only the texts count.
    if array.dtype.kind in TEXT_KINDS:
        return [_sha256(f"string{np.shape(row)}", _text_bytes(row)) for row in array]
    # The same numbers have the same digest on a machine of the other byte order.
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return [_sha256(f"{array.dtype.name}{row.shape}", row.tobytes()) for row in little]


def combine(digests: Iterable[str]) -> str:
    """Return the SHA-256 over a run of digests: that of a part, or of a whole array.

    Parameters
    ----------
    digests : iterable of str
        Each of 64 hexadecimal digits.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    # Bytes, not digits: half as long, and each digest has the same length.
    digest = hashlib.sha256()
    for each in digests:
        digest.update(bytes.fromhex(each))
    return digest.hexdigest()


def of_array(array: NDArray[Any]) -> str:
    """Return the digest of a whole array: SHA-256 over the digests of its pictures.

    Parameters
    ----------
    array : (N, ...) array of numbers or of strings
        See `of_pictures`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return combine(of_pictures(array))


def _text_bytes(row: Any) -> bytes:
    """Return some texts as bytes; the length in front keeps `ab` `c` apart from `a` `bc`."""
    import numpy as np

    texts = [str(text).encode() for text in np.ravel(row)]
    return b"".join(len(text).to_bytes(8, "little") + text for text in texts)


def _sha256(head: str, body: bytes) -> str:
    # No head holds a zero byte, so head and body cannot run together.
    return hashlib.sha256(head.encode() + b"\0" + body).hexdigest()
