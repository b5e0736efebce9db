"""Pictures of which one cell decides, and a network that looks at that cell alone: what is true of it is known."""

import numpy as np

from facelime_cli.models import backend
from tests.support import save_picture

SIDE, CELLS = 50, 5
"""Pictures of 5 × 5 cells of 10 pixels."""
PLANTED = 11
"""The cell that a planted model looks at: the third row's second one."""
CHECKER = np.where(np.indices((10, 10)).sum(axis=0) % 2, -1, 1)[..., None]
"""A pattern of mean 0: whatever stands in for it has none of it."""


def planted_pictures(folder):
    """Write noisy pictures whose planted cell has a chequered pattern, in one class the reverse of the other's."""
    rng = np.random.default_rng(5)
    top, left = (10 * place for place in divmod(PLANTED, CELLS))
    for number in range(24):
        label = ("dark", "bright")[number % 2]
        picture = rng.integers(60, 190, (SIDE, SIDE, 3), dtype=np.uint8)
        sign = 1 if label == "bright" else -1
        picture[top : top + 10, left : left + 10] = 125 + sign * 110 * CHECKER + rng.integers(-8, 9, (10, 10, 3))
        save_picture(folder / label / f"{number:02d}.png", picture)
    return folder


def planted_model(path):
    """Save a network whose log-odds are how much of the pattern the planted cell has."""
    keras = backend.keras()
    inputs = keras.Input((SIDE, SIDE, 3))
    answer = keras.layers.Dense(1, activation="sigmoid", name="answer")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, answer)
    weights = np.zeros((SIDE, SIDE, 3), np.float32)
    top, left = (10 * place for place in divmod(PLANTED, CELLS))
    weights[top : top + 10, left : left + 10] = CHECKER * 10 / 300
    model.set_weights([weights.reshape(-1, 1), np.zeros(1, np.float32)])
    model.save(path)
    return path
