#!/bin/sh
# torchmetrics 1.9.0: `FeatureShare`, which lets several metrics use one pass of the feature network, remembers a
# batch's features by the tensor object, not by its content. Whoever writes each batch into one tensor made beforehand
# (`copy_`, `out=`, a pinned buffer, the input of a CUDA graph) gets the features of the first batch for all later ones,
# of real covers and of generated ones. So the Fréchet distance is 0 and the kernel distance is 0, the best values there
# are, whatever the generator draws; `reset` does not clear the memory, so all later evaluations of the run are the
# same. Without the wrapper the same metrics are right, and nothing warns. Torch counts the writes to a tensor, but that
# is not looked at.
#
# Guess beforehand: what is remembered is dropped after each `update`, or is noticed to be written over: equal
# distances.
# Seen, 10 batches of bright covers and 10 of dark ones: single metrics, or FeatureShare with a new tensor for each
# batch: FID 0.073, KID 0.0092, 40 and 20 passes of the network. FeatureShare with one buffer: 0.000, 0.0000 and one
# pass; the next evaluation, after `reset`, the same without any pass.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 torchmetrics==1.9.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.wrappers import FeatureShare

warnings.filterwarnings("ignore")
SHAPE = (32, 3, 32, 32)


class Features(nn.Module):
    """A small feature network in the place of Inception; it counts its passes."""

    num_features = 16

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 16, 4, 4)
        self.passes = 0

    def forward(self, covers):
        self.passes += 1
        return self.convolution(covers.float() / 255).relu().mean((2, 3))


def covers(real):
    brightness = torch.rand(SHAPE[0], 1, 1, 1)
    return (255 * torch.rand(SHAPE) * (brightness if real else brightness / 4)).byte()


def evaluate(share, reuse):
    """(Fréchet distance, kernel distance, passes of the network) of each of two evaluations."""
    torch.manual_seed(0)
    network = Features()
    distances = [
        FrechetInceptionDistance(network, input_img_size=SHAPE[1:]),
        KernelInceptionDistance(network, subset_size=50),
    ]
    shared = FeatureShare(distances) if share else None
    metrics = [shared] if share else distances
    buffer = torch.empty(SHAPE, dtype=torch.uint8)
    results = []
    for _ in range(2):
        before = network.passes
        for _ in range(10):
            for real in (True, False):
                batch = buffer.copy_(covers(real)) if reuse else covers(real)
                with torch.no_grad():
                    for metric in metrics:
                        metric.update(batch, real=real)
        fid, kid = shared.compute().values() if share else (metric.compute() for metric in distances)
        results.append((fid.item(), kid[0].item(), network.passes - before))
        for metric in metrics:
            metric.reset()
    return results


for share, reuse in ((False, False), (False, True), (True, False), (True, True)):
    for evaluation, (fid, kid, passes) in enumerate(evaluate(share, reuse), 1):
        name = f"{'FeatureShare' if share else 'single metrics'}, {'one buffer' if reuse else 'new tensors'}"
        print(f"{name}, evaluation {evaluation}: FID {fid:.5f}, KID {kid:.5f}, {passes} passes")
        if share and reuse:
            assert abs(fid) < 1e-4 and abs(kid) < 5e-4
            assert passes == (evaluation == 1)
        else:
            assert fid > 0.05 and kid > 0.005
            assert passes == (20 if share else 40)
PYTHON
