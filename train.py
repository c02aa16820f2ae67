"""Train a GAN on album covers: `accelerate launch train.py --help`. The command itself is `album_gan/cli/train.py`."""

import sys

from album_gan.cli.train import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
