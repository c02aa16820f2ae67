"""Music libraries as a source: one cover per album, from the pictures in its tracks and beside them.

Tags and pictures are read by mutagen. What a tag says of a picture's format and size is ignored: its bytes decide.
"""

import base64
import hashlib
import io
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ...media.picture_formats import readable_formats
from ..folders import PICTURE_ENDINGS
from .cleaning import BACK_NAME
from .metadata import labels_from, labels_from_name
from .source_file import MAX_BYTES, Entry, Labels

MUSIC_ENDINGS = {
    ".mp3", ".flac", ".ogg", ".oga", ".opus", ".spx", ".m4a", ".m4b", ".m4p", ".mp4", ".wma", ".asf", ".wav", ".aif",
    ".aiff", ".ape", ".wv", ".mpc", ".tta", ".dsf",
}  # fmt: skip
DISC_FOLDER = re.compile(r"(cd|dis[ck]|dvd|vinyl|lp|side)[ ._-]*([0-9]{1,2}|[a-d])\b", re.IGNORECASE)
ART_FOLDER = re.compile(r"(art|artworks?|scans?|covers?|booklet|images?|pictures?)$", re.IGNORECASE)
# What players, beets, Picard, foobar2000 and the Windows Media Player call the front cover of a folder.
FRONT_NAME = re.compile(
    r"(cover|folder|front|album|artwork|albumart(small|large)?|albumart_\{.*\}_(small|large)|thumb)"
    r"([ ._-]*(front|art|cover|image))?([ ._-]*\(?[0-9]{1,2}\)?)?$",
    re.IGNORECASE,
)
# What lies in the folders of artists, above albums.
ARTIST_NAME = re.compile(r"(artist|band|fanart|backdrop|banner|logo|poster|clearart|discart|cdart|landscape)", re.I)
FRONT, OTHER = 3, 0  # ID3's types of pictures, which FLAC, Ogg and ASF share
TYPES = (
    "other picture", "icon", "other icon", "front cover", "back cover", "leaflet page", "disc", "lead artist", "artist",
    "conductor", "band", "composer", "lyricist", "location", "recording", "performance", "video frame", "fish",
    "illustration", "band logo", "publisher logo",
)  # fmt: skip
DISC_IN_TITLE = re.compile(r"[\s,:-]*[(\[]?\b(cd|dis[ck])[ .#-]*[0-9]{1,2}[)\]]?$", re.IGNORECASE)
LINK = "-->"  # in place of a format: the data are the address of the picture
SQUARE = 0.95  # shorter over longer side, below which another picture of the album is preferred
VARIOUS = "Various Artists"


class Embedded(NamedTuple):
    """A picture in a music file: its type, an index of TYPES, and its bytes; None for the address of one."""

    kind: int
    data: bytes | None


@dataclass(frozen=True)
class Track:
    """What a music file says; None where it says nothing."""

    album: str | None = None
    album_artist: str | None = None
    artist: str | None = None
    genre: str | None = None
    year: str | None = None
    compilation: bool = False
    pictures: tuple[Embedded, ...] = ()
    error: str = ""  # why nothing could be read


@dataclass(frozen=True)
class _Candidate:
    """A picture that may be an album's cover. `order` is smaller for a better one."""

    order: tuple
    name: str  # of the entry
    file: str  # that it comes from
    digest: str
    decodes: bool
    read: Callable[[], bytes]


@dataclass
class _Album:
    tracks: dict[str, Track] = field(default_factory=dict)  # file -> what is left of it without pictures
    pictures: list[_Candidate] = field(default_factory=list)


def is_music(name: str) -> bool:
    """Whether a file is music, by its name."""
    return os.path.splitext(name)[1].lower() in MUSIC_ENDINGS


def is_picture(name: str) -> bool:
    """Whether a file is a picture, by its name."""
    return os.path.splitext(name)[1].lower() in PICTURE_ENDINGS


def need_mutagen(folder: Path) -> None:
    """ImportError for a folder with music where its reader is not installed."""
    if find_spec("mutagen") is None:
        raise ImportError(
            f"{folder} holds music, whose covers mutagen reads, which is not installed; "
            "run: pip install 'album-gan[music]'"
        )


def album_folders(files: Iterable[str]) -> dict[str, str]:
    """The folder of each music file and picture of a library -> the folder of the album that it belongs to.

    "Album/CD 2" and "Album/Scans" belong to "Album". Folders without music at, beside or above them are missing.
    `files` are paths relative to the library, with "/".
    """
    files = list(files)
    with_music = {os.path.dirname(name) for name in files if is_music(name)}
    albums = {folder: _disc_parent(folder) for folder in with_music}
    homes = set(albums.values())
    for folder in {os.path.dirname(name) for name in files if is_picture(name)} - set(albums):
        above, last = os.path.split(folder)
        if folder in homes:
            albums[folder] = folder
        elif ART_FOLDER.match(last) and (above in albums or above in homes):
            albums[folder] = albums.get(above, above)
    return albums


def _disc_parent(folder: str) -> str:
    above, _, last = folder.rpartition("/")
    return above if above and DISC_FOLDER.match(last) else folder


def is_above_albums(name: str, homes: Iterable[str]) -> bool:
    """Whether a picture is that of an artist, or of a whole library: named so, in a folder above those of albums."""
    folder, _, base = name.rpartition("/")
    stem = os.path.splitext(base)[0]
    named = ARTIST_NAME.match(stem) or FRONT_NAME.match(stem)
    return bool(named) and any(
        home != folder and f"{home}/".startswith(f"{folder}/" if folder else "") for home in homes
    )


def album_entries(files: list[tuple[Path, Entry]]) -> Iterator[Entry]:
    """The music files and pictures of one folder of albums -> their entries, of which one per album is a cover.

    Of the pictures of an album, front covers come before pictures of no type, square before oblong, large before
    small; typed as anything else they are no covers. Pictures that do not decode come last.
    """
    albums, kinds = _gather(files)
    chosen: dict[str, tuple[_Candidate, Labels]] = {}
    reasons: dict[str, tuple[str, str]] = {}
    for album in albums:
        best = min(album.pictures, key=lambda picture: (not picture.decodes, *picture.order), default=None)
        if best is None:
            reasons |= {file: _why_none(track, kinds[file]) for file, track in album.tracks.items()}
            continue
        chosen.setdefault(best.file, (best, _labels(album, best)))
        others = {picture.file for picture in album.pictures} | set(album.tracks)
        reasons |= {file: ("same_album", f"the cover is {best.name}") for file in others if file not in chosen}
    for _, entry in files:
        if entry.name in chosen:
            picture, labels = chosen[entry.name]
            yield replace(entry, name=picture.name, read=picture.read, labels=labels, reason=None, lasting=True)
        elif entry.reason and not is_music(entry.name):
            yield entry
        else:
            reason, detail = reasons.get(entry.name, ("other_picture", ""))
            yield replace(entry, read=bytes, reason=reason, detail=detail)


def _gather(files: list[tuple[Path, Entry]]) -> tuple[list[_Album], dict[str, list[str]]]:
    """The albums of a folder with their candidates, and for each track what kinds of pictures it has."""
    tracks: dict[str, Track] = {}
    own: dict[str, list[_Candidate]] = defaultdict(list)
    kinds: dict[str, list[str]] = {}
    known: dict[str, tuple[bool, int, bool]] = {}  # digest of a picture -> what its bytes say
    for place, (path, entry) in enumerate(files):
        if not is_music(entry.name) or entry.reason not in (None, "too_many_bytes"):
            continue
        track = read_track(path)
        kinds[entry.name] = [LINK if one.data is None else TYPES[one.kind] for one in track.pictures]
        for index, picture in enumerate(track.pictures):
            if picture.data and picture.kind in (FRONT, OTHER):
                read = partial(_embedded, path, index)
                name = f"{entry.name} ({TYPES[picture.kind]})"
                order = (picture.kind != FRONT, place, index)
                own[entry.name].append(_candidate(picture.data, order, name, entry.name, read, known))
        tracks[entry.name] = replace(track, pictures=())
    pictures = [entry for _, entry in files if not entry.reason and not is_music(entry.name)]
    namesakes = {file: entry for entry in pictures for file in tracks if _is_named_after(entry.name, file)}
    apart = {file: entry.name for file, entry in namesakes.items()} | {file: own[file][0].digest for file in own}
    albums = _grouped(tracks, apart)
    for album in albums:
        for file in album.tracks:
            album.pictures += own[file]
    for place, entry in enumerate(pictures):
        stem = _stem(entry.name)
        front = bool(FRONT_NAME.match(stem))
        alone = len(albums) == len(pictures) == 1 and not (ARTIST_NAME.match(stem) or BACK_NAME.search(stem))
        for album in albums:
            title = _folded(_first(track.album for track in album.tracks.values()) or "")
            namesake = any(_is_named_after(entry.name, file) for file in album.tracks)
            named = (front and len(albums) == 1) or namesake or (title and title in _folded(stem))
            if named or front or alone:  # of a front for several albums those take it that have no other
                album.pictures.append(_beside(entry, (not named, place, 0), known))
    return albums, kinds


def _stem(name: str) -> str:
    return os.path.splitext(os.path.basename(name))[0]


def _is_named_after(picture: str, track: str) -> bool:
    """Whether a picture is called as a track, as downloaders do: "Song.jpg" or "Song Cover.jpg" beside "Song.mp3"."""
    track = _folded(_stem(track))
    rest = _folded(_stem(picture)).removeprefix(track)
    return bool(track) and rest != _folded(_stem(picture)) and rest in ("", "cover", "front", "art", "albumart")


def _beside(entry: Entry, order: tuple, known: dict) -> _Candidate:
    try:
        data = entry.read()
    except OSError:
        data = b""
    return _candidate(data, order, entry.name, entry.name, entry.read, known)


def _candidate(data: bytes, order: tuple, name: str, file: str, read: Callable[[], bytes], known: dict) -> _Candidate:
    digest = hashlib.sha256(data).hexdigest()
    if digest not in known:
        known[digest] = _looked_at(data)
    square, pixels, decodes = known[digest]
    return _Candidate((order[0], not square, -pixels, *order[1:]), name, file, digest, decodes, read)


def _looked_at(data: bytes) -> tuple[bool, int, bool]:
    """Whether a picture is square, its pixels, and whether it decodes."""
    try:
        with Image.open(io.BytesIO(data), formats=readable_formats()) as image:
            width, height = image.size
            image.draft("RGB", (64, 64))  # JPEG only: quickly
            image.load()
        return min(width, height) >= SQUARE * max(width, height), width * height, True
    except Exception:  # decoders raise whatever broken data lead them to
        return False, 0, False


def _grouped(tracks: dict[str, Track], pictures: dict[str, str]) -> list[_Album]:
    """Tracks of one folder by album.

    By album artist and title; without an album artist by title alone where the folder has one title, or the tracks say
    that they are of a compilation; else by artist and title. Those without a title stay together by their picture.
    """
    titles = {_folded(track.album) for track in tracks.values() if track.album}
    albums: dict[tuple, _Album] = defaultdict(_Album)
    for file, track in tracks.items():
        title = _folded(track.album or "")
        if not title:
            key = (next(iter(titles)),) if len(titles) == 1 else ("", pictures.get(file, ""))
        elif len(titles) == 1 and not _several(tracks):
            key = (title,)
        elif track.album_artist:
            key = (title, _folded(track.album_artist))
        elif track.compilation:
            key = (title, _folded(VARIOUS))
        else:
            key = (title, _folded(track.artist or ""))
        albums[key].tracks[file] = track
    return list(albums.values())


def _several(tracks: dict[str, Track]) -> bool:
    """Whether album artists differ, so that one title stands for several albums."""
    return len({_folded(track.album_artist) for track in tracks.values() if track.album_artist}) > 1


def _folded(text: str) -> str:
    """Letters and digits alone."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _labels(album: _Album, best: _Candidate) -> Labels:
    tracks = list(album.tracks.values())
    artists = {_folded(track.artist): track.artist for track in tracks if track.artist}
    artist = _first(track.album_artist for track in tracks)
    if artist is None:
        mixed = len(artists) > 1 or any(track.compilation for track in tracks)
        artist = VARIOUS if mixed else _first(artists.values())
    fields = {
        "artist": artist,
        "title": _first(track.album for track in tracks),
        "genre": _first(track.genre for track in tracks),
        "year": _first(track.year for track in tracks),
    }
    if fields["title"]:
        return labels_from(fields)
    folder = os.path.basename(_disc_parent(os.path.dirname(best.file)))
    single = next(iter(album.tracks)) if len(album.tracks) == 1 else ""
    return {**labels_from_name(single), **labels_from_name(f"{folder}.jpg"), **labels_from(fields)}


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)


def _why_none(track: Track, kinds: list[str]) -> tuple[str, str]:
    """Why no cover came of a track: the step that rejects it, and a detail."""
    if track.error:
        return "no_picture", track.error
    if LINK in kinds:
        return "linked_picture", ""
    return "no_picture", f"only: {', '.join(sorted(set(kinds)))}" if kinds else ""


def _embedded(path: Path, index: int) -> bytes:
    return read_track(path).pictures[index].data or b""


def read_track(path: Path) -> Track:
    """Tags and pictures of a music file. Never raises for what is in it."""
    import mutagen
    import mutagen.id3

    try:
        try:
            file = mutagen.File(path)
            tags = getattr(file, "tags", None)
        except mutagen.MutagenError:  # no music that it knows, but there may be a tag in front
            file, tags = None, mutagen.id3.ID3(path)
        track = _read_tags(tags, file)
        return replace(track, album=DISC_IN_TITLE.sub("", track.album or "") or track.album)
    except mutagen.id3.ID3NoHeaderError:
        return Track(error="its tags cannot be read")
    except Exception as error:  # broken files make mutagen raise struct.error, IndexError, ...
        return Track(error=f"its tags cannot be read ({type(error).__name__})")


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
    """Picture blocks in comments of Ogg files, and what players wrote before there were these."""
    from mutagen.flac import Picture

    for text in tags.get("metadata_block_picture") or ():
        try:
            yield from _blocks([Picture(base64.b64decode(text))])
        except Exception:  # whatever broken blocks lead the parser to
            yield Embedded(OTHER, b"broken")
    for text in tags.get("coverart") or ():
        try:
            yield Embedded(OTHER, _bounded(base64.b64decode(text)))
        except ValueError:
            yield Embedded(OTHER, b"broken")


def _asf_picture(value: bytes) -> Embedded | None:
    """The type, then the length, then format and description in UTF-16, each with a zero, then the data."""
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
