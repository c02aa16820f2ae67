"""A model as one HTML file that draws in a browser: from a double click, with no server and no internet.

Inside are the model (`onnx_model.py`), ONNX Runtime's WebAssembly (folder `onnxruntime-web`), both gzipped, and
`latents.js`, so that seeds and names give the pipeline's covers.
"""

import base64
import gzip
import html
import json
import re
from pathlib import Path

from ..inference import latents
from ..inference import word_lists as words
from ..inference.atomic import write_atomic
from ..inference.pipeline import AlbumCoverPipeline
from .onnx_model import check, to_onnx

HERE = Path(__file__).parent
RUNTIME = HERE / "onnxruntime-web"
MAX_BYTES = 30_000_000
FOOTER = (
    "Model {fingerprint}. Every name is a cover, always the same one; what the words mean does not matter. Drawn by a "
    "network that learned from copyrighted covers. Enjoy it, show it, learn from it; we can grant no rights for "
    "releasing what it draws. Drawing: ONNX Runtime Web, (c) Microsoft Corporation, MIT licence."
)


def export_html(pipe: AlbumCoverPipeline, file: Path) -> int:
    """Write the page, once its model is known to draw what the pipeline draws; returns its size in bytes.

    Raises ValueError for a model too large for one file. Needs the extra `export`.
    """
    content = to_onnx(pipe)
    check(content, pipe)
    page = build_page(pipe, content).encode()
    if len(page) > MAX_BYTES:
        raise ValueError(
            f"the page must be at most {MAX_BYTES:,} bytes, to be passed on by mail, got {len(page):,}; "
            "export a smaller model, or --format onnx"
        )
    write_atomic(file, page)
    return len(page)


def build_page(pipe: AlbumCoverPipeline, model: bytes) -> str:
    """The page's text."""
    about = {
        "fingerprint": pipe.fingerprint,
        "resolution": pipe.generator.config.resolution,
        "latents": pipe.generator.config.latent_dim,
        "labels": pipe.labels,
        "classCounts": pipe.class_counts,
    }
    script = [
        runtime_script(),
        f"const MODEL = {in_script(about)};",
        f"const WORDS = {in_script(words_and_numbers())};",
        (HERE / "latents.js").read_text(),
        (HERE / "page.js").read_text(),
    ]
    pieces = {
        "style": (HERE / "page.css").read_text(),
        "truncation": str(latents.DEFAULT_TRUNCATION),
        "labels": label_menu(pipe.labels),
        "footer": html.escape(FOOTER.format(fingerprint=pipe.fingerprint)),
        "runtime": base64.b64encode((RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes()).decode(),
        "model": base64.b64encode(gzip.compress(model, mtime=0)).decode(),
        "script": "\n".join(script),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: pieces[found[1]], (HERE / "page.html").read_text())


def runtime_script() -> str:
    """ONNX Runtime's module as an expression: `const ort = {InferenceSession, Tensor, env}`."""
    code = (RUNTIME / "ort.wasm.bundle.min.mjs").read_text()
    body, exported = re.fullmatch(r"(.*)export\{(.*?)\};?\s*", code, re.DOTALL).groups()
    names = dict(reversed(pair.split(" as ")) for pair in exported.split(","))
    wanted = ", ".join(f"{name}: {names[name]}" for name in ("InferenceSession", "Tensor", "env"))
    return f"const ort = (() => {{\n{body}\nreturn {{ {wanted} }};\n}})();"


def words_and_numbers() -> dict:
    """What latents.js needs of latents.py: words, the numbers of names, and how Python folds the case of letters."""
    return {
        "adjectives": words.ADJECTIVES,
        "nouns": words.NOUNS,
        "count": latents.SEED_COUNT,
        "multiplier": latents.MULTIPLIER,
        "offset": latents.OFFSET,
        "inverse": pow(latents.MULTIPLIER, -1, latents.SEED_COUNT),
        "fold": {
            letter: letter.casefold() for letter in map(chr, range(0x110000)) if letter.casefold() not in (letter, "")
        },
    }


def label_menu(labels: list[str]) -> str:
    """A choice of classes, for models that know any."""
    options = "".join(f'<option value="{n}">{html.escape(name)}</option>' for n, name in enumerate(labels, 1))
    return f'<select id="label" aria-label="Class"><option value="0">any</option>{options}</select>' if labels else ""


def in_script(value: object) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(value).replace("<", "\\u003c")
