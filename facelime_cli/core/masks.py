"""Masks: which segments of a picture each perturbed sample keeps.

Every mask is a function of seed, picture id and sample index alone, through a counter-based generator. So it does not
depend on batch, shard or order, and a run can be extended.

A design is a function of (key, n_samples, n_segments, probability). It returns (n_samples, n_segments) bool, True where
a segment is kept. Row 0 keeps all. More samples add rows and change none.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.choices import DESIGNS, loaded
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Masks = NDArray[np.bool_]

WORDS = 8
"""32-bit words in one step of the Philox counter (4 × 64 bits)."""
WORD_VALUES = 1 << 32
"""How many values a word can have."""
BLOCK_SAMPLES = 1024
"""Samples drawn at a time, so that their random words need little memory."""
HALF = WORD_VALUES // 2
"""Half of the words are below it."""
KEY_BYTES = 16
"""The key of Philox has 128 bits."""
ALL_KEPT = 1
"""Rows in front of every design's own: the full picture."""


def key_of(seed: int, picture_id: str, purpose: str) -> int:
    """Return the Philox key of a picture: the head of SHA-256 over purpose, seed and id.

    Parameters
    ----------
    seed : int
        The run's seed.
    picture_id : str
        The picture's `id`.
    purpose : str
        What is drawn, such as `mask`. Two purposes never share their random words.

    Returns
    -------
    int
        128 bits.
    """
    text = f"{purpose}\0{seed}\0{picture_id}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:KEY_BYTES], "little")


def random_words(key: int, start: int, n: int, width: int) -> NDArray[np.uint32]:
    """Return `width` random 32-bit words for each sample `start`…`start + n - 1`.

    Parameters
    ----------
    key : int
        From `key_of`.
    start, n : int
        First sample, and how many there are.
    width : int
        Words of a sample.

    Returns
    -------
    (n, width) uint32 array

    Notes
    -----
    The words are the raw output of Philox4x64-10, which no version of NumPy changes.

    References
    ----------
    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; NumPy's `Philox`.
    """
    # Whole steps of the counter for each sample, so that a sample's words do not depend on where a block starts.
    steps = math.ceil(width / WORDS)
    n_words = steps * WORDS
    first = start * steps
    generator = np.random.Philox(key=key, counter=first)
    # The generator gives 64 bits at a time, two words.
    raw = generator.random_raw(n * n_words // 2)
    words = raw.astype("<u8").view("<u4")
    per_sample = words.reshape(n, n_words)
    return per_sample[:, :width]


def bernoulli(key: int, n_samples: int, n_segments: int, probability: float) -> NDArray[np.bool_]:
    """Return masks whose segments are kept independently of each other. Sample 0 keeps all.

    Parameters
    ----------
    key : int
        From `key_of`.
    n_samples, n_segments : int
        Rows and columns.
    probability : float
        Chance of a segment to be kept, 0 to 1.

    Returns
    -------
    (n_samples, n_segments) bool array
        True = kept.

    References
    ----------
    Ribeiro, Singh and Guestrin, "Why should I trust you?", KDD 2016. The first row is that of the `lime` package.

    Examples
    --------
    >>> few = bernoulli(key_of(0, "a", "mask"), 3, 5, 0.5)
    >>> more = bernoulli(key_of(0, "a", "mask"), 9, 5, 0.5)
    >>> bool(few[0].all()), bool((more[:3] == few).all())
    (True, True)
    """
    masks = np.empty((n_samples, n_segments), dtype=np.bool_)
    threshold = round(probability * WORD_VALUES)
    for rows, words in _words(key, n_samples, n_segments):
        masks[rows] = words < threshold
    # The full picture is what an explanation is about, and the surrogate must know its answer.
    masks[0] = True
    return masks


def paired(key: int, n_samples: int, n_segments: int, probability: float) -> Masks:  # noqa: ARG001 - one signature
    """Return masks, each followed by its complement. Sample 0 keeps all.

    Parameters
    ----------
    key : int
        From `key_of`.
    n_samples, n_segments : int
        Rows and columns.
    probability : float
        Not used. A segment is kept with probability 0.5: a complement would have another one than its mask.

    Returns
    -------
    (n_samples, n_segments) bool array
        Rows (1, 2), (3, 4), … are pairs. The odd rows are those of `bernoulli`.

    Notes
    -----
    The effect of interactions of an even number of segments cancels within a pair.

    References
    ----------
    Hammersley and Morton, "A new Monte Carlo technique: antithetic variates", Mathematical Proceedings of the Cambridge
    Philosophical Society 52, 1956.

    Examples
    --------
    >>> masks = paired(key_of(0, "a", "mask"), 5, 9, 0.5)
    >>> bool((masks[1] ^ masks[2]).all()), bool((masks[3] ^ masks[4]).all())
    (True, True)
    """
    masks = bernoulli(key, n_samples, n_segments, 0.5)
    masks[2::2] = ~masks[1:-1:2]
    return masks


def balanced(key: int, n_samples: int, n_segments: int, probability: float) -> Masks:  # noqa: ARG001 - as above
    """Return blocks of orthogonal masks, each followed by its complement. Sample 0 keeps all.

    Parameters
    ----------
    key : int
        From `key_of`.
    n_samples, n_segments : int
        Rows and columns.
    probability : float
        Not used. A segment is kept with probability 0.5.

    Returns
    -------
    (n_samples, n_segments) bool array
        True = kept.

    Notes
    -----
    A block is a Hadamard matrix and its complement. In a block, each segment is kept in exactly half of the masks. Any
    two segments are kept together in exactly a quarter, and any three in an eighth. Each block draws anew which
    columns stand for the segments, their signs, and the order of the rows.

    References
    ----------
    Plackett and Burman, "The design of optimum multifactorial experiments", Biometrika 33, 1946, for the matrices; Box
    and Wilson, "On the experimental attainment of optimum conditions", Journal of the Royal Statistical Society B 13,
    1951, for the complements.

    Examples
    --------
    >>> block = balanced(key_of(0, "a", "mask"), 17, 6, 0.5)[1:]
    >>> block.sum(axis=0).tolist(), np.unique(np.triu(block.T.astype(int) @ block, 1)).tolist()
    ([8, 8, 8, 8, 8, 8], [0, 4])
    """
    from scipy.linalg import hadamard

    order = _order(n_segments)
    matrix = hadamard(order, dtype=np.int8) > 0
    size = 2 * order
    # The last block is made whole and then cut, so that more samples change none.
    drawn = n_samples - ALL_KEPT
    n_blocks = math.ceil(drawn / size)
    masks = np.ones((ALL_KEPT + n_blocks * size, n_segments), dtype=np.bool_)
    for block in range(n_blocks):
        words = random_words(key, block, 1, 3 * order)
        rows, columns, signs = words.reshape(3, order)
        chosen = _shuffled(columns)[:n_segments]
        flipped = signs[:n_segments] < HALF
        shuffled = matrix[_shuffled(rows)]
        half = shuffled[:, chosen] ^ flipped
        first = ALL_KEPT + block * size
        masks[first : first + size] = _with_complements(half)
    return masks[:n_samples]


def _with_complements(half: Masks) -> Masks:
    """Return masks with the complement of each after it."""
    pairs = np.stack([half, ~half], axis=1)
    return pairs.reshape(-1, half.shape[1])


def shapley(key: int, n_samples: int, n_segments: int, probability: float) -> Masks:  # noqa: ARG001 - as above
    """Return masks whose sizes follow the Shapley kernel, in pairs of complements. Sample 0 keeps all, sample 1 none.

    Parameters
    ----------
    key : int
        From `key_of`.
    n_samples, n_segments : int
        Rows and columns.
    probability : float
        Not used. The kernel alone decides.

    Returns
    -------
    (n_samples, n_segments) bool array
        True = kept.

    Notes
    -----
    A mask keeps s of K segments with a probability that is proportional to (K - 1) / (s (K - s)). All subsets of one
    size are equally likely. Least squares without weights on these masks, exact on samples 0 and 1, estimates Shapley
    values.

    References
    ----------
    Lundberg and Lee, "A unified approach to interpreting model predictions", NeurIPS 2017, theorem 2; Covert and Lee,
    "Improving KernelSHAP: practical Shapley value estimation using linear regression", AISTATS 2021, for the pairs.

    Examples
    --------
    >>> shapley(key_of(0, "a", "mask"), 6, 9, 0.5).sum(axis=1).tolist()
    [9, 0, 8, 1, 8, 1]
    """
    sizes = np.arange(1, n_segments)
    kernel = 1 / (sizes * (n_segments - sizes))
    shares = np.cumsum(kernel)
    # Limits among the values of a random word: a word between two of them means a size.
    limits = np.round(shares[:-1] / shares[-1] * WORD_VALUES)
    # The full and the empty picture are a pair of their own.
    n_pairs = math.ceil(n_samples / 2) - 1
    masks = np.zeros((2 + 2 * n_pairs, n_segments), dtype=np.bool_)
    masks[0] = True
    for rows, words in _words(key, n_pairs, 1 + n_segments):
        # A sample's first word decides how many segments it keeps, the others decide which.
        size = 1 + np.searchsorted(limits, words[:, 0], side="right")
        order = _shuffled(words[:, 1:])
        places = np.argsort(order, axis=1)
        half = places < size[:, None]
        first = 2 + 2 * rows.start
        after = 2 + 2 * rows.stop
        masks[first:after] = _with_complements(half)
    return masks[:n_samples]


def exact(key: int, n_samples: int, n_segments: int, probability: float) -> Masks:  # noqa: ARG001 - as above
    """Return all masks that exist. Sample 0 keeps all segments, the last one keeps none.

    Parameters
    ----------
    key : int
        Not used. Nothing is drawn.
    n_samples, n_segments : int
        Rows and columns. There are 2 to the power of `n_segments` masks.
    probability : float
        Not used.

    Returns
    -------
    (n_samples, n_segments) bool array
        The first segment changes from row to row, the next from every second row to the next, and so on.

    Examples
    --------
    >>> exact(0, 4, 2, 0.5).astype(int).tolist()
    [[1, 1], [0, 1], [1, 0], [0, 0]]
    """
    # Segment k of a mask is bit k of its number, and the masks count down.
    numbers = (1 << n_segments) - 1 - np.arange(n_samples)
    bits = numbers[:, None] >> np.arange(n_segments) & 1
    return np.asarray(bits, dtype=np.bool_)


def rows_in_use(design: str, n_samples: int, n_segments: int) -> int:
    """Return how many rows of a design a picture uses: all that are asked for, or all masks that exist for `exact`.

    Parameters
    ----------
    design : str
        A key of `choices.DESIGNS`.
    n_samples : int
        Samples that are asked for.
    n_segments : int
        Segments of the picture.

    Returns
    -------
    int

    Raises
    ------
    FacelimeError
        If an exact design needs more samples than are asked for.

    Examples
    --------
    >>> rows_in_use("balanced", 1000, 6), rows_in_use("exact", 1000, 6)
    (1000, 64)
    """
    if not DESIGNS[design].all_masks:
        return n_samples
    there = 1 << n_segments
    if there > n_samples:
        raise FacelimeError(
            f"{n_segments} segments have 2^{n_segments} = {there:,} masks, more than --samples {n_samples}; "
            "ask for fewer segments, for more samples, or choose another --design"
        )
    return there


def blocks(design: str, n_samples: int, n_segments: int) -> NDArray[np.int32]:
    """Return the block of each row. Rows of one block depend on each other, blocks do not.

    Parameters
    ----------
    design : str
        A key of `choices.DESIGNS`.
    n_samples, n_segments : int
        Rows and columns of the masks.

    Returns
    -------
    (n_samples,) int32 array
        0, 1, 2, … without gaps. The full picture is alone in block 0, the empty one of `shapley` in block 1.

    Examples
    --------
    >>> blocks("paired", 6, 9).tolist(), blocks("shapley", 6, 9).tolist(), blocks("balanced", 6, 2).tolist()
    ([0, 1, 1, 2, 2, 3], [0, 1, 2, 2, 3, 3], [0, 1, 1, 1, 1, 2])
    """
    rows = np.arange(n_samples, dtype=np.int32)
    found: NDArray[np.int32] = loaded(DESIGNS[design].blocks)(rows, n_segments)
    return found


def alone(rows: NDArray[np.int32], n_segments: int) -> NDArray[np.int32]:  # noqa: ARG001 - one signature for all blocks
    """Return blocks of one row each.

    Parameters
    ----------
    rows : (S,) int32 array
        0, 1, 2, …
    n_segments : int
        Not used.

    Returns
    -------
    (S,) int32 array
    """
    return rows


def in_pairs(rows: NDArray[np.int32], n_segments: int) -> NDArray[np.int32]:  # noqa: ARG001 - as above
    """Return blocks of a mask and its complement. The full picture in front is alone.

    Parameters
    ----------
    rows : (S,) int32 array
        0, 1, 2, …
    n_segments : int
        Not used.

    Returns
    -------
    (S,) int32 array
    """
    return (rows + 1) // 2


def in_pairs_after_two(rows: NDArray[np.int32], n_segments: int) -> NDArray[np.int32]:  # noqa: ARG001 - as above
    """Return blocks of a mask and its complement. The full and the empty picture in front are alone.

    Parameters
    ----------
    rows : (S,) int32 array
        0, 1, 2, …
    n_segments : int
        Not used.

    Returns
    -------
    (S,) int32 array
    """
    # Rows 0 and 1 would be a pair without the second term.
    return rows // 2 + np.minimum(rows, 1)


def in_orders(rows: NDArray[np.int32], n_segments: int) -> NDArray[np.int32]:
    """Return blocks of one matrix and its complement. The full picture in front is alone.

    Parameters
    ----------
    rows : (S,) int32 array
        0, 1, 2, …
    n_segments : int
        Segments of the picture, which decide the size of the matrix.

    Returns
    -------
    (S,) int32 array
    """
    size = 2 * _order(n_segments)
    return (rows - ALL_KEPT) // size + 1


def samples_of_share(
    blocks: NDArray[np.int32], design: str, share: tuple[int, int] | None
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the rows of share I of N of the samples, and the blocks of these rows.

    Parameters
    ----------
    blocks : (S,) int32 array
        From `blocks`.
    design : str
        A key of `choices.DESIGNS`.
    share : (int, int), optional
        I and N, counted from 1. All rows by default.

    Returns
    -------
    rows : (R,) int64 array
        Those of every N-th block (`balanced`: of every N-th pair). The full picture, and the empty one of `shapley`,
        are in every share.
    blocks : (R,) int32 array
        Numbered anew, without gaps.

    Raises
    ------
    FacelimeError
        If there are fewer blocks than shares.

    Examples
    --------
    >>> samples_of_share(blocks("paired", 9, 9), "paired", (2, 2))
    (array([0, 3, 4, 7, 8]), array([0, 1, 1, 2, 2], dtype=int32))
    """
    if share is None:
        return np.arange(len(blocks)), blocks
    i, n = share
    chosen_design = DESIGNS[design]
    shared = chosen_design.shared
    units = blocks
    if chosen_design.samples:
        # A matrix and its complement would make few, large shares. Their pairs are independent enough, and many more.
        rows_of_all = np.arange(len(blocks), dtype=np.int32)
        units = loaded(chosen_design.samples)(rows_of_all, 0)
    there = int(units[-1]) + 1 - shared
    if there < n:
        raise FacelimeError(
            f"{n} parts are more than the {there} independent samples (or pairs) that --design {design} has; "
            "ask for fewer parts (--part), or perturb with more --samples"
        )
    in_every_share = units < shared
    in_turn = (units - shared) % n == i - 1
    rows = np.flatnonzero(in_every_share | in_turn)
    _, numbered = np.unique(blocks[rows], return_inverse=True)
    return rows, numbered.astype(np.int32)


def _words(key: int, n: int, width: int) -> Iterator[tuple[slice, NDArray[np.uint32]]]:
    """Yield the random words of samples 0…n - 1, some samples at a time."""
    for start in range(0, n, BLOCK_SAMPLES):
        stop = min(start + BLOCK_SAMPLES, n)
        words = random_words(key, start, stop - start, width)
        yield slice(start, stop), words


def _order(n_segments: int) -> int:
    """Return the least power of two that is no less than the number of segments.

    With its complement even the column of ones is balanced. So all columns can be used.
    """
    return 1 << (n_segments - 1).bit_length()


def _shuffled(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the permutation along the last axis that sorts random words."""
    return np.argsort(words, axis=-1, kind="stable")


def pack(masks: NDArray[np.bool_], n_bytes: int) -> NDArray[np.uint8]:
    """Return masks as bits, segment k in bit k mod 8 of byte k div 8.

    Parameters
    ----------
    masks : (S, K) bool array
        True = kept.
    n_bytes : int
        Bytes of a sample. Those that no segment needs are 0.

    Returns
    -------
    (S, n_bytes) uint8 array

    Examples
    --------
    >>> pack(np.array([[True, False, False, False, False, False, False, False, True]]), 3)
    array([[1, 1, 0]], dtype=uint8)
    """
    packed = np.packbits(masks, axis=-1, bitorder="little")
    spare = n_bytes - packed.shape[-1]
    return np.pad(packed, ((0, 0), (0, spare)))


def unpack(packed: NDArray[np.uint8], n_segments: int) -> NDArray[np.bool_]:
    """Return packed masks as one truth value per segment. It is the reverse of `pack`.

    Parameters
    ----------
    packed : (…, n_bytes) uint8 array
        From `pack`.
    n_segments : int
        Segments of the picture. Later bits are left out.

    Returns
    -------
    (…, n_segments) bool array
        True = kept.
    """
    bits = np.unpackbits(packed, axis=-1, bitorder="little", count=n_segments)
    return bits.astype(np.bool_)
