"""Exporting a model as one ONNX file: latents in, the same covers as the pipeline's out.

Weights are stored as float16, to which they were already rounded; computation is in float32.
"""

import copy
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..inference.atomic import write_atomic
from ..inference.latents import classes_of, latents_of
from ..inference.pipeline import AlbumCoverPipeline
from ..inference.upscaling import BORDER

CHECKED_SEEDS = (0, 1, 42, 99_999_999)
TOLERANCE = 2  # of 255, between an exported model and the pipeline


class Drawing(nn.Module):
    """latents (N, latent_dim), truncation (), labels (N,) if conditional -> images (N, 3, R, R) in [-1, 1]."""

    def __init__(self, generator: Any):
        super().__init__()
        self.generator: Any = generator

    def forward(self, latents: Tensor, truncation: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim), truncation (), labels (N,) -> images (N, 3, R, R) in [-1, 1]."""
        stems = self.generator.embed(latents) if labels is None else self.generator.embed(latents, labels)
        mean = self.generator.stem_mean
        return self.generator.paint(mean + truncation * (stems - mean))


class Embedding(nn.Module):
    """The first half of `Drawing`: latents (N, latent_dim), labels (N,) if conditional -> stems (N, C, h, w)."""

    def __init__(self, generator: Any):
        super().__init__()
        self.generator: Any = generator

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim), labels (N,) -> stems (N, C, h, w)."""
        return self.generator.embed(latents) if labels is None else self.generator.embed(latents, labels)


class Painting(nn.Module):
    """The second half: stems (N, C, h, w), truncation () -> images (N, 3, R, R) in [-1, 1]."""

    def __init__(self, generator: Any):
        super().__init__()
        self.generator: Any = generator

    def forward(self, stems: Tensor, truncation: Tensor) -> Tensor:
        """Stems (N, C, h, w), truncation () -> images (N, 3, R, R) in [-1, 1]."""
        mean = self.generator.stem_mean
        return self.generator.paint(mean + truncation * (stems - mean))


def export_onnx(pipe: AlbumCoverPipeline, file: Path) -> int:
    """Write the model, after checking that it draws the pipeline's covers; returns the largest difference, out of 255.

    Raises ValueError if the covers differ, OSError if the file cannot be written. Needs the extra `export`.
    """
    content = to_onnx(pipe)
    difference = check([content], pipe)
    write_atomic(file, content)
    return difference


def to_onnx(pipe: AlbumCoverPipeline) -> bytes:
    """The model as ONNX. Its metadata specify the latents and identify the model.

    Inputs: latents (N, latent_dim) float32; truncation, a float32; labels (N,) int64 if the model has classes,
    0 for any and n for the n-th. Output: images (N, 3, R, R) float32 in [-1, 1]. If the model has `class_counts`, the
    metadata also specify the class of a seed without a label, and its `mixtures` of classes under other names.
    """
    import onnx

    latents, labels = _example(pipe)
    arguments = {"latents": latents, "truncation": torch.tensor(1.0), **labels}
    model = exported(Drawing(pipe.generator), arguments, "images")
    about = {
        "format": 1,
        "model": pipe.fingerprint,
        "resolution": pipe.generator.config.resolution,
        "labels": json.dumps(pipe.labels),
        "latents": latents_of.__doc__,
    }
    if pipe.class_counts:
        about |= {"class_counts": json.dumps(pipe.class_counts), "classes_of_seeds": classes_of.__doc__}
        about["mixtures"] = json.dumps(pipe.mixtures)
    onnx.helper.set_model_props(model, {f"album_gan.{key}": str(value) for key, value in about.items()})
    return model.SerializeToString()


def halves_to_onnx(pipe: AlbumCoverPipeline) -> tuple[bytes, bytes]:
    """The model as two ONNX models, `Embedding` and `Painting`, between which stems can be mixed."""
    latents, labels = _example(pipe)
    embedding = exported(Embedding(pipe.generator), {"latents": latents, **labels}, "stems")
    stems = pipe.stems_of([0, 1], None).float().cpu()
    painting = exported(Painting(pipe.generator), {"stems": stems, "truncation": torch.tensor(1.0)}, "images")
    return embedding.SerializeToString(), painting.SerializeToString()


def upscaler_to_onnx(pipe: AlbumCoverPipeline) -> bytes:
    """The upscaler: images (1, 3, S, S) in [-1, 1] -> (1, 3, 4S, 4S); S is the covers' size plus a border."""
    size = pipe.generator.config.resolution + 2 * BORDER
    return exported(pipe.upscaler, {"images": torch.zeros(1, 3, size, size)}, "large", fixed=True).SerializeToString()


def _example(pipe: AlbumCoverPipeline) -> tuple[Tensor, dict[str, Tensor]]:
    """Latents of two covers, and {"labels": ...} for a model with classes; ValueError in half precision."""
    if pipe.dtype in (torch.bfloat16, torch.float16):
        raise ValueError(f"a model is exported from float32, got {pipe.dtype}; load it without `dtype`")
    latents = torch.zeros(2, pipe.generator.config.latent_dim)
    return latents, {"labels": torch.zeros(2, dtype=torch.long)} if pipe.labels else {}


def exported(network: Any, arguments: dict[str, Tensor], output: str, fixed: bool = False) -> Any:
    """A network as an ONNX model with float16 weights; the batch dimension is dynamic unless `fixed`."""
    import onnx

    network = copy.deepcopy(network).float().cpu().eval()
    for module in network.modules():
        for name, value in list(module.named_buffers(recurse=False)):
            if (
                value.dim() == 0 and value.is_floating_point()
                # A constant of the network, such as how far a progressive one has grown.
            ):
                delattr(module, name)
                setattr(module, name, value.item())
    size = torch.export.Dim("N")
    shapes = tuple({0: size} if value.dim() and not fixed else {} for value in arguments.values())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Not optimised: folded constants could not be stored as float16. Runtimes fold constants at load time.
        program = torch.onnx.export(
            network, tuple(arguments.values()), dynamo=True, optimize=False, verbose=False,
            input_names=list(arguments), output_names=[output], dynamic_shapes=shapes,
        )  # fmt: skip
    assert program is not None  # always, with dynamo=True
    model = program.model_proto
    drop_unused(model)
    store_as_half(model)
    onnx.checker.check_model(model)
    return model


def drop_unused(model: Any) -> None:
    """Drop weights that no node reads, which are those of the other half."""
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def store_as_half(model: Any) -> None:
    """Store float32 weights of an ONNX model as float16, with a node that converts each back to float32."""
    import onnx
    from onnx import numpy_helper

    initializers, casts = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1 and (values.astype(np.float16) == values).all():
            half = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.half")
            casts.append(onnx.helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT))
            tensor = half
        initializers.append(tensor)
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(initializers)
    model.graph.node.extend(nodes)


def check(contents: Sequence[bytes], pipe: AlbumCoverPipeline) -> int:
    """Largest difference, out of 255, between an exported model's covers and the pipeline's. Raises ValueError above 2.

    `contents` are models to run in sequence: a whole one, or two halves.
    """
    worst = 0
    for truncation, label in ((1.0, None), (0.7, pipe.labels[-1] if pipe.labels else None)):
        theirs = draw(contents, pipe, CHECKED_SEEDS, truncation, label)
        ours = pipe(seeds=CHECKED_SEEDS, truncation=truncation, label=label, output_type="np").images
        worst = max(worst, int(np.abs(np.round(theirs * 255) - np.round(ours * 255)).max()))
    if worst > TOLERANCE:
        raise ValueError(f"the exported model must draw the pipeline's covers within {TOLERANCE}/255, got {worst}/255")
    return worst


def draw(
    contents: Sequence[bytes],
    pipe: AlbumCoverPipeline,
    seeds: Sequence[int],
    truncation: float = 1.0,
    label: str | None = None,
) -> np.ndarray:
    """Covers of seeds drawn by onnxruntime, float32 (N, R, R, 3) in 0..1."""
    import onnxruntime

    values = {
        "latents": latents_of(seeds, pipe.generator.config.latent_dim),
        "truncation": np.array(truncation, np.float32),
    }
    if pipe.labels:
        values["labels"] = np.array(pipe.classes_of(seeds, label), np.int64)
    for content in contents:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        inputs = {one.name: values[one.name] for one in session.get_inputs()}
        outputs = [one.name for one in session.get_outputs()]
        values |= zip(outputs, session.run(outputs, inputs), strict=True)
    return (values["images"].transpose(0, 2, 3, 1).clip(-1, 1) + 1) / 2
