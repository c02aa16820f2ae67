#!/bin/sh
# pypdf 7.1.1: pictures of 16 colours and fewer, as scans of sleeves, logos and line drawings in digital booklets are, come out
# of a PDF scrambled, if their stream has PNG's prediction (by the source, rows with the filters "none" and "up" are right).
# img2pdf writes such streams: it puts a PNG's compressed data into the PDF as they are. A byte's left neighbour is looked for
# as many bytes back as a pixel has, which is calculated as whole bytes per row by columns and so is 0 for 1, 2 and 4 bits
# (PNG says 1 at least): each byte is added to itself (`FlateDecode._decode_png_prediction` in pypdf/filters.py). `page.images`
# returns a picture of the right size, mode and palette, which looks like noise, and there is no warning. At 8 bits it is
# right; pikepdf, PyMuPDF and pypdfium2 are right at all of them. Remedy: take pictures out with one of these.
#
# Guess beforehand: right everywhere for grey, colour and palettes; pictures of 1 bit inverted in one of the four libraries;
# JPEGs in CMYK as negatives in pikepdf or pypdfium2 (they are not). Scrambled palettes were not expected.
# Seen, mean error of 255 by pypdf: 1 bit 110, 4 colours 35, 16 colours 60, 200 colours 0; the three others 0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.5 pillow==12.0.0 img2pdf==0.6.3 pypdf==7.1.1 \
    pikepdf==10.18.0 pymupdf==2.0 pypdfium2==5.15.2
cd "$folder"
"$folder/venv/bin/python" -W error::UserWarning - <<'PYTHON'
import io

import img2pdf
import numpy as np
import pikepdf
import pymupdf
import pypdf
import pypdfium2
from PIL import Image


def by_pypdf(file: bytes) -> Image.Image:
    return pypdf.PdfReader(io.BytesIO(file)).pages[0].images[0].image


def by_pikepdf(file: bytes) -> Image.Image:
    document = pikepdf.open(io.BytesIO(file))
    [picture] = document.pages[0].images.values()
    return pikepdf.PdfImage(picture).as_pil_image()


def by_pymupdf(file: bytes) -> Image.Image:
    document = pymupdf.open(stream=file, filetype="pdf")
    return Image.open(io.BytesIO(document.extract_image(document[0].get_images()[0][0])["image"]))


def by_pypdfium2(file: bytes) -> Image.Image:
    document = pypdfium2.PdfDocument(file)
    [picture] = document[0].get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE])
    return picture.get_bitmap().to_pil()


colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
cover = Image.fromarray(colours).resize((64, 64), Image.Resampling.BICUBIC)
pictures = {"1 bit": cover.convert("1")} | {f"{count} colours": cover.quantize(count) for count in (4, 16, 200)}
errors = {}
for name, picture in pictures.items():
    png = io.BytesIO()
    picture.save(png, "PNG")
    booklet = img2pdf.convert(png.getvalue())
    for read in (by_pypdf, by_pikepdf, by_pymupdf, by_pypdfium2):
        found = np.asarray(read(booklet).convert("RGB"), int)
        errors[read.__name__, name] = float(np.abs(found - np.asarray(picture.convert("RGB"), int)).mean())
for read in ("by_pypdf", "by_pikepdf", "by_pymupdf", "by_pypdfium2"):
    print(f"mean error {read}:", {name: round(errors[read, name], 1) for name in pictures})
assert all(errors["by_pypdf", name] > 20 for name in ("1 bit", "4 colours", "16 colours")), "few colours are read now"
assert errors["by_pypdf", "200 colours"] == 0, "pictures of 8 bits are wrong too now"
assert not any(error for (read, _), error in errors.items() if read != "by_pypdf"), "other libraries are wrong as well"
PYTHON
