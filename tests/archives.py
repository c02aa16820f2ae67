"""Archives of drawn covers, friendly and hostile, for tests."""

import io
import tarfile

from pictures import encoded

from album_gan.covers.synthetic import draw_cover


def jpeg(index: int = 0, size: int = 140) -> bytes:
    return encoded(draw_cover(index, size), "JPEG")


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **fields) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in fields.items():
        setattr(member, key, value)
    archive.addfile(member, io.BytesIO(data))


def hostile_tar(path, mode: str = "w"):
    with tarfile.open(path, mode) as archive:
        add(archive, "folder", type=tarfile.DIRTYPE)
        add(archive, "folder/a.jpg", jpeg(1))
        add(archive, "../../escaped.jpg", jpeg(2))
        add(archive, "/absolute.jpg", jpeg(3))
        add(archive, "link.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "hard.jpg", type=tarfile.LNKTYPE, linkname="folder/a.jpg")
        add(archive, "pipe.jpg", type=tarfile.FIFOTYPE)
        add(archive, "device.jpg", type=tarfile.CHRTYPE)
        add(archive, "Queen - Jazz.jpg", jpeg(4))
        add(archive, "bad-\udcff-name.jpg", jpeg(5))
    return path
