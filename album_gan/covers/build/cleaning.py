"""Cleaning one file of a source into a square JPEG, or a reason to reject it.

Each step has a name, used to count it, show it in the report, and switch it on or off.
"""

import functools
import hashlib
import importlib
import io
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import ModuleType

import numpy as np
from PIL import Image

from ...media.colours import is_srgb, to_srgb
from ...media.picture_formats import readable_formats
from ..decoding import flattened, squared, turn_of
from . import perceptual_hash as perceptual
from .disc_detector import looks_like_disc
from .source_file import MAX_BYTES

MAX_PIXELS = 64_000_000  # of one picture, decoded: 8,000 x 8,000
BLANK_CONTRAST = 2.5  # standard deviation of brightness, 0 to 255
GREY_CONTRAST = 4  # difference between channels, 0 to 255, up to which a picture counts as grey

RESAMPLINGS = ("lanczos", "cubic")  # Pillow's, and OpenCV's, which is ten times as fast
JPEG_SCALES = (8, 4, 2, 1)  # JPEGs are decoded at a whole fraction of their size, as by Pillow's `draft`
BILINEAR_FROM = 1.5  # downscaling by more would alias with a cubic kernel of four pixels

# What happens to an affected file: it is rejected, repaired, or used with a flag.
STEPS = {
    "not_an_image": ("reject", "not a picture, judging by its contents"),
    "empty": ("reject", "zero bytes"),
    "truncated": ("reject", "a picture whose end is missing"),
    "corrupt": ("reject", "a picture that cannot be decoded"),
    "too_many_bytes": ("reject", f"a file over {MAX_BYTES >> 20} MB"),
    "too_many_pixels": ("reject", f"over {MAX_PIXELS / 1e6:.0f} million pixels: a decompression bomb, or a poster"),
    "unreadable": ("reject", "the disk or the archive cannot be read"),
    "unreadable_labels": ("reject", "a metadata file that is not a table with a column file_name, or in an archive"),
    "link": ("reject", "a link, which is not followed"),
    "not_a_file": ("reject", "a device, a pipe or a socket"),
    "hidden": ("reject", "a hidden file or folder, or a folder of thumbnails; not read"),
    "label_file": ("reject", "describes pictures, but is not one itself"),
    "same_album": ("reject", "another track or picture of an album that already has its cover"),
    "other_picture": ("reject", "next to or above music, but not a front cover"),
    "no_picture": ("reject", "music without a picture of its cover"),
    "linked_picture": ("reject", "music with a link to a picture, which is not fetched"),
    "too_small": ("reject", "the smaller side is below the minimum"),
    "not_square": ("reject", "more than a little would have to be cropped"),
    "near_blank": ("reject", "one flat colour"),
    "placeholder": ("reject", "the same file for many artists, such as 'no cover found'"),
    "exact_duplicate": ("reject", "the same bytes as a cover that is kept"),
    "near_duplicate": ("reject", "the same picture as a cover that is kept, in another file"),
    "wrong_extension": ("repair", "the file name has another format's extension"),
    "unsafe_name": ("repair", "an absolute path, or one with ..; only the bytes are used"),
    "animation": ("repair", "the first frame is used"),
    "exif_rotation": ("repair", "rotated upright"),
    "transparency": ("repair", "placed on white"),
    "cmyk": ("repair", "print colours, converted to RGB"),
    "sixteen_bit": ("repair", "16 bits per channel, reduced to 8"),
    "colour_profile": ("repair", "converted to sRGB from its own profile"),
    "cropped": ("repair", "not quite square; cropped to the centre"),
    "grayscale": ("flag", "no colour"),
    "disc_label": ("flag", "looks like a photograph of a disc or its label"),
    "back_cover": ("flag", "named like a back cover, booklet or disc"),
}  # fmt: skip
OF_SELECTION = ("placeholder", "exact_duplicate", "near_duplicate")  # found among cleaned files
NEEDED = frozenset(list(STEPS)[: list(STEPS).index("too_small")])  # these cannot be switched off

BACK_NAME = re.compile(
    r"(^|[_(\[.])((back|rear)([ _-]?cover)?|inlay|inside|inner|booklet|tray|matrix|obi|spine"
    r"|(cd|disc|disk|vinyl|label)s?)[ _-]?\d{0,2}[)\]]?$",
    re.IGNORECASE,
)
ENDINGS = {
    "JPEG": {"jpg", "jpeg", "jpe", "jfif"}, "MPO": {"jpg", "jpeg", "mpo"}, "TIFF": {"tif", "tiff"},
    "JPEG2000": {"jp2", "j2k", "jpx", "jpf", "jpc"}, "PPM": {"ppm", "pgm", "pbm", "pnm"}, "DIB": {"bmp", "dib"},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """How files are cleaned. Raises ValueError for impossible settings.

    `resolution` and `min_size` are in pixels, `max_crop` is the fraction of the longer side that may be cropped,
    `quality` is of the JPEGs, `resampling` one of RESAMPLINGS, of which cubic needs OpenCV. Steps in `reject` reject
    affected files, steps in `allow` are switched off.
    """

    resolution: int = 256
    min_size: int = 128
    max_crop: float = 0.05
    quality: int = 96
    resampling: str = "lanczos"
    reject: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, low, high in (("resolution", 16, 2048), ("min_size", 1, 4096), ("quality", 1, 100)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be from {low} to {high}, got {getattr(self, name)}; try the default")
        if not 0 <= self.max_crop <= 1:
            raise ValueError(f"max_crop must be from 0 to 1, got {self.max_crop}; 0.05 crops a little")
        if self.resampling not in RESAMPLINGS:
            raise ValueError(f"resampling must be one of {', '.join(RESAMPLINGS)}, got {self.resampling!r}; choose one")
        if self.resampling == "cubic" and not has_opencv():
            raise ImportError("resampling cubic needs OpenCV, which is missing; run: pip install 'album-gan[fast]'")
        for name in ("reject", "allow"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
            for step in getattr(self, name):
                if step not in STEPS:
                    raise ValueError(f"{name} must name steps, got {step!r}; choose from {', '.join(sorted(STEPS))}")
        if both := set(self.reject) & set(self.allow):
            raise ValueError(f"reject and allow must name different steps, got {', '.join(sorted(both))} in both")
        for step in self.allow:
            if step in NEEDED:
                raise ValueError(f"allow must name steps that can be left out, got {step!r}, which cannot")

    def rejects(self, step: str) -> bool:
        """Whether a file affected by `step` is rejected."""
        return step not in self.allow and (step in self.reject or STEPS[step][0] == "reject")


def has_opencv() -> bool:
    """Whether `resampling` may be cubic."""
    return find_spec("cv2") is not None


def opencv_version() -> str | None:
    """The installed version of OpenCV; other versions may round pixels differently."""
    if not has_opencv():
        return None
    import cv2

    return cv2.__version__


@dataclass
class Cleaned:
    """The result for one file: either `reason` or `jpeg` is None."""

    reason: str | None = None
    detail: str = ""
    notes: list[str] = field(default_factory=list)
    source_sha256: str = ""
    source_width: int = 0
    source_height: int = 0
    source_format: str | None = ""
    source_mode: str = ""
    source_bytes: int = 0
    jpeg: bytes | None = None
    width: int = 0
    height: int = 0
    dhash: int = 0
    phash: int = 0
    thumbnail: bytes | None = None
    example: "Pixels | None" = None  # of a rejected picture


Pixels = Image.Image | np.ndarray  # RGB; as an array uint8 (H, W, 3)


class _RejectedError(Exception):
    def __init__(self, step: str, detail: str = ""):
        super().__init__(step)
        self.step, self.detail = step, detail


def clean(data: bytes, name: str, settings: Cleaning) -> Cleaned:
    """Clean the bytes of the file called `name`. Never raises for invalid contents."""
    cleaned = Cleaned(source_bytes=len(data), source_sha256=hashlib.sha256(data).hexdigest())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of problems that are counted here anyway
            _clean(data, name, settings, cleaned)
    except _RejectedError as rejected:
        cleaned.reason, cleaned.detail, cleaned.jpeg = rejected.step, rejected.detail, None
    return cleaned


def _clean(data: bytes, name: str, settings: Cleaning, cleaned: Cleaned) -> None:
    def note(step: str, detail: str = "") -> None:
        if settings.rejects(step):
            raise _RejectedError(step, detail)
        if step not in settings.allow:
            cleaned.notes.append(step)

    image = _opened(data, cleaned)
    for step in _steps_of_file(image, name):
        note(step)
    pixels = _decoded(data, image, settings, note)
    cleaned.example = pixels
    width, height = cleaned.source_width, cleaned.source_height
    if min(width, height) < settings.min_size:
        note("too_small", f"{width}x{height} pixels, at least {settings.min_size} required")
    if width != height:
        lost = 1 - min(width, height) / max(width, height)
        note("not_square" if lost > settings.max_crop else "cropped", f"{width}x{height} pixels")

    side = min(settings.resolution, width, height)
    image = squared_by_opencv(pixels, side) if settings.resampling == "cubic" else squared(as_image(pixels), side)
    thumbnail = perceptual.thumbnail(image)
    grey = perceptual.grey(thumbnail)
    levels = grey.astype(np.float32)
    contrast = np.linalg.norm(levels - levels.mean()) / perceptual.SIDE  # the standard deviation, but faster
    if contrast < BLANK_CONTRAST and np.asarray(image).reshape(-1, 3).std(0).max() < 3 * BLANK_CONTRAST:
        note("near_blank", f"contrast {contrast:.1f}, at least {BLANK_CONTRAST} required")
    channels = perceptual.colour(thumbnail).astype(int)
    if np.ptp(channels, axis=2).max() <= GREY_CONTRAST:
        note("grayscale")
    if looks_like_disc(grey):
        note("disc_label")

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=settings.quality)
    cleaned.jpeg, (cleaned.width, cleaned.height) = buffer.getvalue(), image.size
    cleaned.dhash, cleaned.phash = perceptual.difference_hash(grey), perceptual.cosine_hash(grey)
    cleaned.thumbnail = thumbnail.tobytes()


def squared_by_opencv(pixels: Pixels, resolution: int) -> Image.Image:
    """As `squared`, for pixels of at most twice `resolution`, as after reduced-size JPEG decoding."""
    height, width = pixels.shape[:2] if isinstance(pixels, np.ndarray) else pixels.size[::-1]
    side = min(width, height)
    ratio = side / resolution
    if ratio == 1 or ratio > 2:
        return squared(as_image(pixels), resolution)
    left, top = (width - side) // 2, (height - side) // 2
    square = np.asarray(pixels)[top : top + side, left : left + side]
    cv2 = _opencv()
    kernel = cv2.INTER_CUBIC if ratio <= BILINEAR_FROM else cv2.INTER_LINEAR
    return Image.fromarray(cv2.resize(square, (resolution, resolution), interpolation=kernel))


@functools.cache
def _opencv() -> ModuleType:
    import cv2

    cv2.setNumThreads(1)  # every core has a worker
    return cv2


@functools.cache
def _simplejpeg() -> ModuleType | None:
    return importlib.import_module("simplejpeg") if find_spec("simplejpeg") else None


def as_image(pixels: Pixels) -> Image.Image:
    """Pixels as a Pillow image."""
    return Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels


def _opened(data: bytes, cleaned: Cleaned) -> Image.Image:
    if not data:
        raise _RejectedError("empty")
    try:
        image = Image.open(io.BytesIO(data), formats=readable_formats())
    except Image.DecompressionBombError as error:
        raise _RejectedError("too_many_pixels", str(error)) from error
    except Exception as error:  # broken headers can raise anything
        if _ends_early(data, error):
            raise _RejectedError("truncated", _first_line(error)) from error
        known = data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF"))
        raise _RejectedError("corrupt" if known else "not_an_image", _first_line(error)) from error
    cleaned.source_width, cleaned.source_height = image.size
    cleaned.source_format, cleaned.source_mode = image.format, image.mode
    if image.width * image.height > MAX_PIXELS:
        raise _RejectedError("too_many_pixels", f"{image.width}x{image.height} pixels")
    return image


def _ends_early(data: bytes, error: Exception) -> bool:
    """Whether the end of a picture is missing, according to its decoder or its own length field."""
    if any(word in str(error).lower() for word in ("truncated", "premature", "unexpected end")):
        return True
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):  # consecutive boxes, each with its length
        at = 0
        while at + 8 <= len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            if length < 8:
                return False
            at += length
        return at != len(data)
    return False


def _steps_of_file(image: Image.Image, name: str) -> list[str]:
    """The steps that apply by a picture's name and header."""
    steps = []
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name.startswith(("/", "\\")) or name[1:3] == ":\\":
        steps.append("unsafe_name")
    stem, ending = os.path.splitext(parts[-1])
    kind = image.format or ""
    expected = ENDINGS.get(kind, {kind.lower()})
    if re.fullmatch(r"\.[A-Za-z]\w{1,4}", ending) and ending[1:].lower() not in expected:
        steps.append("wrong_extension")
    if BACK_NAME.search(stem):
        steps.append("back_cover")
    return steps


def _decoded(data: bytes, image: Image.Image, settings: Cleaning, note: Callable[[str], None]) -> Pixels:
    """Decode to upright sRGB pixels; calls `note` for each step."""
    plain = _plain_jpeg(data, image, settings)
    if plain is not None:
        return plain
    try:
        deep = image.mode[0] in "IF" or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
        turn = turn_of(image)  # may decode the whole picture, because EXIF may come last
        profile = image.info.get("icc_profile")
        image.draft("RGB", (settings.resolution, settings.resolution))  # JPEG only: decode no larger than needed
        image.load()
        cmyk = image.mode == "CMYK"
        upright = image if turn is None else image.transpose(turn)
        transparent = upright.has_transparency_data and _shows_transparency(upright)
        converted = to_srgb(upright, profile) if profile else None
        flat = flattened(upright if converted is None else converted)
    except Image.DecompressionBombError as error:
        raise _RejectedError("too_many_pixels", _first_line(error)) from error
    except Exception as error:  # OSError, SyntaxError, struct.error, IndexError: each decoder has its own
        step = "truncated" if _ends_early(data, error) else "corrupt"
        raise _RejectedError(step, _first_line(error)) from error
    for step, shown in (
        ("animation", animated),
        ("exif_rotation", turn is not None),
        ("sixteen_bit", deep),
        ("cmyk", cmyk),
        ("colour_profile", converted is not None),
        ("transparency", transparent),
    ):
        if shown:
            note(step)
    return flat


def _plain_jpeg(data: bytes, image: Image.Image, settings: Cleaning) -> np.ndarray | None:
    """The same pixels as Pillow's, but faster and without a copy; None for pictures that need more than decoding."""
    decoder = _simplejpeg()
    if decoder is None or settings.resampling != "cubic" or (image.format, image.mode) != ("JPEG", "RGB"):
        return None
    profile = image.info.get("icc_profile")
    if turn_of(image) is not None or (profile and not is_srgb(profile)):
        return None
    scale = next(scale for scale in JPEG_SCALES if scale == 1 or min(image.size) // settings.resolution >= scale)
    width, height = (-(-side // scale) for side in image.size)
    try:
        pixels = decoder.decode_jpeg(data, min_width=width, min_height=height, min_factor=1)
    except ValueError:  # damaged or unusual: leave it to Pillow
        return None
    return pixels if pixels.shape == (height, width, 3) else None


def _shows_transparency(image: Image.Image) -> bool:
    return bool((np.asarray(image.convert("RGBA"))[..., 3] < 255).any())


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    # Addresses of objects differ from run to run, and two builds must give the same bytes.
    return "unknown kind of picture" if text.startswith("cannot identify image file") else text[:200]
