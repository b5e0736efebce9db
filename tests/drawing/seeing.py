"""How colours look to others: simulated colour blindness, the difference that is left, and WCAG's contrast."""

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

KINDS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""On linear RGB, whole severity: Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of
color vision deficiency", IEEE Transactions on Visualization and Computer Graphics 15 (2009)."""


def linear(colour):
    """Return sRGB, 0 to 255, as light, 0 to 1."""
    share = np.asarray(colour, float) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def seen(colour, kind):
    """Return a colour as somebody with this kind of colour blindness sees it, sRGB 0 to 1."""
    light = np.clip(np.array(KINDS[kind]) @ linear(colour), 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def difference(one, other, kind):
    """Return CIEDE2000 between two colours as they are seen; 2.3 is just noticeable side by side."""
    return float(deltaE_ciede2000(*(rgb2lab(seen(each, kind)) for each in (one, other))))


def contrast(one, other):
    """Return WCAG's ratio of contrast between two colours, 1 to 21."""
    dark, bright = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (one, other))
    return (bright + 0.05) / (dark + 0.05)
