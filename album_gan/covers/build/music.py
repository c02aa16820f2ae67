"""Music libraries as a source: one cover per album, from pictures in and next to its tracks."""

import hashlib
import io
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from PIL import Image

from ...media.picture_formats import picture_endings, readable_formats
from .cleaning import BACK_NAME
from .metadata import labels_from, labels_from_name, letters_and_digits
from .music_tags import FRONT, LINK, OTHER, TYPES, Track, read_track
from .source_file import NOT_READ_NOW, Entry, Labels, with_bytes

MUSIC_ENDINGS = {
    ".mp3", ".flac", ".ogg", ".oga", ".opus", ".spx", ".m4a", ".m4b", ".m4p", ".mp4", ".wma", ".asf", ".wav", ".aif",
    ".aiff", ".ape", ".wv", ".mpc", ".tta", ".dsf",
}  # fmt: skip
DISC_FOLDER = re.compile(r"(cd|dis[ck]|dvd|vinyl|lp|side)[ ._-]*([0-9]{1,2}|[a-d])\b", re.IGNORECASE)
ART_FOLDER = re.compile(r"(art|artworks?|scans?|covers?|booklet|images?|pictures?)$", re.IGNORECASE)
# What players, beets, Picard, foobar2000 and the Windows Media Player call the front cover of a folder.
FRONT_NAME = re.compile(
    r"(cover|folder|front|album|artwork|albumart(small|large)?|albumart_\{.*\}_(small|large)|thumb)"
    r"([ ._-]*(front|art|cover|image))?(?P<number>[ ._-]*\(?[0-9]{1,2}\)?)?$",
    re.IGNORECASE,
)
# Names of pictures in artists' folders, above albums.
ARTIST_NAME = re.compile(
    r"(artist|band|fanart|backdrop|banner|(clear)?logo|poster|clearart|discart|cdart|landscape)"
    r"(?P<number>[ ._-]*\(?[0-9]{1,2}\)?)?$",
    re.IGNORECASE,
)
SQUARE = 0.95  # shorter over longer side, below which another picture of the album is preferred
VARIOUS = "Various Artists"


@dataclass(frozen=True)
class _Candidate:
    """A picture that may be an album's cover. `order` is smaller for a better one."""

    order: tuple
    name: str  # of the entry
    file: str  # that it comes from
    digest: str
    decodes: bool
    read: Callable[[], bytes]
    error: str = ""  # why it could not be read


@dataclass
class _Album:
    tracks: dict[str, Track] = field(default_factory=dict)  # file -> its tags without pictures
    pictures: list[_Candidate] = field(default_factory=list)


def is_music(name: str) -> bool:
    """Whether a file is music, by its name."""
    return os.path.splitext(name)[1].lower() in MUSIC_ENDINGS


def is_picture(name: str) -> bool:
    """Whether a file is a picture, by its name."""
    return os.path.splitext(name)[1].lower() in picture_endings()


def album_folders(files: Iterable[str]) -> dict[str, str]:
    """{folder of music files and pictures in a library: the folder of their album}.

    "Album/CD 2" and "Album/Scans" belong to "Album". Folders without music in, next to or above them are left out.
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
    """Whether a picture is of an artist or a whole library, by its name and its folder, which is above albums.

    Numbered pictures are not: a pile of cover1.jpg, cover2.jpg, ... may contain a folder of music, too.
    """
    folder, _, base = name.rpartition("/")
    stem = os.path.splitext(base)[0]
    named = ARTIST_NAME.match(stem) or FRONT_NAME.match(stem)
    return bool(named and not named["number"]) and any(
        home != folder and f"{home}/".startswith(f"{folder}/" if folder else "") for home in homes
    )


def album_entries(files: list[tuple[Path, Entry]]) -> Iterator[Entry]:
    """Entries for the music files and pictures of one folder of albums, one per album being the cover.

    Front covers are preferred to pictures of unknown type, square ones to oblong, large ones to small; pictures of
    other types are not covers. Pictures that do not decode come last.
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
    for album in albums:  # last: the next build reads again what this one could not
        errors = [(file, track.error) for file, track in album.tracks.items()]
        errors += [(picture.file, picture.error) for picture in album.pictures]
        reasons |= {file: ("unreadable", error) for file, error in errors if error.startswith(NOT_READ_NOW)}
    for _, entry in files:
        if entry.name in chosen:
            picture, labels = chosen[entry.name]
            yield replace(entry, name=picture.name, read=picture.read, labels=labels, reason=None, lasting=True)
        elif entry.reason and not _is_read(entry):
            yield entry
        else:
            reason, detail = reasons.get(entry.name, ("other_picture", ""))
            yield replace(entry, read=bytes, reason=reason, detail=detail)


def _gather(files: list[tuple[Path, Entry]]) -> tuple[list[_Album], dict[str, list[str]]]:
    """The albums of a folder with their candidates, and the kinds of pictures in each track."""
    tracks: dict[str, Track] = {}
    own: dict[str, list[_Candidate]] = defaultdict(list)
    kinds: dict[str, list[str]] = {}
    known: dict[str, tuple[bool, int, bool]] = {}  # digest of a picture -> result of `_looked_at`
    for place, (path, entry) in enumerate(files):
        if not is_music(entry.name) or not _is_read(entry):
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
            title = letters_and_digits(_first(track.album for track in album.tracks.values()) or "")
            namesake = any(_is_named_after(entry.name, file) for file in album.tracks)
            named = (front and len(albums) == 1) or namesake or (title and title in letters_and_digits(stem))
            if named or front or alone:  # a front cover for several albums is for those without another
                album.pictures.append(_beside(entry, (not named, place, 0), known))
    return albums, kinds


def _is_read(entry: Entry) -> bool:
    """Whether a file is looked into: music may be of any size."""
    return entry.reason is None or (is_music(entry.name) and entry.reason == "too_many_bytes")


def _stem(name: str) -> str:
    return os.path.splitext(os.path.basename(name))[0]


def _is_named_after(picture: str, track: str) -> bool:
    """Whether a picture is named like a track, as by downloaders: "Song.jpg" or "Song Cover.jpg" for "Song.mp3"."""
    track, picture = letters_and_digits(_stem(track)), letters_and_digits(_stem(picture))
    rest = picture.removeprefix(track)
    return bool(track) and rest != picture and rest in ("", "cover", "front", "art", "albumart")


def _beside(entry: Entry, order: tuple, known: dict) -> _Candidate:
    read = with_bytes(entry)
    candidate = _candidate(read.read(), order, entry.name, entry.name, entry.read, known)
    return replace(candidate, error=read.detail)


def _candidate(data: bytes, order: tuple, name: str, file: str, read: Callable[[], bytes], known: dict) -> _Candidate:
    digest = hashlib.sha256(data).hexdigest()
    if digest not in known:
        known[digest] = _looked_at(data)
    square, pixels, decodes = known[digest]
    return _Candidate((order[0], not square, -pixels, *order[1:]), name, file, digest, decodes, read)


def _looked_at(data: bytes) -> tuple[bool, int, bool]:
    """Whether a picture is square, its number of pixels, and whether it decodes."""
    try:
        with Image.open(io.BytesIO(data), formats=readable_formats()) as image:
            width, height = image.size
            image.draft("RGB", (64, 64))  # JPEG only: quickly
            image.load()
        return min(width, height) >= SQUARE * max(width, height), width * height, True
    except Exception:  # broken data can raise anything
        return False, 0, False


def _grouped(tracks: dict[str, Track], pictures: dict[str, str]) -> list[_Album]:
    """Tracks of one folder by album.

    By album artist and title; without an album artist by title alone if the folder has one title, or the tracks are
    tagged as a compilation; else by artist and title. Tracks without a title are grouped by their picture.
    """
    titles = {letters_and_digits(track.album) for track in tracks.values() if track.album}
    albums: dict[tuple, _Album] = defaultdict(_Album)
    for file, track in tracks.items():
        title = letters_and_digits(track.album or "")
        if not title:
            key = (next(iter(titles)),) if len(titles) == 1 else ("", pictures.get(file, ""))
        elif len(titles) == 1 and not _several(tracks):
            key = (title,)
        elif track.album_artist:
            key = (title, letters_and_digits(track.album_artist))
        elif track.compilation:
            key = (title, letters_and_digits(VARIOUS))
        else:
            key = (title, letters_and_digits(track.artist or ""))
        albums[key].tracks[file] = track
    return list(albums.values())


def _several(tracks: dict[str, Track]) -> bool:
    """Whether album artists differ, so that one title is several albums."""
    return len({letters_and_digits(track.album_artist) for track in tracks.values() if track.album_artist}) > 1


def _labels(album: _Album, best: _Candidate) -> Labels:
    tracks = list(album.tracks.values())
    artists = {letters_and_digits(track.artist): track.artist for track in tracks if track.artist}
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
    """Why a track gave no cover: the step that rejects it, and a detail."""
    if track.error:
        return "no_picture", track.error
    if LINK in kinds:
        return "linked_picture", ""
    return "no_picture", f"only: {', '.join(sorted(set(kinds)))}" if kinds else ""


def _embedded(path: Path, index: int) -> bytes:
    return read_track(path).pictures[index].data or b""
