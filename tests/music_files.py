"""Short music files of all containers, with tags and pictures as taggers write them, for tests."""

import base64
from pathlib import Path

import av
import mutagen
import mutagen.apev2
import mutagen.asf
import mutagen.flac
import mutagen.id3 as id3
import mutagen.mp4
import numpy as np
from pictures import encoded
from PIL import Image

CODECS = {
    "mp3": ("mp3", "libmp3lame", "s16p"), "flac": ("flac", "flac", "s16"), "ogg": ("ogg", "vorbis", "fltp"),
    "opus": ("ogg", "libopus", "s16"), "m4a": ("ipod", "aac", "fltp"), "wma": ("asf", "wmav2", "fltp"),
    "wv": ("wv", "wavpack", "s16p"),
}  # fmt: skip


def silence(path: Path) -> Path:
    """A tenth of a second, of Ogg Vorbis ten of noise, in the container that the ending of `path` says."""
    container, codec, layout = CODECS[path.suffix[1:]]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container) as output:
        rate = 48_000 if codec == "libopus" else 44_100
        stream = output.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "stereo", 128_000
        if codec == "vorbis":
            stream.codec_context.options = {"strict": "experimental"}  # what ffmpeg calls its own encoder
        kind = np.int16 if layout.startswith("s16") else np.float32
        shape = (2, 4_800) if layout.endswith("p") else (1, 9_600)
        sound = np.zeros(shape, kind)
        if codec == "vorbis":  # of which kid3 cannot edit files of a few pages
            sound = np.random.default_rng(0).normal(0, 0.1, (2, 441_000)).astype(kind)
        frame = av.AudioFrame.from_ndarray(sound, layout, "stereo")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return path


def picture(index: int, size: int = 140, kind: str = "JPEG") -> bytes:
    """No two are near duplicates."""
    pixels = np.random.default_rng(index).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC), kind)


def tag(path: Path, pictures: list[tuple[int, bytes]] = (), mime: str = "image/jpeg", **tags: str) -> Path:
    """Write pictures (type, bytes) and tags (album, albumartist, artist, genre, date, compilation) as the container has
    them."""
    file = mutagen.File(path)
    if isinstance(file.tags, mutagen.mp4.MP4Tags) or path.suffix == ".m4a":
        names = {"album": "\xa9alb", "albumartist": "aART", "artist": "\xa9ART", "genre": "\xa9gen", "date": "\xa9day"}
        for key, value in tags.items():
            file["cpil" if key == "compilation" else names[key]] = True if key == "compilation" else [value]
        if pictures:
            file["covr"] = [mutagen.mp4.MP4Cover(data) for _, data in pictures]
        file.save()
    elif path.suffix == ".mp3":
        names = {"album": id3.TALB, "albumartist": id3.TPE2, "artist": id3.TPE1, "genre": id3.TCON, "date": id3.TDRC,
                 "compilation": id3.TCMP}  # fmt: skip
        frames = id3.ID3()
        for key, value in tags.items():
            frames.add(names[key](encoding=3, text=value))
        for number, (kind, data) in enumerate(pictures):
            frames.add(id3.APIC(encoding=3, mime=mime, type=kind, desc=str(number), data=data))
        frames.save(path)
    elif path.suffix == ".wma":
        names = {"album": "WM/AlbumTitle", "albumartist": "WM/AlbumArtist", "artist": "Author", "genre": "WM/Genre",
                 "date": "WM/Year", "compilation": "WM/IsCompilation"}  # fmt: skip
        for key, value in tags.items():
            file[names[key]] = value
        blocks = [
            bytes([kind]) + len(data).to_bytes(4, "little") + f"{mime}\0\0".encode("utf-16-le") + data
            for kind, data in pictures
        ]
        if blocks:
            file["WM/Picture"] = [mutagen.asf.ASFByteArrayAttribute(block) for block in blocks]
        file.save()
    elif path.suffix == ".wv":
        names = {"album": "Album", "albumartist": "Album Artist", "artist": "Artist", "genre": "Genre", "date": "Year",
                 "compilation": "Compilation"}  # fmt: skip
        ape = mutagen.apev2.APEv2()
        for key, value in tags.items():
            ape[names[key]] = value
        for kind, data in pictures:
            name = "Front" if kind == 3 else "Back"
            ape[f"Cover Art ({name})"] = mutagen.apev2.APEValue(b"cover.jpg\0" + data, mutagen.apev2.BINARY)
        ape.save(path)
    else:
        for key, value in tags.items():
            file[key] = value
        blocks = [flac_block(kind, data, mime) for kind, data in pictures]
        if path.suffix == ".flac":
            for block in blocks:
                file.add_picture(block)
        elif blocks:
            file["metadata_block_picture"] = [base64.b64encode(block.write()).decode() for block in blocks]
        file.save()
    return path


def flac_block(kind: int, data: bytes, mime: str) -> mutagen.flac.Picture:
    block = mutagen.flac.Picture()
    block.type, block.data, block.mime = kind, data, mime
    block.width = block.height = 1  # what a tag says of the size is not to be believed
    return block


def id3v22(path: Path, data: bytes, album: str) -> Path:
    """The tag of ID3v2.2 in front of a file, whose frames have three letters: as the oldest taggers wrote it."""

    def frame(name: bytes, content: bytes) -> bytes:
        return name + len(content).to_bytes(3, "big") + content

    frames = frame(b"TAL", b"\0" + album.encode("latin-1")) + frame(b"PIC", b"\0JPG\x03\0" + data)
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    music = path.read_bytes()
    path.write_bytes(b"ID3\x02\0\0" + size + frames + music)
    return path
