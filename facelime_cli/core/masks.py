"""Masks: which segments of a picture each perturbed sample keeps.

Every mask is a function of (seed, picture id, sample index) alone, through a counter-based generator, so that it depends on no batch, shard or order,
and a run can be extended.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = 8
"""32-bit words in one step of the Philox counter (4 × 64 bits)."""
WORD_VALUES = 1 << 32
BLOCK_SAMPLES = 1024


def key_of(seed: int, picture_id: str, purpose: str) -> int:
    """Return the 128-bit Philox key of a picture: the head of SHA-256 over purpose, seed and id."""
    return int.from_bytes(hashlib.sha256(f"{purpose}\0{seed}\0{picture_id}".encode()).digest()[:16], "little")


def random_words(key: int, start: int, n: int, width: int) -> NDArray[np.uint32]:
    """Return `width` random 32-bit words for each sample `start`…`start + n - 1`: (n, width).

    Raw output of Philox4x64-10 (Salmon et al., «Parallel random numbers: as easy as 1, 2, 3», SC 2011): no version of NumPy changes it.
    """
    steps = -(-width // WORDS)
    generator = np.random.Philox(key=key, counter=start * steps)
    raw = generator.random_raw(n * steps * WORDS // 2)
    return raw.astype("<u8").view("<u4").reshape(n, steps * WORDS)[:, :width]


def bernoulli(key: int, n_samples: int, n_segments: int, probability: float) -> NDArray[np.bool_]:
    """Return masks whose segments are kept independently; sample 0 keeps all.

    Ribeiro et al., «Why should I trust you?», KDD 2016; the first row is that of the `lime` package.

    Parameters
    ----------
    key : int
        From `key_of`.
    n_samples, n_segments : int
    probability : float
        Of a segment to be kept.

    Returns
    -------
    (n_samples, n_segments) bool array

    Examples
    --------
    >>> few = bernoulli(key_of(0, "a", "mask"), 3, 5, 0.5)
    >>> more = bernoulli(key_of(0, "a", "mask"), 9, 5, 0.5)
    >>> bool(few[0].all()), bool((more[:3] == few).all())
    (True, True)
    """
    masks = np.empty((n_samples, n_segments), dtype=np.bool_)
    threshold = round(probability * WORD_VALUES)
    for start in range(0, n_samples, BLOCK_SAMPLES):
        block = masks[start : start + BLOCK_SAMPLES]
        block[:] = random_words(key, start, len(block), n_segments) < threshold
    masks[0] = True
    return masks


def pack(masks: NDArray[np.bool_], n_bytes: int) -> NDArray[np.uint8]:
    """Return masks as bits, segment k in bit k mod 8 of byte k div 8, padded with zeros to `n_bytes` per sample.

    Examples
    --------
    >>> pack(np.array([[True, False, False, False, False, False, False, False, True]]), 3)
    array([[1, 1, 0]], dtype=uint8)
    """
    packed = np.packbits(masks, axis=-1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, n_bytes - packed.shape[-1])))


def unpack(packed: NDArray[np.uint8], n_segments: int) -> NDArray[np.bool_]:
    """Return packed masks as (…, n_segments) bool."""
    return np.unpackbits(packed, axis=-1, bitorder="little", count=n_segments).astype(np.bool_)
