"""Which file endings are pictures, and which are label maps."""

# Spelled out, not asked of Pillow: a folder must hold the same pictures whatever plugins an installation has.
PICTURE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".dib",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
    }
)
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
ARRAYS_SUFFIX = ".npz"
NUMPY_SUFFIX = ".npy"
LABEL_SUFFIXES = (".png", ".tif", ".tiff", NUMPY_SUFFIX)
"""Formats that keep whole numbers as they are. JPEG would mix neighbouring labels into new ones."""
