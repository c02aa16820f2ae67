"""A model as one ONNX file: latents in, covers out, the same as the pipeline's.

Weights are stored as the float16 values that they were rounded to; computation is in float32.
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


def export_onnx(pipe: AlbumCoverPipeline, file: Path) -> int:
    """Write the model, after checking that it draws the pipeline's covers; returns the largest difference, of 255.

    Raises ValueError if ONNX draws something else, OSError if the file cannot be written. Needs the extra `export`.
    """
    content = to_onnx(pipe)
    difference = check(content, pipe)
    write_atomic(file, content)
    return difference


def to_onnx(pipe: AlbumCoverPipeline) -> bytes:
    """The model as ONNX. Its metadata specify latents and identify the model.

    Inputs: latents (N, latent_dim) float32; truncation, a float32; labels (N,) int64 if the model has classes,
    0 for any and n for the n-th. Output: images (N, 3, R, R) float32 in [-1, 1]. If the model has `class_counts`, the
    metadata also specify the class of a seed without a label.
    """
    import onnx

    network = Drawing(copy.deepcopy(pipe.generator).float().cpu()).eval()
    for module in network.modules():
        for name, value in list(module.named_buffers(recurse=False)):
            if (
                value.dim() == 0 and value.is_floating_point()
                # A constant of the network, such as how far a progressive one has grown.
            ):
                delattr(module, name)
                setattr(module, name, value.item())
    size = torch.export.Dim("N")
    arguments = [torch.zeros(2, pipe.generator.config.latent_dim), torch.tensor(1.0)]
    shapes, names = [{0: size}, {}], ["latents", "truncation"]
    if pipe.labels:
        arguments.append(torch.zeros(2, dtype=torch.long))
        shapes.append({0: size})
        names.append("labels")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Not optimised: folded constants could not be stored as float16. Runtimes fold when they load.
        program = torch.onnx.export(
            network, tuple(arguments), dynamo=True, optimize=False, verbose=False, input_names=names,
            output_names=["images"], dynamic_shapes=tuple(shapes),
        )  # fmt: skip
    assert program is not None  # as always without export_params=False
    model = program.model_proto
    store_as_half(model)
    about = {
        "format": 1,
        "model": pipe.fingerprint,
        "resolution": pipe.generator.config.resolution,
        "labels": json.dumps(pipe.labels),
        "latents": latents_of.__doc__,
    }
    if pipe.class_counts:
        about |= {"class_counts": json.dumps(pipe.class_counts), "classes_of_seeds": classes_of.__doc__}
    onnx.helper.set_model_props(model, {f"album_gan.{key}": str(value) for key, value in about.items()})
    onnx.checker.check_model(model)
    return model.SerializeToString()


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


def check(content: bytes, pipe: AlbumCoverPipeline) -> int:
    """The largest difference, of 255, between an exported model's covers and the pipeline's; ValueError above 2."""
    worst = 0
    for truncation, label in ((1.0, None), (0.7, pipe.labels[-1] if pipe.labels else None)):
        theirs = draw(content, pipe, CHECKED_SEEDS, truncation, label)
        ours = pipe(seeds=CHECKED_SEEDS, truncation=truncation, label=label, output_type="np").images
        worst = max(worst, int(np.abs(np.round(theirs * 255) - np.round(ours * 255)).max()))
    if worst > TOLERANCE:
        raise ValueError(f"the exported model must draw the pipeline's covers within {TOLERANCE}/255, got {worst}/255")
    return worst


def draw(
    content: bytes, pipe: AlbumCoverPipeline, seeds: Sequence[int], truncation: float = 1.0, label: str | None = None
) -> np.ndarray:
    """Covers of seeds drawn by onnxruntime, float32 (N, R, R, 3) in 0..1."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    inputs = {
        "latents": latents_of(seeds, pipe.generator.config.latent_dim),
        "truncation": np.array(truncation, np.float32),
    }
    if pipe.labels:
        classes = [pipe.check_label(label) or default for default in pipe.classes_of(seeds)]
        inputs["labels"] = np.array(classes, np.int64)
    [images] = session.run(None, inputs)
    return (images.transpose(0, 2, 3, 1).clip(-1, 1) + 1) / 2
