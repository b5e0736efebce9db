"""What a picture becomes in the dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError
from facelime_cli.preparing.looking import decoded
from facelime_cli.preparing.settings import operations_of, reading_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.operations import Prepared

    Pixels = NDArray[np.uint8]


def prepare_picture(task: tuple[Path | Pixels, Mapping[str, Any]]) -> Prepared:
    """Return a picture as it stands in the dataset. Worker processes call this.

    Parameters
    ----------
    task : tuple
        Pixels from `sources.pixels`, and settings from `settings_of`.

    Returns
    -------
    Prepared
    """
    from facelime_cli.core.images import UnreadableError, reason
    from facelime_cli.core.operations import prepare

    pixels, settings = task
    try:
        return prepare(decoded(pixels, reading_of(settings)).image, operations_of(settings))
    except (UnreadableError, MemoryError) as why:
        # It could be read when all files were looked at.
        name = pixels if isinstance(pixels, Path) else "a picture of the .npz file"
        raise FacelimeError(f"{name} {reason(why)}; repeat the command, which looks at all files again.") from why
