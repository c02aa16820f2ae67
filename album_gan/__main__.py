"""`python -m album_gan` is the `album-gan` command."""

import sys

from .cli.main import main

sys.exit(main())
