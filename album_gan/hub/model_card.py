"""The model card: what the model draws, how to load it, its training data, metrics and limits."""

import json
import math
import shlex
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..evaluation.table import table
from ..inference.model_store import BUNDLED, FP16_WEIGHTS, find_model, on_one_line
from ..inference.pipeline import AlbumCoverPipeline
from ..metrics.measures import MEASURES
from .privacy import PRIVATE, is_hub_name, public_name

TEMPLATE = Path(__file__).parent / "model_card.md"
BY_HAND = Path(__file__).parent / "model_card_by_hand.txt"  # for a LiteGenerator at 128 px with 128-dimensional latents
NOT_STATED = "not stated"
# Settings that the card states elsewhere, or that do not affect the model.
NOT_IN_COMMAND = (
    "data_rights", "license", "report_to", "logging_steps", "checkpointing_steps", "checkpoints_total_limit",
    "overwrite",
)  # fmt: skip
# Entries of training.json that are not options of train.py; `batch_size` is the total over all processes.
RESULTS = {
    "images",
    "steps",
    "hours",
    "covers",
    "classes",
    "held_out",
    "hardware",
    "data",
    "dataset_name",
    "batch_size",
}

NOT_RECORDED = "Not recorded."
RECORDS = {
    "training.json": "`training.json` has all settings", "log.jsonl": "`log.jsonl` the losses",
    "history": "`history/` thumbnails of 64 fixed seeds from step 0 on",
}  # fmt: skip
FINE_TUNING = "`discriminator/` is for fine-tuning (`train.py --init_from {repo_id}`) and for teaching. "
NOT_MEASURED = (
    "Not measured yet: a push publishes the numbers that `album-gan evaluate --model FOLDER --out "
    "FOLDER/evaluation.json` has written."
)
NO_LICENSE = (
    "Drawn by a network trained on covers whose rights are stated above. Enjoy it, show it, learn from it; no rights "
    "are granted for releasing what it draws."
)
LICENSED = (
    "The weights are published under the licence `{license}`; the rights to the training covers are stated above."
)
BUNDLED_UPSCALER = (
    " The upscaler in `upscaler/` is album_gan's bundled one, trained on copyrighted covers; no rights to it are "
    "granted here."
)
FROM_BUNDLED = (
    " Training started from the weights of album_gan's bundled model, which was trained on copyrighted covers; its own "
    "card grants no rights."
)


def card(
    pipe: AlbumCoverPipeline, folder: Path, repo_id: str, data_rights: str | None, license: str | None = None
) -> str:
    """Metadata and text, from training.json and evaluation.json (if any) in the model's `folder`.

    Raises ValueError for metadata that the Hub cannot parse.
    """
    record = read_record(folder)
    file = folder / "evaluation.json"
    measured = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    title = repo_id.rpartition("/")[2]
    results = list(eval_results(measured, record["data"])) if measured else None
    data = ModelCardData(
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",
        license=license or "other",
        tags=["gan", "album-covers", "album-gan"],
        datasets=[record["data"]] if is_hub_name(record["data"]) else None,
        model_name=title if results else None,
        eval_results=results,
    )
    text = TEMPLATE.read_text(encoding="utf-8").format(
        title=title,
        kind=f"GAN (`{record['recipe']}`)" if record["settings"] else "GAN",
        discriminator=FINE_TUNING.format(repo_id=repo_id) if (folder / "discriminator").is_dir() else "",
        training_data=training_data(record),
        training=training(record, folder),
        repo_id=repo_id,
        fingerprint=pipe.fingerprint,
        parameters=sum(parameter.numel() for parameter in pipe.generator.parameters()) / 1e6,
        resolution=pipe.generator.config.resolution,
        enlarges=" An upscaler enlarges them to four times the width and height." if pipe.upscaler is not None else "",
        classes=classes(pipe),
        data_rights=stated(data_rights) or NOT_STATED,
        rights=(LICENSED.format(license=license) if license else NO_LICENSE) + weights_of_others(record, folder),
        by_hand=by_hand(pipe, repo_id),
        numbers=numbers(measured) if measured else NOT_MEASURED,
        memorisation=memorisation(measured),
    )
    content = f"---\n{data.to_yaml()}\n---\n\n{text}"
    check_card(content)
    return content


def stated(data_rights: str | None) -> str | None:
    """A statement of rights, None if it is empty: `--data-rights "$RIGHTS"` with an unset variable states nothing."""
    return (data_rights or "").strip() or None


def classes(pipe: AlbumCoverPipeline) -> str:
    """The possible values of `label`, as text."""
    if not pipe.labels:
        return ""
    mixtures = ", ".join(pipe.mixtures)
    if pipe.labels[0] not in pipe.menu_labels:
        return f" Labels: {mixtures}, mixtures of {len(pipe.labels)} classes."
    return f" Classes: {', '.join(pipe.labels)}." + (f" Mixtures of them: {mixtures}." if mixtures else "")


def check_card(content: str) -> None:
    """Raise ValueError unless the metadata of a card (of a model, data set or Space) can be parsed."""
    try:
        ModelCard(content, ignore_metadata_errors=False)
    except Exception as error:  # YAML's own errors, and those of the Hub's fields
        reason = on_one_line(error)
        raise ValueError(f"the card's metadata cannot be read back ({reason}); simplify names and rights") from error


def read_record(folder: Path) -> dict[str, Any]:
    """Facts about training for the card, from training.json; `settings` is empty for a model without one."""
    path = folder / "training.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {
        "recipe": record.get("recipe", "unknown"),
        "covers": "A stream of covers" if record.get("covers", 0) is None else f"{record.get('covers', 0):,} covers",
        "held_out": record.get("held_out", 0),
        "images": record.get("images", 0),
        "steps": record.get("steps", 0),
        "hours": record.get("hours", 0.0),
        "batch": record.get("batch_size", record.get("train_batch_size", 0)),
        "hardware": record.get("hardware", "unknown hardware"),
        "data": record.get("data") or public_name(record.get("dataset_name")),
        "settings": record,
    }


def training_data(record: dict[str, Any]) -> str:
    """What the model was trained on; several lines."""
    if not record["settings"]:
        return f"{NOT_RECORDED}\n"
    return f"{record['covers']}; {record['held_out']:,} more were held out.\n\n- Data: {record['data']}."


def training(record: dict[str, Any], folder: Path) -> str:
    """How long the model was trained and on what, the command, and the files in `folder` that show more."""
    if not record["settings"]:
        return NOT_RECORDED
    files = [text for name, text in RECORDS.items() if (folder / name).exists()]
    return (
        f"{record['images']:,} images seen by the discriminator ({record['steps']:,} steps, batches of "
        f"{record['batch']}), {record['hours']:.1f} hours on {record['hardware']}."
        f"{initial_weights(record['settings'])}\n\n```sh\n{training_command(record['settings'])}\n```\n\n"
        f"{', '.join(files)}."
    )


def initial_weights(settings: dict[str, Any]) -> str:
    """For a run that started from a trained model, a sentence that names it; otherwise empty."""
    source = settings.get("init_from")
    return f" Training started from the weights of `{source}`; the command of the last run:" if source else ""


def weights_of_others(record: dict[str, Any], folder: Path) -> str:
    """Sentences about the weights in a published folder that come from album_gan's bundled models."""
    ours = find_model("bundled")
    if folder == ours or ours in folder.parents:
        return ""
    text = ""
    upscaler = folder / "upscaler" / FP16_WEIGHTS
    if upscaler.is_file() and upscaler.read_bytes() == (ours / "upscaler" / FP16_WEIGHTS).read_bytes():
        text += BUNDLED_UPSCALER
    if record["settings"].get("init_from") in BUNDLED:
        text += FROM_BUNDLED
    return text


def training_command(settings: dict[str, Any]) -> str:
    """The command to train with these settings, on the reader's own covers if the originals are not published."""
    if "recipe" not in settings:
        return "unknown"
    data = public_name(settings.get("dataset_name"))
    words = [f"--dataset_name {data}" if data == "synthetic" or is_hub_name(data) else "--train_data_dir my_covers"]
    hidden = {*RESULTS, *PRIVATE, *NOT_IN_COMMAND}
    if settings.get("minutes"):
        hidden.add("max_train_steps")  # --minutes replaces it
    for name, value in settings.items():
        if isinstance(value, dict):
            words += [f"--{name}.{field}" for field, inner in value.items() if inner is True]
            words += [f"--{name}.{field} {_word(inner)}" for field, inner in value.items() if _is_plain(inner)]
        elif name not in hidden and value is True:
            words.append(f"--{name}")
        elif name not in hidden and _is_plain(value):
            words.append(f"--{name} {_word(value)}")
    return " \\\n    ".join(["accelerate launch train.py", *words])


def eval_results(measured: dict[str, Any], data: str) -> list[EvalResult]:
    """One result per metric and feature space, for the Hub's model-index. YAML takes only plain finite numbers."""
    results = []
    for space, values in measured["spaces"].items():
        for metric in ("kid", "precision", "recall"):
            # Neighbourhoods need as many samples as covers: see `compare.in_one_space`.
            samples = measured["samples"] if metric == "kid" else min(measured["samples"], measured["held_out"])
            if math.isfinite(values.get(metric, math.nan)):
                results.append(
                    EvalResult(
                        task_type="unconditional-image-generation",
                        dataset_type=data,
                        dataset_name=f"{measured['held_out']:,} held-out covers",
                        metric_type=metric,
                        metric_name=f"{MEASURES[metric].name} in {space}, {samples:,} samples",
                        metric_value=float(f"{values[metric] * MEASURES[metric].scale:.3g}"),
                    )
                )
    return results


def numbers(measured: dict[str, Any]) -> str:
    """The metrics as a table, with explanations."""
    keys = dict.fromkeys(key for values in measured["spaces"].values() for key in values)
    explained = "\n".join(f"- {MEASURES[key].name}: {MEASURES[key].means}." for key in keys if key in MEASURES)
    return f"```\n{table(measured)}\n```\n\n{explained}{lettering(measured)}"


def lettering(measured: dict[str, Any]) -> str:
    """What OCR found on the model's covers and on real ones, if measured (benchmarks/lettering.py)."""
    if "lettering" not in measured:
        return ""
    drawn, real = (
        f"{found['with_text']:.0%} of {found['covers']:,} covers, {found['characters']:.1f} characters each"
        for found in (measured["lettering"]["model"], measured["lettering"]["held_out"])
    )
    return f"\n\nAn OCR model (PP-OCR, never used in training) finds text on {drawn}; on real covers: {real}."


def memorisation(measured: dict[str, Any] | None) -> str:
    """Whether the model copies: distance of samples to training covers, compared with held-out covers."""
    spaces = (measured or {}).get("spaces", {})
    found = {name: values for name, values in spaces.items() if "nearest_training_cover" in values}
    if not found:
        return "Not measured yet: check for copies of training covers before you show anything as new."
    lines = [
        f"{name}: samples are {values['nearest_training_cover']:.2f} times as far from their nearest training cover as "
        f"held-out covers are from theirs; {values['closer_than_any_held_out']:.1%} are closer than any held-out cover."
        for name, values in found.items()
    ]
    bullets = "\n".join(f"- {line}" for line in lines)
    return f"{bullets}\n\nA factor below 1 suggests reliance on training covers, below 0.5 copying."


def by_hand(pipe: AlbumCoverPipeline, repo_id: str) -> str:
    """How to load a model from its files alone, with minimal dependencies."""
    name, config = type(pipe.generator).__name__, pipe.generator.config
    seeds_have_classes = bool(pipe.class_counts) or not pipe.labels  # else label 0 has its own embedding
    if name == "LiteGenerator" and config.latent_dim == 128 and seeds_have_classes:
        sizes = [str(size) for size in (8, 16, 32, 64, 128, 256, 512) if size <= config.resolution]
        code = BY_HAND.read_text(encoding="utf-8").replace("8, 16, 32, 64, 128", ", ".join(sizes))
        needs = "From the files alone, with torch and safetensors; a seed's latent is plain arithmetic"
    else:
        module = type(pipe.generator).__module__.rpartition(".")[2]
        code = FROM_ITS_FILE.format(module=module, name=name).lstrip()
        needs = f"From the files alone, with torch, safetensors, diffusers and the `{module}.py` next to the weights"
    return f"{needs}:\n\n```python\n{code.replace('me/album-covers', repo_id)}```"


FROM_ITS_FILE = """
import json, sys, numpy as np, torch
from huggingface_hub import snapshot_download
from PIL import Image
from safetensors.torch import load_file

folder = snapshot_download("me/album-covers", ignore_patterns="checkpoint/*") + "/generator/"
sys.path.insert(0, folder)
from {module} import {name}

config = json.load(open(folder + "config.json"))
network = {name}(**{{key: value for key, value in config.items() if not key.startswith("_")}}).eval()
network.load_state_dict(load_file(folder + "diffusion_pytorch_model.safetensors"))
words = np.random.Philox(key=7).random_raw(2 * ((config["latent_dim"] + 1) // 2)).reshape(-1, 2) >> 11  # the seed is 7
radius, angle = np.sqrt(-2 * np.log((words[:, 0] + 1) / 2**53)), 2 * np.pi * words[:, 1] / 2**53
z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(1, -1)[:, :config["latent_dim"]]
inputs, ends = [torch.from_numpy(z.astype(np.float32))], np.cumsum(config.get("class_counts") or []).tolist()
if ends:  # a seed has a class as often as the training covers
    row = (int(np.random.Philox(key=[7, 1]).random_raw()) >> 32) * ends[-1] >> 32
    inputs.append(torch.tensor([np.searchsorted(ends, row, side="right")]))
with torch.no_grad():
    image = network(*inputs)[0]
Image.fromarray(((image.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()).save("cover-7.png")
"""


def _is_plain(value: object) -> bool:
    return isinstance(value, (int, float, str)) and not isinstance(value, bool)


def _word(value: object) -> str:
    return shlex.quote(str(value))
