"""Which file endings are pictures."""

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"})
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
ARRAYS_SUFFIX = ".npz"
