"""Pictures stand upright: a camera that was held on its side says so beside the pixels."""

from __future__ import annotations

from PIL import ExifTags, Image

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How a picture is turned by each value of the tag (Exif 2.32, 4.6.4)."""
HOLDERS = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""Where Pillow finds the tag, but for TIFF."""


def upright(picture: Image.Image) -> Image.Image:
    """Return a picture as it was meant to be seen.

    Pillow's own function also writes the other tags anew, and many a camera's cannot be written.

    Parameters
    ----------
    picture : Image

    Returns
    -------
    Image
        Decoded. The same where nothing is to be turned.
    """
    # Decoding first: a TIFF file is turned by Pillow then, and says no more that it should be.
    picture.load()
    # Looking for a tag costs more than a small picture, where nothing is there to hold it.
    if picture.info.keys().isdisjoint(HOLDERS):
        return picture
    turn = TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    return picture if turn is None else picture.transpose(turn)
