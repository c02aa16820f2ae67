#!/bin/sh
# torchmetrics 1.9.0: `reset_real_features=False` keeps the real pictures' features, so that each evaluation costs the
# generated pictures only. Whoever then calls the metric, `kid(fakes, real=False)`, which also returns the batch's own
# value (to log both), instead of `kid.update(fakes, real=False)`, has the real features doubled by every batch: 512
# become 32,768 after six. `forward` puts the state aside, resets, updates and joins the two
# (`_forward_reduce_state_update` in metric.py), and the reset leaves the real ones (`reset` in kid.py and fid.py), so
# that they are joined to themselves. The kernel distance, unbiased by leaving out the distance of a picture to itself,
# now meets these pairs as those of two pictures, and comes out too high, by more than the distance of a good
# generator; memory doubles with each batch. The FID's sums double likewise; it stays right (but for the n - 1 of the
# covariance) until the number of pictures exceeds 64 bits, and then fails: "More than one sample is required", after
# 50 batches of a run with 10,000 real pictures.
#
# Guess beforehand: the value over all batches is the same as that of updates alone. (The outcome was suspected, at
# 60%, from remembering how `forward` merges states; the overflow after seeing the first.)
# Seen, two samples of one distribution: KID by updates 0.00004, 512 real rows; by calls 0.00115, 32,768 rows, where
# the error of the mean is 0.0001 to 0.0002. FID of darker ones 0.2547 by both after 49 batches, RuntimeError after 50.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 torchmetrics==1.9.0
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import warnings

import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

warnings.filterwarnings("ignore")


class Features(nn.Module):
    """The first 16 pixels, a stand-in for Inception's."""

    num_features = 16

    def forward(self, images):
        return images.float().flatten(1)[:, :16] / 255


def draw(count, top=256):
    return torch.randint(0, top, (count, 3, 8, 8)).to(torch.uint8)


torch.manual_seed(0)
real, batches = draw(512), [draw(128) for _ in range(6)]
found = {}
for way in ("update", "call"):
    kid = KernelInceptionDistance(feature=Features(), subsets=300, subset_size=128, reset_real_features=False)
    kid.update(real, real=True)
    for batch in batches:
        kid.update(batch, real=False) if way == "update" else kid(batch, real=False)
    torch.manual_seed(1)
    mean, deviation = kid.compute()
    found[way] = float(mean), sum(map(len, kid.real_features)), sum(map(len, kid.fake_features))
    error = float(deviation) / 300**0.5
    print(f"KID by {way}: %.5f, error {error:.5f}; real rows %d, generated rows %d" % found[way])
assert found["update"][1:] == (512, 768) and found["call"][1:] == (512 * 2**6, 768)
assert found["call"][0] > found["update"][0] + 5 * error

torch.manual_seed(0)
real, batches = draw(10_000), [draw(64, 200) for _ in range(50)]
for count in (49, 50):
    for way in ("update", "call"):
        fid = FrechetInceptionDistance(feature=Features(), reset_real_features=False)
        fid.update(real, real=True)
        try:
            for batch in batches[:count]:
                fid.update(batch, real=False) if way == "update" else fid(batch, real=False)
            result = round(float(fid.compute()), 4)
        except RuntimeError as error:
            result = str(error)
        print(f"FID by {way} after {count} batches: {result}, real pictures {int(fid.real_features_num_samples)}")
        assert isinstance(result, str) == (way == "call" and count == 50)
PYTHON
