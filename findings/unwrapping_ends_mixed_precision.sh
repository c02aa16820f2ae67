#!/bin/sh
# accelerate 1.15.0 with torch 2.13.0: `accelerator.unwrap_model(generator, keep_fp32_wrapper=False)`, "useful before saving
# the model", ends mixed precision for the generator that is being trained. What it returns is the same object, from which it
# has taken the forward pass with autocast (`extract_model_from_parallel` in utils/other.py: it pops `_original_forward` and
# assigns `model.forward`; on several processes it reaches through DistributedDataParallel to the same module). So from the
# first checkpoint or sheet of samples on, the run goes on in fp32: slower on a GPU, with more memory for activations, and
# with other numbers than a resumed run, which is in mixed precision again. Nothing is said, `accelerator.mixed_precision` is
# "bf16" as ever, and `prepare` does not bring it back, since the object counts as prepared. The discriminator, which nobody
# saves so often, stays in mixed precision. With the default, True, all is well. (That the object is changed was noted in
# passing in 2026, in pull request 4255 about another fault of the function.)
#
# Guess beforehand: what is returned is the bare model, and the prepared one goes on as it was. (The assignment to `forward`
# was remembered, and the loss of autocast suspected; not that a second `prepare` doesn't mend it.)
# Seen, type in which a layer computes: before bfloat16, after saving with the default bfloat16, after unwrapping float32,
# after `prepare` of it once more float32.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 accelerate==1.15.0
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from accelerate import Accelerator
from torch import nn

accelerator = Accelerator(cpu=True, mixed_precision="bf16")


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, latents):
        return self.layer(latents).tanh()


computed = []
generator = Generator()
generator.layer.register_forward_hook(lambda layer, inputs, output: computed.append(output.dtype))
optimizer = torch.optim.Adam(generator.parameters())
generator, optimizer = accelerator.prepare(generator, optimizer)


def train():
    optimizer.zero_grad()
    accelerator.backward(generator(torch.randn(4, 16)).square().mean())
    optimizer.step()
    return computed[-1]


seen = {"before": train()}
torch.save(accelerator.unwrap_model(generator).state_dict(), "generator.pt")
seen["after saving with the default"] = train()
bare = accelerator.unwrap_model(generator, keep_fp32_wrapper=False)
seen["after unwrapping"] = train()
generator = accelerator.prepare(generator)
seen["after preparing once more"] = train()
for moment, dtype in seen.items():
    print(f"{moment}: {dtype}, accelerator's setting {accelerator.mixed_precision}")
assert bare is generator and accelerator.mixed_precision == "bf16"
assert list(seen.values()) == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]
PYTHON
