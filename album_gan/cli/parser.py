"""The parser of all commands. Standard library only: `album-gan doctor` must work without numpy and torch."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Raises ValueError for invalid options, which `main` prints in one line."""

    def error(self, message: str) -> NoReturn:
        """Refer to --help instead of printing the usage."""
        raise ValueError(f"{message}; see {self.prog} --help")
