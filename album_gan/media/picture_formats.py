"""Which picture formats are read. Loads without torch: processes that only decode pictures start with it."""

import functools

from PIL import Image

# Pictures only: Pillow would also hand EPS to Ghostscript, and read scientific and map data.
FORMATS = (
    "JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "TGA", "ICO", "PSD", "QOI",
)  # fmt: skip


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow reads: naming one that it lacks, as AVIF before 11.3, it refuses others too."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@functools.cache
def picture_endings() -> frozenset[str]:
    """Endings of files that may be covers, lower case with a dot: of the readable formats, without icons and drafts."""
    formats = {*readable_formats()} - {"ICO", "PSD"}
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats)
