"""The service: one device for all that it builds, and results shared by whoever asks."""

import copy
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio", reason="the page needs album-gan[demo]")

from album_gan.media.image_files import read_settings
from album_gan.space.client import Client
from album_gan.space.drawing_order import Lane
from album_gan.space.service import CoverService
from album_gan.space.validation import Cover


def use_everything(service: CoverService) -> None:
    """One of each thing that the page does with a network."""
    [small] = service.images([Cover(1)])
    service.edit(Cover(1), {"darker": 1.0, "component 1": 1.0}, None, Lane.AUDIENCE)
    if service.editor.mixes:
        service.edit(Cover(1), {}, 2, Lane.AUDIENCE)
    assert len(list(service.frames([1, 2], 5, False, 1.0, None, Lane.AUDIENCE))) == 5
    for engine in service.engines:
        assert service.enlarge(small, 64, engine, Lane.AUDIENCE).size == (64, 64)
    assert service.large_cover(Cover(1), 256, ("Anna", "", "headline"), "webp").result(60)
    assert len(service.similar(Cover(1), 3)) == 3


def test_a_cover_less_another_and_plus_that_is_the_cover(tiny_pipeline):
    service = CoverService(tiny_pipeline)
    cover, other, third = (Cover(seed, 0.8) for seed in (5, 6, 7))
    [expected] = (np.asarray(image, int) for image in service.images([cover]))
    again, changed = (np.asarray(service.sum(cover, other, last, Lane.AUDIENCE), int) for last in (other, third))
    assert np.abs(again - expected).max() <= 1
    assert np.abs(changed - expected).max() > 8


def test_networks_move_once_to_the_device_chosen_at_the_start_and_never_again(tiny_pipeline, monkeypatch):
    """As on a GPU: when one thread moved the networks while another built the editor, edits mixed devices."""
    pipe = copy.deepcopy(tiny_pipeline)
    moves, building = [], [True]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # whoever still asks would move to it
    monkeypatch.setattr(pipe, "to", lambda *device: moves.append((device, building[0])) or pipe)
    service = CoverService(pipe, "cuda")
    building[0] = False
    use_everything(service)
    assert moves == [(("cuda",), True)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_everything_works_on_a_gpu(tiny_pipeline):
    service = CoverService(copy.deepcopy(tiny_pipeline), "auto")
    tensors = [*vars(service.editor).values(), *service.editor.components.values()]
    tensors += [*service.pipe.generator.parameters(), *service.pipe.upscaler.parameters()]
    assert {tensor.device.type for tensor in tensors if isinstance(tensor, torch.Tensor)} == {"cuda"}
    use_everything(service)


def test_a_device_that_is_not_there_is_refused(tiny_pipeline, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device must be available on this machine .*got 'cuda'"):
        CoverService(tiny_pipeline, "cuda")
    with pytest.raises(ValueError, match="device must be one of auto, cpu, cuda, mps"):
        CoverService(tiny_pipeline, "tpu")


def test_covers_with_names_alike_are_files_of_their_own(tiny_pipeline):
    names = ["AC/DC", "AC:DC", "ac-dc"]
    files = CoverService(tiny_pipeline).save([Cover(seed, typed=name) for seed, name in enumerate(names)])
    assert [Path(file).name for file in files] == ["AC-DC.png", "AC-DC 2.png", "ac-dc 3.png"]
    for seed, file in enumerate(files):
        assert read_settings(Image.open(file))["seed"] == seed


LARGE = Cover(1), 256, ("Anna", "", "headline"), "webp"


@pytest.mark.parametrize("kind", ["film", "large_cover"])
def test_what_many_want_is_drawn_once_and_the_presenter_does_not_wait_for_the_audience(kind, tiny_pipeline):
    service = CoverService(tiny_pipeline)
    wanted = functools.partial(getattr(service, kind), *(LARGE if kind == "large_cover" else (Cover(1), Cover(2))))
    with service.lock.hold(Lane.PRESENTER):  # so that nothing is drawn yet
        first = wanted(client=Client("1"))
        assert wanted(client=Client("2")) is first
        hers = wanted(client=Client("3", Lane.PRESENTER))
        assert hers is not first
        assert wanted(client=Client("1")) is hers
    assert hers.result(60) == first.result(60)
    assert {"film": b"ftyp", "large_cover": b"WEBP"}[kind] in hers.result()[:12]
    assert wanted(client=Client("1")) is hers


def test_what_could_not_be_drawn_is_drawn_anew(tiny_pipeline, monkeypatch):
    service = CoverService(tiny_pipeline)
    with monkeypatch.context() as broken:
        broken.setattr(CoverService, "images", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            service.large_cover(*LARGE).result(60)
    assert service.large_cover(*LARGE).result(60)[8:12] == b"WEBP"
