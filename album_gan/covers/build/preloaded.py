"""Imports that each worker needs, loaded once by the process that they are forked from."""

from contextlib import suppress

from ...media.picture_formats import readable_formats
from . import candidates  # noqa: F401
from .workers import keep_pandas_out

keep_pandas_out()
readable_formats()
with suppress(ImportError):
    import cv2  # noqa: F401
with suppress(ImportError):
    import simplejpeg  # noqa: F401
