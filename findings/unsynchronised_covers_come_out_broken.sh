#!/bin/sh
# tinytag 2.3.2: it ignores ID3's unsynchronisation, by which a tagger inserts a zero byte after many a 0xFF, so that
# old players do not take a picture for sound. JPEGs are full of 0xFF. In tags of version 2.4 the cover is handed over
# with the inserted bytes: its header decodes, and Pillow opens it and decodes it without an error or a warning, to a
# picture of the right size with the wrong content; if the frame says its length, too, four more bytes stand before it,
# and nothing can open it. In tags of version 2.3, where the whole tag is unsynchronised, the picture is cut off, too.
# Bandcamp's files have such tags, according to pull request 682 of lofty-rs. mutagen 1.48.1 and eyed3 0.9.9 return the
# picture in each case.
#
# Guess beforehand: the parser undoes it, and the picture comes back as it was.
# Seen, mean difference to the picture of 300 px: mutagen and eyed3 0 in all four; tinytag 0 in a plain tag, 83 of 255
# in version 2.4, and unreadable with the length or in version 2.3.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tinytag==2.3.2 mutagen==1.48.1 eyed3==0.9.9 \
    pillow==12.3.0 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import re
import warnings

import eyed3
import numpy as np
from mutagen.id3 import ID3
from PIL import Image
from tinytag import TinyTag

warnings.simplefilter("error")
colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
buffer = io.BytesIO()
Image.fromarray(colours).resize((300, 300), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
JPEG = buffer.getvalue()
CONTENT = b"\0image/jpeg\0\x03\0" + JPEG  # of an APIC frame: encoding, type of file, front cover, no description
SOUND = (b"\xff\xfb\x90\x00" + bytes(413)) * 10


def synchsafe(size):
    return bytes(size >> shift & 127 for shift in (21, 14, 7, 0))


def unsynchronise(data):
    """ID3v2.4, section 6.1."""
    return re.sub(rb"\xff(?=[\xe0-\xff\x00]|$)", b"\xff\x00", data, flags=re.DOTALL)


def tag(version, flags, frames):
    return b"ID3" + bytes([version, 0, flags]) + synchsafe(len(frames)) + frames + SOUND


def frame(flags, size, content):
    return b"APIC" + size + bytes([0, flags]) + content


plain = frame(0, len(CONTENT).to_bytes(4, "big"), CONTENT)
content = unsynchronise(CONTENT)
with_length = synchsafe(len(CONTENT)) + content
FILES = {
    "plain": tag(3, 0, plain),
    "version 2.3": tag(3, 0x80, unsynchronise(plain)),
    "version 2.4": tag(4, 0x80, frame(0x02, synchsafe(len(content)), content)),
    "version 2.4, length": tag(4, 0x80, frame(0x03, synchsafe(len(with_length)), with_length)),
}


def of_tinytag(name):
    picture = TinyTag.get(name, image=True).images.any
    return picture and picture.data


READERS = {
    "mutagen": lambda name: ID3(name).getall("APIC")[0].data,
    "eyed3": lambda name: eyed3.load(name).tag.images[0].image_data,
    "tinytag": of_tinytag,
}


def difference(data):
    """Mean difference to the picture, or what there is instead."""
    if data is None:
        return "no cover"
    try:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
    except OSError:
        return "unreadable"
    assert picture.size == (300, 300)
    return float(np.abs(np.asarray(picture, float) - np.asarray(Image.open(io.BytesIO(JPEG)), float)).mean())


seen = {}
for name, data in FILES.items():
    with open(f"{name}.mp3", "wb") as file:
        file.write(data)
    for reader, read in READERS.items():
        seen[name, reader] = difference(read(f"{name}.mp3"))
        print(f"{name:20} {reader:8} {seen[name, reader]}")
assert all(seen[name, reader] == 0 for name in FILES for reader in ("mutagen", "eyed3"))
assert seen["plain", "tinytag"] == 0
assert seen["version 2.3", "tinytag"] == "unreadable"
assert seen["version 2.4", "tinytag"] > 20
assert seen["version 2.4, length", "tinytag"] == "unreadable"
PYTHON
