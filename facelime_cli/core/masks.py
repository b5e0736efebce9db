"""Masks: which segments of a picture each perturbed sample keeps.

Every mask is a function of seed, picture id and sample index alone, through a counter-based generator.
So it depends on no batch, shard or order, and a run can be extended.
A design is a function of (key, n_samples, n_segments, probability) that returns (n_samples, n_segments) bool.
True is where a segment is kept. The first rows of many are those of few, and row 0 keeps all.
"""

from __future__ import annotations

import hashlib
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
BLOCK_SAMPLES = 1024
"""Samples drawn at a time, so that their random words need little memory."""
HALF = WORD_VALUES // 2
ALL_KEPT = 1
"""Rows in front of every design's own: the full picture."""


def key_of(seed: int, picture_id: str, purpose: str) -> int:
    """Return the Philox key of a picture: the head of SHA-256 over purpose, seed and id.

    Parameters
    ----------
    seed : int
    picture_id : str
    purpose : str
        What is drawn: two purposes never share their random words.

    Returns
    -------
    int
        128 bits.
    """
    text = f"{purpose}\0{seed}\0{picture_id}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:16], "little")


def random_words(key: int, start: int, n: int, width: int) -> NDArray[np.uint32]:
    """Return `width` random 32-bit words for each sample `start`…`start + n - 1`.

    Parameters
    ----------
    key : int
        From `key_of`.
    start, n, width : int

    Returns
    -------
    (n, width) uint32 array

    Notes
    -----
    Raw output of Philox4x64-10, which no version of NumPy changes: Salmon et al., Parallel random numbers: as easy as
    1, 2, 3, SC 2011.
    """
    # Whole steps of the counter for each sample, so that a sample's words do not depend on where a block starts.
    steps = -(-width // WORDS)
    n_words = steps * WORDS
    generator = np.random.Philox(key=key, counter=start * steps)
    raw = generator.random_raw(n * n_words // 2)
    words = raw.astype("<u8").view("<u4")
    return words.reshape(n, n_words)[:, :width]


def bernoulli(key: int, n_samples: int, n_segments: int, probability: float) -> NDArray[np.bool_]:
    """Return masks whose segments are kept independently; sample 0 keeps all.

    Ribeiro et al., Why should I trust you?, KDD 2016. The first row is that of the `lime` package.

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
    for rows, words in _words(key, n_samples, n_segments):
        masks[rows] = words < threshold
    masks[0] = True
    return masks


def paired(key: int, n_samples: int, n_segments: int, probability: float) -> Masks:  # noqa: ARG001 - one signature
    """Return masks of which every second is the complement of the one before it; sample 0 keeps all.

    Rows (1, 2), (3, 4), … are pairs. What even orders of interaction do to the model's answer cancels within a pair.

    Parameters
    ----------
    key : int
        From `key_of`.
    n_samples, n_segments : int
    probability : float
        Not used: a segment is kept with 0.5, as a complement would have another probability.

    Returns
    -------
    (n_samples, n_segments) bool array
        The odd rows are those of `bernoulli`.

    References
    ----------
    Antithetic sampling: Hammersley and Morton, Mathematical Proceedings of the Cambridge Philosophical Society, 1956.

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
    """Return blocks of orthogonal masks, each followed by its complement; sample 0 keeps all.

    A block is a Hadamard matrix folded over. In it, each segment is kept in exactly half of the masks.
    Each two segments are kept together in exactly a quarter, each three in an eighth.
    The columns that stand for the segments, their signs and the order of the rows are random, anew in each block.

    Parameters
    ----------
    key : int
        From `key_of`.
    n_samples, n_segments : int
    probability : float
        Not used: a segment is kept with 0.5.

    Returns
    -------
    (n_samples, n_segments) bool array

    References
    ----------
    Plackett and Burman, Biometrika 33, 1946.
    Box and Wilson, Journal of the Royal Statistical Society B 13, 1951.

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
    n_blocks = -(-(n_samples - ALL_KEPT) // size)
    masks = np.ones((ALL_KEPT + n_blocks * size, n_segments), dtype=np.bool_)
    for block in range(n_blocks):
        words = random_words(key, block, 1, 3 * order)
        rows, columns, signs = words.reshape(3, order)
        chosen = _shuffled(columns)[:n_segments]
        flipped = signs[:n_segments] < HALF
        half = matrix[_shuffled(rows)][:, chosen] ^ flipped
        first = ALL_KEPT + block * size
        masks[first : first + size] = _with_complements(half)
    return masks[:n_samples]


def _with_complements(half: Masks) -> Masks:
    """Return masks with the complement of each after it."""
    pairs = np.stack([half, ~half], axis=1)
    return pairs.reshape(-1, half.shape[1])


def shapley(key: int, n_samples: int, n_segments: int, probability: float) -> Masks:  # noqa: ARG001 - as above
    """Return masks whose sizes follow the Shapley kernel, in pairs of complements; sample 0 keeps all, sample 1 none.

    A mask keeps s of K segments with probability proportional to (K - 1) / (s (K - s)), every subset of a size alike.
    Least squares on them, without weights but held to samples 0 and 1, estimates Shapley values.

    Parameters
    ----------
    key : int
        From `key_of`.
    n_samples, n_segments : int
    probability : float
        Not used: the kernel alone decides.

    Returns
    -------
    (n_samples, n_segments) bool array

    References
    ----------
    Lundberg and Lee, A unified approach to interpreting model predictions, NeurIPS 2017, theorem 2.
    Pairs: Covert and Lee, Improving KernelSHAP, AISTATS 2021.

    Examples
    --------
    >>> shapley(key_of(0, "a", "mask"), 6, 9, 0.5).sum(axis=1).tolist()
    [9, 0, 8, 1, 8, 1]
    """
    sizes = np.arange(1, n_segments)
    shares = np.cumsum(1 / (sizes * (n_segments - sizes)))
    # Limits among the values of a random word: a word between two of them means a size.
    limits = np.round(shares[:-1] / shares[-1] * WORD_VALUES)
    n_pairs = -(-n_samples // 2) - 1
    masks = np.zeros((2 + 2 * n_pairs, n_segments), dtype=np.bool_)
    masks[0] = True
    for rows, words in _words(key, n_pairs, 1 + n_segments):
        size = 1 + np.searchsorted(limits, words[:, 0], side="right")
        places = np.argsort(_shuffled(words[:, 1:]), axis=1)
        half = places < size[:, None]
        first = 2 + 2 * rows.start
        after = 2 + 2 * rows.stop
        masks[first:after] = _with_complements(half)
    return masks[:n_samples]


def exact(key: int, n_samples: int, n_segments: int, probability: float) -> Masks:  # noqa: ARG001 - as above
    """Return all masks there are; the first segments change fastest, sample 0 keeps all, the last none.

    Parameters
    ----------
    key : int
        Not used: nothing is drawn.
    n_samples, n_segments : int
        2 to the power of `n_segments` samples are all.
    probability : float
        Not used.

    Returns
    -------
    (n_samples, n_segments) bool array

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
    """Return how many masks of a design a picture needs: as many as asked for, but never more than an exact one has.

    Parameters
    ----------
    design : str
        A key of `choices.DESIGNS`.
    n_samples, n_segments : int

    Returns
    -------
    int

    Raises
    ------
    FacelimeError
        When not all masks of an exact design are asked for.

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
    """Return the block of each row: rows of one block depend on each other, blocks do not.

    Parameters
    ----------
    design : str
        A key of `choices.DESIGNS`.
    n_samples, n_segments : int

    Returns
    -------
    (n_samples,) int32 array
        0, 1, 2, … without gaps; the full picture is alone in block 0, the empty one of `shapley` in block 1.

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
    """Return blocks of a mask and its complement; the full picture in front is alone.

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
    """Return blocks of a mask and its complement; the full and the empty picture in front are alone.

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
    return rows // 2 + np.minimum(rows, 1)


def in_orders(rows: NDArray[np.int32], n_segments: int) -> NDArray[np.int32]:
    """Return blocks of one whole folded matrix; the full picture in front is alone.

    Parameters
    ----------
    rows : (S,) int32 array
        0, 1, 2, …
    n_segments : int

    Returns
    -------
    (S,) int32 array
    """
    size = 2 * _order(n_segments)
    return (rows - ALL_KEPT) // size + 1


def samples_of_part(
    blocks: NDArray[np.int32], design: str, part: tuple[int, int] | None
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the rows of part I of N, whole blocks in turn (`balanced`: pairs), and the blocks of these rows.

    The full picture, and the empty one of `shapley`, are in every part.

    Parameters
    ----------
    blocks : (S,) int32 array
        From `blocks`.
    design : str
        A key of `choices.DESIGNS`.
    part : (int, int), optional
        I and N, counted from 1. Without it, all rows.

    Returns
    -------
    rows : (R,) int64 array
    blocks : (R,) int32 array
        Numbered anew, without gaps.

    Raises
    ------
    FacelimeError
        When there are fewer blocks than parts.

    Examples
    --------
    >>> samples_of_part(blocks("paired", 9, 9), "paired", (2, 2))
    (array([0, 3, 4, 7, 8]), array([0, 1, 1, 2, 2], dtype=int32))
    """
    if part is None:
        return np.arange(len(blocks)), blocks
    i, n = part
    chosen_design = DESIGNS[design]
    shared = chosen_design.shared
    units = blocks
    if chosen_design.samples:
        # A folded matrix is too large a share: its pairs are independent enough, and there are more of them.
        units = loaded(chosen_design.samples)(np.arange(len(blocks), dtype=np.int32), 0)
    there = int(units[-1]) + 1 - shared
    if there < n:
        raise FacelimeError(
            f"{n} parts are more than the {there} independent samples (or pairs of them) that --design {design} has; "
            "ask for fewer parts, or perturb with more --samples."
        )
    in_turn = (units - shared) % n == i - 1
    rows = np.flatnonzero((units < shared) | in_turn)
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

    Folded over, even the column of ones is balanced, so that all columns can be used.
    """
    return 1 << (n_segments - 1).bit_length()


def _shuffled(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the permutation along the last axis that random words mean."""
    return np.argsort(words, axis=-1, kind="stable")


def pack(masks: NDArray[np.bool_], n_bytes: int) -> NDArray[np.uint8]:
    """Return masks as bits, segment k in bit k mod 8 of byte k div 8.

    Parameters
    ----------
    masks : (S, K) bool array
    n_bytes : int
        Bytes of a sample; those that no segment needs are 0.

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
    """Return packed masks as one truth value for each segment, the reverse of `pack`.

    Parameters
    ----------
    packed : (…, n_bytes) uint8 array
    n_segments : int

    Returns
    -------
    (…, n_segments) bool array
    """
    bits = np.unpackbits(packed, axis=-1, bitorder="little", count=n_segments)
    return bits.astype(np.bool_)
