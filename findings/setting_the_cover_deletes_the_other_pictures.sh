#!/bin/sh
# Music files with several pictures (front, back, booklet; each has a type): three libraries lose pictures when a cover is
# set. mutagen 1.48.1: `ID3.add` of a back cover replaces the front cover, if both have the same description, an empty one,
# say; its key is the description, without the type. (A file that has two such pictures is read with both.) mediafile 0.17.0, of
# beets: to set `art` deletes all pictures, and writes the new cover as type 0, "other", although reading `art` prefers
# type 3, the front. music-tag 0.4.3: to set `artwork` deletes all pictures, and `artwork.first` is whichever comes first in
# the file, the back cover, if need be.
#
# Guess beforehand: setting the cover replaces the picture of type 3 and leaves the others; the type is part of the key.
# Seen, as (type, description): mutagen [(4, '')] after adding 3, then 4; mediafile [(0, '')] from 4 and 3; music-tag's
# first is the back cover, and [(3, '0')] after setting.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mutagen==1.48.1 mediafile==0.17.0 music-tag==0.4.3 \
    pillow==12.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io

import music_tag
from mediafile import MediaFile
from mutagen.id3 import APIC, ID3
from PIL import Image

FRONT, BACK = 3, 4


def picture(colour):
    content = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(content, "PNG")
    return content.getvalue()


front, back, new = picture("red"), picture("blue"), picture("green")


def write(name, *pictures):
    """Five seconds of silence, MPEG-1 Layer III, with pictures (type, description, content) added in this order."""
    open(name, "wb").write((bytes([0xFF, 0xFB, 0x90, 0x00]) + bytes(413)) * 200)
    tags = ID3()
    for kind, description, content in pictures:
        tags.add(APIC(encoding=3, mime="image/png", type=kind, desc=description, data=content))
    tags.save(name)


def pictures(name):
    return [(int(picture.type), picture.desc) for picture in ID3(name).getall("APIC")]


write("a.mp3", (FRONT, "", front), (BACK, "", back))
print("mutagen, front then back added:", pictures("a.mp3"))
assert pictures("a.mp3") == [(BACK, "")]

write("b.mp3", (BACK, "back", back), (FRONT, "front", front))
assert pictures("b.mp3") == [(BACK, "back"), (FRONT, "front")]
file = MediaFile("b.mp3")
assert file.art == front
file.art = new
file.save()
print("mediafile, cover set:", pictures("b.mp3"))
assert pictures("b.mp3") == [(0, "")]

write("c.mp3", (BACK, "back", back), (FRONT, "front", front))
file = music_tag.load_file("c.mp3")
assert file["artwork"].first.data == back
file["artwork"] = new
file.save()
print("music-tag, cover set:", pictures("c.mp3"))
assert pictures("c.mp3") == [(FRONT, "0")]
PYTHON
