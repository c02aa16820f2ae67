#!/bin/sh
# torch 2.13.0, CPU: in a bf16 model the gradient of an `nn.Embedding` row stops growing once 256 equal contributions have
# been added; in fp16, once 2,048. They are added one by one in the low precision, where 256 + 1 is 256. `weight[labels]`
# and `EmbeddingBag` do the same. `weight.index_select(0, labels)` and `weight.gather(...)`, which look up the same rows,
# have the right gradient, as have sums, means and broadcasting: these accumulate in fp32. Nothing warns. So a class label,
# a padding token or a position that fills a large batch learns too slowly, the more so the more often it occurs. Models
# whose weights stay in fp32 under autocast are not affected.
#
# Guess beforehand: every lookup has the same gradient, right to bf16's three digits, because torch sums in fp32.
# Seen: row used 4,096 times with a gradient of 1 each: 256 (bf16) and 2,048 (fp16) through Embedding, indexing and
# EmbeddingBag; 4,096 through index_select and gather; in fp32 all give 4,096. With gradients drawn from 0 to 2, whose
# sum is 4,057, the bf16 row ends at 512 through Embedding, at 4,064 through index_select.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn

COUNT = 4_096
LABELS = torch.zeros(COUNT, dtype=torch.long)  # a batch in which everything has class 0
LOOKUPS = {
    "Embedding": lambda weight: nn.functional.embedding(LABELS, weight),
    "indexing": lambda weight: weight[LABELS],
    "EmbeddingBag": lambda weight: nn.functional.embedding_bag(LABELS[:, None], weight, mode="sum"),
    "index_select": lambda weight: weight.index_select(0, LABELS),
    "gather": lambda weight: weight.gather(0, LABELS[:, None].expand(-1, weight.shape[1])),
}


def gradient(name, dtype, upstream):
    """The gradient of the row, all of whose entries have the same."""
    weight = nn.Parameter(torch.randn(10, 8, generator=torch.Generator().manual_seed(0)).to(dtype))
    LOOKUPS[name](weight).backward(upstream.to(dtype)[:, None].expand(-1, 8))
    return weight.grad[0, 0].item()


ones = torch.ones(COUNT)
found = {
    str(dtype): {name: gradient(name, dtype, ones) for name in LOOKUPS}
    for dtype in (torch.float32, torch.bfloat16, torch.float16)
}
for dtype, gradients in found.items():
    print(dtype, gradients)
right = dict.fromkeys(LOOKUPS, COUNT)
one_by_one = ("Embedding", "indexing", "EmbeddingBag")
assert found["torch.float32"] == right
assert found["torch.bfloat16"] == right | dict.fromkeys(one_by_one, 256)
assert found["torch.float16"] == right | dict.fromkeys(one_by_one, 2_048)

varied = 2 * torch.rand(COUNT, generator=torch.Generator().manual_seed(0))
print("from 0 to 2, bf16:", {name: gradient(name, torch.bfloat16, varied) for name in LOOKUPS}, "sum:", varied.sum().item())
assert gradient("Embedding", torch.bfloat16, varied) < 0.2 * varied.sum()
assert abs(gradient("index_select", torch.bfloat16, varied) / varied.sum() - 1) < 0.01
PYTHON
