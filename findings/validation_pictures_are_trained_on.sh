#!/bin/sh
# datasets 5.2.0 with accelerate 1.15.0: a streamed dataset that is split as datasets' documentation says, shuffled first,
# then `take` for validation and `skip` for training, is split anew in every epoch, if its loader was prepared by accelerate.
# From the second epoch on the network is trained with half of the validation pictures or more, others in each epoch, while
# an equal number of training pictures is left out. `set_epoch` changes the shuffle that stands before the split; datasets
# never calls it by itself, and with a plain DataLoader the split stays. The prepared loader calls it at the start of each
# pass with the number of passes (`DataLoaderShard.__iter__` and `set_epoch`, data_loader.py). For the same reason a dataset
# that was never shuffled, in a loader that does not shuffle, comes in another order of its shards from a later pass on
# (`IterableDataset._prepare_ex_iterable_for_iteration` shuffles the sources in every epoch but 0): scores that are put
# beside those of an earlier pass belong to other pictures, and of concatenated parts the last may come first.
#
# Guess beforehand, as the documentation leads to expect: training never shows a validation picture, and what is not shuffled
# keeps its order. (Both were suspected when they were tested: a dataset's own `set_epoch` had just been seen to change what
# `take` takes, on which there had been no guess.)
# Seen, of 20 validation pictures of 100, in training in passes 1, 2, 3, 4: plain loader 0, 0, 0, 0; prepared 0, 10, 17, 12.
# First picture of each shard of an unshuffled dataset: plain loader 0, 4, 8, 12 in each pass; prepared 12, 8, 0, 4 in the
# third.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 accelerate==1.15.0 \
    datasets==5.2.0
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/hf" OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
from accelerate import Accelerator
from datasets import Dataset
from torch.utils.data import DataLoader

accelerator = Accelerator(cpu=True)


def stream(count):
    return Dataset.from_dict({"picture": list(range(count))}).to_iterable_dataset(num_shards=4)


def passes(loader, number=4):
    return [[picture for batch in loader for picture in batch["picture"].tolist()] for _ in range(number)]


shuffled = stream(100).shuffle(seed=0, buffer_size=50)
validation = {row["picture"] for row in shuffled.take(20)}
training = shuffled.skip(20)
plain = passes(DataLoader(training, batch_size=8))
prepared = passes(accelerator.prepare(DataLoader(training, batch_size=8)))
leaked = [[len(validation & set(seen)) for seen in run] for run in (plain, prepared)]
print("validation pictures in training: plain", leaked[0], "prepared", leaked[1])
assert all(len(seen) == len(set(seen)) == 80 for seen in plain + prepared)
assert leaked[0] == [0] * 4
assert leaked[1][0] == 0 and min(leaked[1][1:]) > 5

plain = [seen[::4] for seen in passes(DataLoader(stream(16), batch_size=8))]
prepared = [seen[::4] for seen in passes(accelerator.prepare(DataLoader(stream(16), batch_size=8)))]
print("first pictures of shards: plain", plain, "prepared", prepared)
assert plain == [[0, 4, 8, 12]] * 4
assert prepared[0] == [0, 4, 8, 12] and any(seen != prepared[0] for seen in prepared)
PYTHON
