"""A model as one HTML file that draws in a browser when double-clicked, without a server or internet.

It contains the model (`onnx_model.py`) and ONNX Runtime's WebAssembly (folder `onnxruntime-web`), both gzipped, and
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
SMALLEST_RATIO = 0.8  # gzip makes fp16 weights about 7 % smaller, hardly ever 20 %
FOOTER = (
    "Model {fingerprint}. Every name is a cover, always the same one; what the words mean does not matter. Drawn by a "
    "network that learned from copyrighted covers. Enjoy it, show it, learn from it; we can grant no rights for "
    "releasing what it draws. Runs on ONNX Runtime Web, (c) Microsoft Corporation, MIT licence."
)


def export_html(pipe: AlbumCoverPipeline, file: Path) -> int:
    """Write the page, after checking that its model draws the pipeline's covers; returns its size in bytes.

    Raises ValueError for a model too large for one file, OSError if it cannot be written. Needs the extra `export`.
    """
    check_size(smallest_size(pipe))  # at once, and not after the seconds that an export takes
    content = to_onnx(pipe)
    check(content, pipe)
    page = build_page(pipe, content).encode()
    check_size(len(page))
    write_atomic(file, page)
    return len(page)


def smallest_size(pipe: AlbumCoverPipeline) -> int:
    """A lower bound, in bytes, of a model's page: its weights and ONNX Runtime, in base64."""
    weights = sum(2 * tensor.numel() for tensor in pipe.generator.state_dict().values())
    runtime = (RUNTIME / "ort-wasm-simd-threaded.wasm.gz").stat().st_size
    return int((SMALLEST_RATIO * weights + runtime) * 4 / 3)


def check_size(count: int) -> None:
    """Raise ValueError for a page of more than 30 MB."""
    if count > MAX_BYTES:
        raise ValueError(
            f"the page must be at most {MAX_BYTES:,} bytes, so that it can be mailed, got {count:,} or more; "
            "export a smaller model, or use --format onnx"
        )


def build_page(pipe: AlbumCoverPipeline, model: bytes) -> str:
    """The page as text, around a model in ONNX."""
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
        (HERE / "latents.js").read_text(encoding="utf-8"),
        (HERE / "page.js").read_text(encoding="utf-8"),
    ]
    pieces = {
        "style": (HERE / "page.css").read_text(encoding="utf-8"),
        "truncation": str(latents.DEFAULT_TRUNCATION),
        "labels": label_menu(pipe.labels),
        "footer": html.escape(FOOTER.format(fingerprint=pipe.fingerprint)),
        "runtime": base64.b64encode((RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes()).decode(),
        "model": base64.b64encode(gzip.compress(model, mtime=0)).decode(),
        "script": "\n".join(script),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: pieces[found[1]], (HERE / "page.html").read_text(encoding="utf-8"))


def runtime_script() -> str:
    """ONNX Runtime's module as an expression: `const ort = {InferenceSession, Tensor, env}`."""
    code = (RUNTIME / "ort.wasm.bundle.min.mjs").read_text(encoding="utf-8")
    body, _, exported = code.rpartition("export{")
    pairs = [pair.split(" as ") for pair in exported.rstrip().rstrip(";").rstrip("}").split(",")]
    names = {public: private for private, public in pairs}
    exports = ", ".join(f"{name}: {names[name]}" for name in ("InferenceSession", "Tensor", "env"))
    return f"const ort = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"


def words_and_numbers() -> dict:
    """What latents.js needs from latents.py: words, the constants of names, and Python's case folding."""
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
    """A menu of classes, for conditional models."""
    options = "".join(f'<option value="{n}">{html.escape(name)}</option>' for n, name in enumerate(labels, 1))
    return f'<select id="label" aria-label="Class"><option value="0">any</option>{options}</select>' if labels else ""


def in_script(value: object) -> str:
    """JSON that cannot end the script that contains it."""
    return json.dumps(value).replace("<", "\\u003c")
