#!/bin/sh
# peft 0.21.2, torch 2.13.0: orthogonal fine-tuning (`OFTConfig`, arXiv:2306.07280) of convolutions larger than 1 x 1 trains
# another network than the one it is given, and merges into a third. The adapter rotates the input instead of the kernels: it
# takes its patches, rotates each, and folds them back. But it orders their values as batch, channel, row, column, row and
# column of the patch, and hands them to `torch.nn.functional.fold`, which wants those of the patch before the place
# (`OFTRotationModule._fold` in peft/tuners/oft/layer.py). So with the rotation the identity, before the first step, the
# convolution gets its input's pixels scattered over the picture, nine or 25 of them added up: a picture that has nothing to
# do with the one put in. (Only of a picture of one colour is something left: it gets nine or 25 times as bright.) Training
# starts from there. `merge_and_unload` rotates the kernels, as in the paper, and so gives a model that was never trained:
# here it is better than the trained one, but hardly better than before. Convolutions of 1 x 1 are exact. Nothing
# warns of it. Remedy: BOFT or HRA, which rotate the kernels.
#
# Guess beforehand: every adapter that takes convolutions draws the same before and after merging, untrained ones what the
# network drew. After the first difference was seen: patches are folded back and averaged or summed; that an untrained
# adapter changes the output, and that it scatters the pixels, was not expected.
# Seen, deviation of the output's change by an untrained adapter relative to the output's: OFT 0.00 (1 x 1), 3.01 (3 x 3), 4.62
# (5 x 5); BOFT, HRA, LoRA 0.00. Correlation of the convolution's input with the picture: 1.00, 0.00, 0.01. A 3 x 3 convolution
# trained for 100 steps towards another one, squared error: 0.621 before, 2.34 trained, 0.589 merged; BOFT 0.425 trained and
# merged.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 peft==0.21.2
cd "$folder"
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import peft
import torch
from torch import nn

ADAPTERS = {
    "OFT": lambda: peft.OFTConfig(target_modules=["convolution"], oft_block_size=16, r=0),
    "BOFT": lambda: peft.BOFTConfig(target_modules=["convolution"], boft_block_size=16),
    "HRA": lambda: peft.HRAConfig(target_modules=["convolution"], r=8),
    "LoRA": lambda: peft.LoraConfig(target_modules=["convolution"], r=8),
}
torch.manual_seed(0)
images = torch.randn(8, 16, 32, 32)


class Network(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(16, 32, size, padding=size // 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images)


def untrained(name: str, size: int) -> float:
    """Deviation of what the new adapter changes, relative to that of the output."""
    torch.manual_seed(0)
    network = Network(size).eval()
    with torch.no_grad():
        before = network(images)
        return float((peft.get_peft_model(network, ADAPTERS[name]()).eval()(images) - before).std() / before.std())


def correlation(size: int) -> float:
    """Of the picture with what an untrained OFT adapter hands to the convolution."""
    seen: list[torch.Tensor] = []
    model = peft.get_peft_model(Network(size), ADAPTERS["OFT"]()).eval()
    model.base_model.model.convolution.base_layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(images)
    return float(torch.corrcoef(torch.stack([seen[0].flatten(), images.flatten()]))[0, 1])


def trained(name: str) -> tuple[float, float, float]:
    """Squared error of a 3 x 3 convolution against another: before, trained for 100 steps, merged."""
    torch.manual_seed(0)
    network, aim = Network(3), Network(3)
    with torch.no_grad():
        wanted = aim(images)
        before = (network(images) - wanted).square().mean()
    model = peft.get_peft_model(network, ADAPTERS[name]())
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], 1e-3)
    for _ in range(100):
        error = (model(images) - wanted).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        after = (model(images) - wanted).square().mean()
        merged = (model.merge_and_unload()(images) - wanted).square().mean()
    return float(before), float(after), float(merged)


changes = {name: [round(untrained(name, size), 2) for size in (1, 3, 5)] for name in ADAPTERS}
print("change by an untrained adapter, 1 x 1, 3 x 3, 5 x 5:", changes)
correlations = [round(correlation(size), 2) for size in (1, 3, 5)]
print("correlation of the convolution's input with the picture:", correlations)
errors = {name: [round(error, 3) for error in trained(name)] for name in ("OFT", "BOFT")}
print("error before, trained, merged:", errors)
assert changes["OFT"][0] == 0 and changes["OFT"][1] > 2 and changes["OFT"][2] > 3, "an untrained OFT changes nothing now"
assert all(change == 0 for name in ("BOFT", "HRA", "LoRA") for change in changes[name]), "other adapters change something"
assert correlations[0] == 1 and max(correlations[1:]) < 0.1, "the convolution gets the picture now"
before, after, merged = errors["OFT"]
assert after > 2 * before and merged < before, "OFT trains the network that it merges into now"
assert abs(errors["BOFT"][1] - errors["BOFT"][2]) < 0.01, "BOFT trains another network than it merges into"
PYTHON
