"""The parser of all commands. Standard library only: `album-gan doctor` must work where numpy and torch are missing."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Raises ValueError for options that it does not know or take, which `main` prints in one line."""

    def error(self, message: str) -> NoReturn:
        """Instead of the usage, where to read it."""
        raise ValueError(f"{message}; see {self.prog} --help")
