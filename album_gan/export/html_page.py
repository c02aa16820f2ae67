"""Exporting a model as one HTML file that draws in a browser, without a server or internet.

It looks like the web page, and draws, morphs and upscales like it. It contains the networks (`onnx_model.py`) and ONNX
Runtime's WebAssembly (folder `onnxruntime-web`), gzipped; `latents.js`, so that seeds and names give the same covers as
the pipeline; and the training history.
"""

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ..inference import latents
from ..inference import word_lists as words
from ..inference.atomic import write_atomic
from ..inference.model_store import history_sheets
from ..inference.pipeline import AlbumCoverPipeline
from ..inference.upscaling import BORDER
from ..page_style import opening_wall, stylesheet
from .onnx_model import check, halves_to_onnx, upscaler_to_onnx

HERE = Path(__file__).parent
RUNTIME = HERE / "onnxruntime-web"
MAX_BYTES = 30_000_000
SMALLEST_RATIO = 0.8  # lower limit: gzip makes fp16 weights about 7 % smaller, hardly ever 20 %
ABOUT = (
    "A generator of {numbers:.1f} million parameters, in this file, and no server. Each cover is generated from random "
    "numbers and never existed before."
)
FOOTER = (
    "Model {fingerprint}. Every name gives a cover, always the same one; the words' meaning has no effect. Drawn by a "
    "network whose training covers may be copyrighted. Enjoy it, show it, learn from it; we cannot grant the right to "
    "release what it draws. Runs on ONNX Runtime Web, (c) Microsoft Corporation, MIT licence; set in Inter, SIL Open "
    "Font License."
)


def export_html(pipe: AlbumCoverPipeline, file: Path, folder: Path | None = None) -> tuple[int, list[str]]:
    """Write the page, after checking that it draws the same covers as the pipeline.

    `folder` is the model's, for its history. History, then upscaling, are left out if the page would be too large.
    Returns its size in bytes, and the names of what was left out.
    Raises ValueError for a model too large for one file, OSError if it cannot be written. Needs the extra `export`.
    """
    check_size(smallest_size(pipe))  # fail before the export, which takes seconds
    halves = halves_to_onnx(pipe)
    check(halves, pipe)
    upscaler = upscaler_to_onnx(pipe) if pipe.upscaler is not None else b""
    history = read_history(folder) if folder else []
    whole = (upscaler, history)
    for parts in (whole, (upscaler, []), (b"", [])):
        page = build_page(pipe, halves, *parts).encode()
        if len(page) <= MAX_BYTES:
            break
    check_size(len(page))
    write_atomic(file, page)
    named = zip(("upscaler", "history"), parts, whole, strict=True)
    return len(page), [name for name, part, full in named if part != full]


def read_history(folder: Path) -> list[tuple[int, str]]:
    """[(covers seen, a sheet as WebP in base64), ...] from a model's folder; empty if it has none."""
    return [(int(sheet.stem), base64.b64encode(sheet.read_bytes()).decode()) for sheet in history_sheets(folder)]


def smallest_size(pipe: AlbumCoverPipeline) -> int:
    """A lower bound of the page's size in bytes: weights and ONNX Runtime, in base64."""
    weights = sum(2 * tensor.numel() for tensor in pipe.generator.state_dict().values())
    runtime = (RUNTIME / "ort-wasm-simd-threaded.wasm.gz").stat().st_size
    return int((SMALLEST_RATIO * weights + runtime) * 4 / 3)


def check_size(count: int) -> None:
    """Raise ValueError for a page of more than 30 MB."""
    if count > MAX_BYTES:
        raise ValueError(
            f"the page must be at most {MAX_BYTES:,} bytes, so that it can be emailed, got {count:,} or more; "
            "export a smaller model, or use --format onnx"
        )


def build_page(
    pipe: AlbumCoverPipeline,
    halves: tuple[bytes, bytes],
    upscaler: bytes = b"",
    history: Sequence[tuple[int, str]] = (),
) -> str:
    """The page as text, with the networks in ONNX."""
    about = {
        "fingerprint": pipe.fingerprint,
        "resolution": pipe.generator.config.resolution,
        "latents": pipe.generator.config.latent_dim,
        "labels": pipe.labels,
        "classCounts": pipe.class_counts,
        "mixtures": list(pipe.mixtures.items()),
        "wall": opening_wall(pipe.fingerprint)[0],
        "border": BORDER,
        "upscales": bool(upscaler),
    }
    script = [
        runtime_script(),
        f"const MODEL = {in_script(about)};",
        f"const HISTORY = {in_script(history)};",
        f"const WORDS = {in_script(words_and_numbers())};",
        (HERE / "latents.js").read_text(encoding="utf-8"),
        (HERE / "page.js").read_text(encoding="utf-8"),
    ]
    numbers = sum(weight.numel() for weight in pipe.generator.parameters()) / 1e6
    pieces = {
        "style": stylesheet() + (HERE / "page.css").read_text(encoding="utf-8"),
        "about": html.escape(ABOUT.format(numbers=numbers)),
        "truncation": str(latents.DEFAULT_TRUNCATION),
        "labels": label_menu(pipe),
        "footer": html.escape(FOOTER.format(fingerprint=pipe.fingerprint)),
        "runtime": base64.b64encode((RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes()).decode(),
        "embedding": packed(halves[0]),
        "painting": packed(halves[1]),
        "upscaler": packed(upscaler) if upscaler else "",
        "script": "\n".join(script),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: pieces[found[1]], (HERE / "page.html").read_text(encoding="utf-8"))


def packed(network: bytes) -> str:
    """Compress with gzip, and encode in base64."""
    return base64.b64encode(gzip.compress(network, mtime=0)).decode()


def runtime_script() -> str:
    """ONNX Runtime's module as an expression: `const ort = {InferenceSession, Tensor, env}`."""
    code = (RUNTIME / "ort.wasm.bundle.min.mjs").read_text(encoding="utf-8")
    body, _, exported = code.rpartition("export{")
    pairs = [pair.split(" as ") for pair in exported.rstrip().rstrip(";").rstrip("}").split(",")]
    names = {public: private for private, public in pairs}
    exports = ", ".join(f"{name}: {names[name]}" for name in ("InferenceSession", "Tensor", "env"))
    return f"const ort = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"


def words_and_numbers() -> dict:
    """Data for latents.js from latents.py: words, constants of names and lists, and Python's case folding."""
    return {
        "adjectives": words.ADJECTIVES,
        "nouns": words.NOUNS,
        "count": latents.SEED_COUNT,
        "longest": latents.MAX_LIST,
        "multiplier": latents.MULTIPLIER,
        "offset": latents.OFFSET,
        "inverse": pow(latents.MULTIPLIER, -1, latents.SEED_COUNT),
        "fold": {
            letter: letter.casefold() for letter in map(chr, range(0x110000)) if letter.casefold() not in (letter, "")
        },
    }


def label_menu(pipe: AlbumCoverPipeline) -> str:
    """A menu for conditional models: classes are numbered from 1, followed by mixtures."""
    if not pipe.labels:
        return ""
    numbers = {name: number for number, name in enumerate(pipe.all_labels, 1)}
    groups = [[name for name in pipe.menu_labels if name in group] for group in (pipe.mixtures, pipe.labels)]
    options = "<hr>".join(
        "".join(f'<option value="{numbers[name]}">{html.escape(name)}</option>' for name in group)
        for group in groups
        if group
    )
    return f'<select id="label" aria-label="Class"><option value="0">any</option>{options}</select>'


def in_script(value: object) -> str:
    """JSON that cannot end the script that contains it."""
    return json.dumps(value).replace("<", "\\u003c")
