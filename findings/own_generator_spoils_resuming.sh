#!/bin/sh
# torchdata 0.11.0 with torch 2.13.0: `StatefulDataLoader`, which exists to go on where a run has stopped, gets the rest of
# the epoch right and all later epochs wrong, if it was given a `generator=` and has no workers. That argument is what one
# passes to make the order of the data a function of a seed. Without it, or with workers, the resumed run is the same as one
# that was never stopped. A `state_dict` that holds the generator's state from before the epoch's permutation was drawn is
# loaded and the permutation drawn again; but each epoch's iterator also draws a base seed for workers from the loader's
# generator, after the permutation (`_BaseDataLoaderIter.__init__`, torch/utils/data/dataloader.py), and that number is not
# drawn again (`_StatefulRandomSamplerIterator.load_state_dict` in sampler.py). Without `generator=` the two use different
# generators; with workers the sampler starts after the seed. Orders are permutations, so nothing shows but that two runs of
# one seed differ.
#
# Guess beforehand: after resuming, the rest of this epoch and all later ones are as if never stopped. (Suspected for a state
# that is saved at the end of an epoch were an empty epoch, which there is if it is saved at the last batch within the loop,
# or the same one again, which there is not. Of `generator=` there was no idea.)
# Seen, stopped in the second epoch of four, (rest, third, fourth epoch right): with generator and no workers (True, False,
# False); with generator and a worker, and without generator in both cases, (True, True, True). If one number is drawn from
# the generator after the resumed epoch, by hand, the next epoch is right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 torchdata==0.11.0
cd "$folder"
cat > resume.py <<'PYTHON'
import torch
from torchdata.stateful_dataloader import StatefulDataLoader


def loader(own, workers):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0) if own else None
    return StatefulDataLoader(list(range(64)), batch_size=8, shuffle=True, generator=generator, num_workers=workers)


def epoch(batches):
    return [cover for batch in batches for cover in batch.tolist()]


if __name__ == "__main__":
    for own in (True, False):
        for workers in (0, 1):
            never_stopped = loader(own, workers)
            expected = [epoch(never_stopped) for _ in range(4)]
            assert all(sorted(order) == list(range(64)) for order in expected)
            stopped = loader(own, workers)
            epoch(stopped)
            batches = iter(stopped)
            for _ in range(3):
                next(batches)
            state = stopped.state_dict()
            resumed = loader(own, workers)
            resumed.load_state_dict(state)
            right = (epoch(resumed) == expected[1][24:], epoch(resumed) == expected[2], epoch(resumed) == expected[3])
            print("own generator" if own else "no generator", f"{workers} workers: rest, third, fourth epoch right", right)
            assert right == ((True, False, False) if own and not workers else (True, True, True))

    never_stopped, resumed = loader(True, 0), loader(True, 0)
    first, second = epoch(never_stopped), epoch(never_stopped)
    stopped = loader(True, 0)
    batches = iter(stopped)
    next(batches)
    resumed.load_state_dict(stopped.state_dict())
    assert epoch(resumed) == first[8:]
    torch.empty((), dtype=torch.int64).random_(generator=resumed.generator)  # the base seed that was not drawn
    print("second epoch right after one more number was drawn:", mended := epoch(resumed) == second)
    assert mended
PYTHON
OMP_NUM_THREADS=1 "$folder/venv/bin/python" resume.py
