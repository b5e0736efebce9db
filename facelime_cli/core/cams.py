"""Class activation maps: where a convolution's maps speak for a class.

The functions take one picture's maps (h, w, n) and the gradients of the class's score (h, w, n), but `rollout`, which
takes the attention of a transformer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Maps = NDArray[np.float32]
    Floats = NDArray[np.float64]


def gradcam(maps: Maps, gradients: Maps) -> Floats:
    """Return the sum of the maps, each weighted by its mean gradient, where it is positive.

    Parameters
    ----------
    maps, gradients : (h, w, n) float32 array
        Output of a convolution, and the gradient of the class's score with respect to it.

    Returns
    -------
    (h, w) float64 array
        Not negative, without a unit.

    References
    ----------
    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
    equations 1 and 2.

    Examples
    --------
    >>> gradcam(np.array([[[1.0, 2.0], [3.0, 0.0]]]), np.array([[[1.0, -1.0], [1.0, 0.0]]])).tolist()
    [[0.0, 3.0]]
    """
    activations = maps.astype(np.float64)
    slope = gradients.astype(np.float64)
    weights = slope.mean(axis=(0, 1))
    return np.asarray(np.maximum(activations @ weights, 0))


def gradcam_plus_plus(maps: Maps, gradients: Maps) -> Floats:
    """Return the sum of the maps, each weighted by its positive gradients, those of rare places more.

    Parameters
    ----------
    maps, gradients : (h, w, n) float32 array
        Output of a convolution, and the gradient of the class's score with respect to it.

    Returns
    -------
    (h, w) float64 array
        Not negative, without a unit.

    Notes
    -----
    The class's score is the exponential of the one before the softmax, as in the paper. Its own size cancels out of
    the map's shape and is left out.

    References
    ----------
    Chattopadhyay et al., "Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional
    Networks", WACV 2018, equations 10 to 19.
    """
    activations = maps.astype(np.float64)
    slope = gradients.astype(np.float64)
    # Equation 19: with an exponential score, the second and third derivatives are powers of the first.
    square = slope**2
    denominator = 2 * square + activations.sum(axis=(0, 1)) * slope**3
    # Where no gradient is, the formula divides 0 by 0. Such a place has no share.
    share = np.divide(square, denominator, out=np.zeros_like(slope), where=denominator != 0)
    weights = (share * np.maximum(slope, 0)).sum(axis=(0, 1))
    return np.asarray(np.maximum(activations @ weights, 0))


def eigencam(maps: Maps, gradients: Maps) -> Floats:  # noqa: ARG001 - one signature for every variant
    """Return the first principal component of the maps, where it is positive.

    It asks for no score: the map is the same for every class.

    Parameters
    ----------
    maps : (h, w, n) float32 array
        Output of a convolution.
    gradients : (h, w, n) float32 array
        Not used.

    Returns
    -------
    (h, w) float64 array
        Not negative, without a unit.

    References
    ----------
    Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020.
    """
    n_maps = maps.shape[-1]
    flat = maps.reshape(-1, n_maps).astype(np.float64)
    _, _, directions = np.linalg.svd(flat, full_matrices=False)
    projected = flat @ directions[0]
    component = projected.reshape(maps.shape[:2])
    # A singular vector has no sign of its own: LAPACK's would make the map black on one machine and full on another.
    if not component.sum() > 0:
        component = -component
    return np.asarray(np.maximum(component, 0))


def rollout(attention: Maps, dropped: int, *, by_class_token: bool) -> Floats:
    """Return how much of each place reaches what speaks for the classes, through all layers of attention.

    It asks for no score: the map is the same for every class.

    Parameters
    ----------
    attention : (layers, T, T) float32 array
        The mean of the heads: how much each token (row) takes from each other. Rows sum to 1.
    dropped : int
        Tokens in front that are no places.
    by_class_token : bool
        Whether the first token speaks for the classes; otherwise the mean of the places does.

    Returns
    -------
    (T - dropped,) float64 array
        Not negative; with the tokens in front they would sum to 1.

    References
    ----------
    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3: half of each token comes from
    the layer's attention, half from itself past it.

    Examples
    --------
    >>> rollout(np.array([[[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]), 1, by_class_token=True).tolist()
    [0.5, 0.0]
    """
    itself = np.eye(attention.shape[-1])
    flow = itself
    for layer in attention.astype(np.float64):
        flow = (layer + itself) / 2 @ flow
    speaking = flow[0] if by_class_token else flow[dropped:].mean(axis=0)
    return np.asarray(speaking[dropped:])


def enlarged(cam: Floats, size: tuple[int, int]) -> Floats:
    """Return a map at the size of its picture, linear between the middles of its cells.

    Parameters
    ----------
    cam : (h, w) float64 array
        A map.
    size : (int, int)
        Height and width of the picture, in pixels.

    Returns
    -------
    (H, W) float64 array
    """
    height, width = size
    picture = Image.fromarray(cam.astype(np.float32))
    large = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(large, dtype=np.float64)


def pooled(cam: Floats, segments: NDArray[np.uint16]) -> Floats:
    """Return which share of a map lies on each segment.

    Parameters
    ----------
    cam : (h, w) float64 array
        It is enlarged to the size of the segments first. Negative values speak against the class.
    segments : (H, W) uint16 array
        The segment of each pixel, 0…K-1.

    Returns
    -------
    (K,) float64 array
        Absolute values sum to 1, or are 0 where the map is.

    Examples
    --------
    >>> pooled(np.array([[1.0, 3.0]]), np.array([[0, 1]], np.uint16)).tolist()
    [0.25, 0.75]
    """
    height, width = segments.shape
    large = enlarged(cam, (height, width))
    sums = np.bincount(segments.ravel(), weights=large.ravel())
    total = np.abs(sums).sum()
    # Shares, since maps of different layers and classes have no common scale.
    if total > 0:
        sums = sums / total
    return np.asarray(sums)
