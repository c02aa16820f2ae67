#!/bin/sh
# torchmetrics 1.9.0: `VisualInformationFidelity` of pictures from 0 to 1, or from -1 to 1, does not see noise. It compares a
# picture's variance with that of the visual system's noise, `sigma_n_sq`, a constant of 2 that is meant for levels from 0 to
# 255. There is no `data_range`, and the documentation names no range (its example has normal deviates; the function's
# docstring once named a `data_range` that did not exist, see issue 3184). Where the whole picture's variance is a fraction
# of 1, the constant hides every other noise, and what is left of the score is the squared contrast: noise of a tenth of the
# range costs 3% instead of 79%, more contrast gives twice the ideal value, and eight levels of a colour cost nothing. The
# order of two models turns round: what is noisy beats what is slightly blurred. Values look sound, since a picture has 1
# with itself, and blur lowers the score in either range. SSIM and PSNR take a range, as piq's `vif_p` does, by which the
# code is inspired (`_vif_per_channel` in functional/image/vif.py). Multiplied by 255 it is right, and with
# `sigma_n_sq=2 / 255**2`. A search of the issues found none about it.
#
# Guess beforehand: a score of the pictures, so it puts them in the same order whatever their range. (Written down after a
# first look, in which 4.06 had turned up in place of 0.54, had made the contrary likely, 90%. That look was at types and
# batches, where all metrics were expected to agree; nothing was suspected of this one.)
# Seen, [0, 1] and [0, 255]: noise of deviation 0.1 0.97 and 0.21; blur of 0.6 pixels 0.73 and 0.56; contrast times 1.5
# 2.00 and 0.94; 8 levels 1.00 and 0.42. [-1, 1] as [0, 1] to 0.02. [0, 1] with sigma_n_sq=2 / 255**2 as [0, 255].
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 torchmetrics==1.9.0
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.nn import functional as F
from torchmetrics.image import VisualInformationFidelity

generator = torch.Generator().manual_seed(0)
layers = [
    weight * F.interpolate(torch.rand(8, 3, size, size, generator=generator), (128, 128), mode="bicubic")
    for size, weight in ((4, 0.5), (16, 0.25), (64, 0.15), (128, 0.1))
]
pictures = sum(layers)
pictures = ((pictures - pictures.mean()) / pictures.std() * 0.2 + 0.5).clamp(0, 1)
weights = torch.exp(-((torch.arange(-8, 9) / 0.6) ** 2) / 2)
weights = (weights[:, None] * weights / weights.sum() ** 2).expand(3, 1, -1, -1)
others = {
    "itself": pictures,
    "noise": pictures + 0.1 * torch.randn(pictures.shape, generator=generator),
    "blur": F.conv2d(F.pad(pictures, (8,) * 4, mode="reflect"), weights, groups=3),
    "contrast": (pictures - 0.5) * 1.5 + 0.5,
    "8 levels": (pictures * 7).round() / 7,
}


def score(other, scale=1.0, shift=0.0, **options):
    metric = VisualInformationFidelity(**options)
    metric.update(other.clamp(0, 1) * scale + shift, pictures * scale + shift)
    return float(metric.compute())


seen = {
    "[0, 1]": {name: score(other) for name, other in others.items()},
    "[-1, 1]": {name: score(other, 2, -1) for name, other in others.items()},
    "[0, 255]": {name: score(other, 255) for name, other in others.items()},
    "[0, 1], sigma_n_sq=2 / 255**2": {name: score(other, sigma_n_sq=2 / 255**2) for name, other in others.items()},
}
for name, scores in seen.items():
    print(f"{name:32}", {kind: round(value, 3) for kind, value in scores.items()})
unit, bytes_, scaled = seen["[0, 1]"], seen["[0, 255]"], seen["[0, 1], sigma_n_sq=2 / 255**2"]
assert all(abs(scores["itself"] - 1) < 0.01 for scores in seen.values())
for scores in (unit, seen["[-1, 1]"]):
    assert scores["noise"] > 0.9 and scores["noise"] > scores["blur"]
    assert scores["contrast"] > 1.8 and scores["8 levels"] > 0.99
assert bytes_["noise"] < 0.3 and bytes_["noise"] < bytes_["blur"] and bytes_["contrast"] < 1 and bytes_["8 levels"] < 0.5
assert all(abs(scaled[kind] - value) < 0.01 for kind, value in bytes_.items())
PYTHON
