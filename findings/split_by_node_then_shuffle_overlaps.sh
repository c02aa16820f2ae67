#!/bin/sh
# datasets 5.2.0: after split_dataset_by_node, each process has its own shards only as long as all processes shuffle with
# the same seed. With a seed of its own for each process (usual for data augmentation, and what one would do to avoid
# that they see things in one order), two of two processes may read the same shard, and another is read by none.
#
# Guess beforehand: the split comes first in the code, so shards stay apart whatever is shuffled afterwards.
# Seen: of 10 pairs of seeds, 5 gave both processes the same shard of two; with one seed for both, none did.
# The order of calls makes no difference: the shuffle of shards is applied before the split when the set is iterated.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/hf" "$folder/venv/bin/python" - <<'PYTHON'
import datasets
from datasets.distributed import split_dataset_by_node

datasets.disable_progress_bars()
for shard in range(2):
    datasets.Dataset.from_dict({"x": [shard] * 10}).to_parquet(f"{shard}.parquet")
stream = datasets.load_dataset("parquet", data_files=["0.parquet", "1.parquet"], streaming=True)["train"]


def shards_read(rank: int, seed: int) -> set[int]:
    mine = split_dataset_by_node(stream, rank, 2).shuffle(seed, buffer_size=5)
    return {row["x"] for row in mine}


own_seeds = sum(shards_read(0, 2 * n) == shards_read(1, 2 * n + 1) for n in range(10))
one_seed = sum(shards_read(0, n) == shards_read(1, n) for n in range(10))
print(f"datasets {datasets.__version__}: both processes read the same shard in {own_seeds} of 10 runs with seeds of")
print(f"their own, in {one_seed} of 10 with one seed for both")
assert one_seed == 0 and own_seeds > 0, "the behaviour has changed"
PYTHON
