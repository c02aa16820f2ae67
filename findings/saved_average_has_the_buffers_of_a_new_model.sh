#!/bin/sh
# diffusers 0.42.1: `EMAModel` averages parameters only, as it says, and its `save_pretrained` writes a whole model. The
# buffers in that model are neither averaged nor those of the model that was trained: they are those of a new one. So
# an `AutoencoderKLFlux2`, whose BatchNorm holds the mean and variance by which its latents are normalised, is saved with
# mean 0 and variance 1, and a GAN's generator with BatchNorm is saved without its statistics. Parameters are right, and
# nothing warns. Examples for U-Nets, which have no such buffers, save their averages this way.
#
# Guess beforehand: what is saved is the trained model with averaged parameters, so after one step, in which the average
# equals the model, the file loads as that model.
# Seen: all parameters equal; running mean and variance 3.0 and 7.0 in the model and its own files, 0.0 and 1.0 in the average's.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 diffusers==0.42.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from diffusers import AutoencoderKLFlux2
from diffusers.training_utils import EMAModel

torch.manual_seed(0)
vae = AutoencoderKLFlux2(
    down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",), block_out_channels=(32,),
    layers_per_block=1, latent_channels=4, norm_num_groups=8,
)
vae.bn.running_mean.fill_(3.0)  # a trained one has such statistics
vae.bn.running_var.fill_(7.0)
vae.save_pretrained("own")
average = EMAModel(vae.parameters(), model_cls=AutoencoderKLFlux2, model_config=vae.config)
average.step(vae.parameters())
average.save_pretrained("average")

found = {}
for name in ("own", "average"):
    loaded = AutoencoderKLFlux2.from_pretrained(name)
    pairs = zip(vae.parameters(), loaded.parameters(), strict=True)
    equal = all(torch.allclose(one, other) for one, other in pairs)
    found[name] = (equal, loaded.bn.running_mean[0].item(), loaded.bn.running_var[0].item())
    print(name, "parameters equal:", equal, " running mean, variance:", *found[name][1:])
assert found == {"own": (True, 3.0, 7.0), "average": (True, 0.0, 1.0)}, found
PYTHON
