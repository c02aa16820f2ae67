"""Tags and pictures of music files, read with mutagen.

A tag's statements about a picture's format and size are ignored in favour of its bytes.
"""

import base64
import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from .source_file import MAX_BYTES, why_unreadable

FRONT, OTHER = 3, 0  # ID3's picture types, also used by FLAC, Ogg and ASF
TYPES = (
    "other picture", "icon", "other icon", "front cover", "back cover", "leaflet page", "disc", "lead artist", "artist",
    "conductor", "band", "composer", "lyricist", "location", "recording", "performance", "video frame", "fish",
    "illustration", "band logo", "publisher logo",
)  # fmt: skip
DISC_IN_TITLE = re.compile(r"[\s,:-]*[(\[]?\b(cd|dis[ck])[ .#-]*[0-9]{1,2}[)\]]?$", re.IGNORECASE)
LINK = "-->"  # instead of a format: the data are the picture's URL


class Embedded(NamedTuple):
    """A picture in a music file: its type, an index of TYPES, and its bytes; None for a URL."""

    kind: int
    data: bytes | None


@dataclass(frozen=True)
class Track:
    """Tags of a music file; None if missing."""

    album: str | None = None
    album_artist: str | None = None
    artist: str | None = None
    genre: str | None = None
    year: str | None = None
    compilation: bool = False
    pictures: tuple[Embedded, ...] = ()
    error: str = ""  # why nothing could be read


def need_mutagen(folder: Path) -> None:
    """Raise ImportError for a folder with music if mutagen is not installed."""
    if find_spec("mutagen") is None:
        raise ImportError(
            f"{folder} contains music; its covers need mutagen, which is not installed; "
            "run: pip install 'album-gan[music]'"
        )


def read_track(path: Path) -> Track:
    """Tags and pictures of a music file. Never raises for invalid contents."""
    import mutagen
    import mutagen.id3

    try:
        opened = _WatchedFile(os.fspath(path))
    except OSError as error:
        return Track(error=why_unreadable(error))
    with io.BufferedReader(opened) as stream:
        try:
            try:
                file = mutagen.File(stream)
                tags = getattr(file, "tags", None)
            except mutagen.MutagenError:  # unknown format, but there may be a tag at the start
                file, tags = None, mutagen.id3.ID3(stream)
            track = _read_tags(tags, file)
            track = replace(track, album=DISC_IN_TITLE.sub("", track.album or "") or track.album)
        except mutagen.id3.ID3NoHeaderError:
            track = Track(error="its tags cannot be read")
        except Exception as error:  # broken files make mutagen raise struct.error, IndexError, ...
            track = Track(error=f"its tags cannot be read ({type(error).__name__})")
    return track if opened.failed is None else Track(error=why_unreadable(opened.failed))


class _WatchedFile(io.FileIO):
    """Remembers a failure to read, which mutagen takes for broken contents."""

    failed: OSError | None = None

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failed = error
            raise


def _read_tags(tags: Any, file: Any) -> Track:
    import mutagen.apev2
    import mutagen.asf
    import mutagen.id3
    import mutagen.mp4

    if tags is None:
        pictures = _blocks(getattr(file, "pictures", ()))
        return Track(pictures=pictures)
    if isinstance(tags, mutagen.id3.ID3):
        return _read_id3(tags)
    if isinstance(tags, mutagen.mp4.MP4Tags):
        covers = tags.get("covr", ())
        pictures = tuple(
            Embedded(OTHER if number else FRONT, _bounded(bytes(one))) for number, one in enumerate(covers)
        )
        names = ("\xa9alb", "aART", "\xa9ART", "\xa9gen", "\xa9day")
        return _track([_text(tags.get(name)) for name in names], bool(tags.get("cpil")), pictures)
    if isinstance(tags, mutagen.asf.ASFTags):
        pictures = tuple(filter(None, (_asf_picture(one.value) for one in tags.get("WM/Picture", ()))))
        names = ("WM/AlbumTitle", "WM/AlbumArtist", "Author", "WM/Genre", "WM/Year")
        return _track([_text(tags.get(name)) for name in names], _is_set(tags.get("WM/IsCompilation")), pictures)
    if isinstance(tags, mutagen.apev2.APEv2):
        pictures = tuple(_ape_pictures(tags))
        names = ("Album", "Album Artist", "Artist", "Genre", "Year")
        return _track([_text(tags.get(name)) for name in names], _is_set(tags.get("Compilation")), pictures)
    pictures = _blocks(getattr(file, "pictures", ())) + tuple(_comment_pictures(tags))
    artist = _text(tags.get("albumartist")) or _text(tags.get("album artist")) or _text(tags.get("album_artist"))
    artists = [artist, _text(tags.get("artist"))]
    year = _text(tags.get("date")) or _text(tags.get("year"))
    texts = [_text(tags.get("album")), *artists, _text(tags.get("genre")), year]
    return _track(texts, _is_set(tags.get("compilation")), pictures)


def _track(texts: list[str | None], compilation: bool, pictures: tuple[Embedded, ...]) -> Track:
    """`texts` are album, album artist, artist, genre and year."""
    album, album_artist, artist, genre, year = texts
    return Track(album, album_artist, artist, genre, year, compilation, pictures)


def _read_id3(tags: Any) -> Track:
    pictures = []
    for frame in tags.getall("APIC"):
        data = None if frame.mime == LINK else _bounded(frame.data)
        pictures.append(Embedded(_kind(frame.type), data))
    texts = [_text(tags.get(name)) for name in ("TALB", "TPE2", "TPE1")]
    genres = tags.get("TCON")
    genre = _text(genres.genres) if genres is not None else None
    year = _text(tags.get("TDRC")) or _text(tags.get("TDOR")) or _text(tags.get("TYER"))
    return _track([*texts, genre, year], _is_set(tags.get("TCMP")), tuple(pictures))


def _blocks(blocks: Iterable[Any]) -> tuple[Embedded, ...]:
    """Picture blocks of FLAC."""
    return tuple(Embedded(_kind(one.type), None if one.mime == LINK else _bounded(one.data)) for one in blocks)


def _comment_pictures(tags: Any) -> Iterator[Embedded]:
    """Picture blocks in comments of Ogg files, and the older convention."""
    from mutagen.flac import Picture

    for text in tags.get("metadata_block_picture") or ():
        try:
            yield from _blocks([Picture(base64.b64decode(text))])
        except Exception:  # broken blocks can raise anything
            yield Embedded(OTHER, b"broken")
    for text in tags.get("coverart") or ():
        try:
            yield Embedded(OTHER, _bounded(base64.b64decode(text)))
        except ValueError:
            yield Embedded(OTHER, b"broken")


def _asf_picture(value: bytes) -> Embedded | None:
    """Parse type, length, zero-terminated UTF-16 format and description, data."""
    start = 5
    texts = []
    for _ in range(2):
        end = next((at for at in range(start, len(value) - 1, 2) if value[at : at + 2] == b"\0\0"), None)
        if end is None:
            return None
        texts.append(value[start:end].decode("utf-16-le", "replace"))
        start = end + 2
    return Embedded(_kind(value[0]), None if texts[0] == LINK else _bounded(value[start:]))


def _ape_pictures(tags: Any) -> Iterator[Embedded]:
    for key in tags:
        if key.lower().startswith("cover art"):
            _, _, data = bytes(tags[key].value if isinstance(tags[key].value, bytes) else b"").partition(b"\0")
            yield Embedded(FRONT if "front" in key.lower() else TYPES.index("back cover"), _bounded(data))


def _kind(number: int) -> int:
    return int(number) if 0 <= int(number) < len(TYPES) else OTHER


def _bounded(data: bytes) -> bytes:
    return data if len(data) <= MAX_BYTES else b"over the limit"


def _text(value: Any) -> str | None:
    """The first text of a tag's value."""
    if value is None:
        return None
    value = getattr(value, "text", value)
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    value = getattr(value, "value", value)
    return str(value).strip() or None


def _is_set(value: Any) -> bool:
    return (_text(value) or "").lower() in ("1", "true", "yes")
