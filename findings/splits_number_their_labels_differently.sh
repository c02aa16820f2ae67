#!/bin/sh
# datasets 5.2.0: `DatasetDict.class_encode_column`, which turns a column of names (genres, say) into numbers, numbers
# them in each split by itself. If a split lacks a genre, which is common for a rare one in a small validation set, all
# genres after it in the alphabet have other numbers there than in training. Nothing is said; both splits are saved and
# published so. A conditional discriminator or a classifier trained on one and judged on the other is then judged with
# wrong labels, a generator's covers of genre 2 are compared with real ones of another genre, and a chart of accuracy
# looks like bad generalisation. The number of classes, usually read from the training split, gives it away only where
# a validation label is larger. (`concatenate_datasets` of the splits refuses.) The method's documentation shows a
# whole `DatasetDict`, and says nothing of it. The way round it is to number first and split afterwards, or to cast all
# splits to one `ClassLabel`. `class_encode_column` in dataset_dict.py calls the splits' method one by one;
# `imagefolder` numbers over all splits.
#
# Guess beforehand: one numbering for all splits of a DatasetDict. (The outcome was suspected, at 75%, from remembering
# the loop over splits.)
# Seen: rock is 2 in training and 1 in validation, where "pop" is 0 instead of 1; with names looked up, 3 of 3
# validation covers have another genre by the training split's names.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pillow==12.3.0
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" "$folder/venv/bin/python" - <<'PYTHON'
from datasets import Dataset, DatasetDict, disable_progress_bars, load_from_disk
from PIL import Image

disable_progress_bars()


def split(*genres):
    return Dataset.from_dict({"image": [Image.new("RGB", (4, 4))] * len(genres), "genre": list(genres)})


covers = DatasetDict(train=split("rock", "jazz", "pop", "rock"), validation=split("rock", "pop", "rock"))
covers.class_encode_column("genre").save_to_disk("covers")
covers_encoded = load_from_disk("covers")
train, validation = covers_encoded["train"], covers_encoded["validation"]
print("train     ", train.features["genre"].names, train["genre"][:])
print("validation", validation.features["genre"].names, validation["genre"][:])
assert train["genre"][:] == [2, 0, 1, 2] and validation["genre"][:] == [1, 0, 1]
by_train = train.features["genre"].int2str(validation["genre"][:])
print("validation by the names of train:", by_train, "in truth:", covers["validation"]["genre"][:])
assert all(found != true for found, true in zip(by_train, covers["validation"]["genre"][:]))

together = covers["train"].class_encode_column("genre").features["genre"]
one = covers.cast_column("genre", together)
assert one["validation"]["genre"][:] == [2, 1, 2]
PYTHON
