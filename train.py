"""Train a GAN on album covers: `accelerate launch train.py --help`."""

import argparse
import dataclasses
import logging
import sys
import types
import typing

from album_gan.recipes.base import recipe_modules
from album_gan.training import TrainingConfig, train

READY_COMMANDS = """Three ways to start:

  accelerate launch train.py --dataset_name synthetic --resolution 32 --max_train_steps 220
      no data at hand: covers that the project draws itself, shapes within three minutes on two cores

  accelerate launch train.py --train_data_dir my_covers --output_dir runs/mine
      a folder of pictures or parquet files

  accelerate launch train.py --train_data_dir my_covers --init_from bundled --output_dir runs/mine
      a few hundred pictures: start from the model in the box

All settings: python train.py --help
"""


def build_parser() -> argparse.ArgumentParser:
    """All fields of TrainingConfig as --field, and of every recipe's Config as --recipe.field."""
    parser = argparse.ArgumentParser(
        description="Train a GAN on album covers.",
        epilog="example: accelerate launch train.py --recipe projected --dataset_name parquet "
        "--data_files 'my_covers/*.parquet' --resolution 128 --output_dir runs/x",
        allow_abbrev=False,
    )
    add_fields(parser, TrainingConfig, "")
    for name, module in recipe_modules():
        add_fields(parser.add_argument_group(f"recipe {name}"), module.Config, f"{name}.")
    return parser


def add_fields(parser, config_class: type, prefix: str) -> None:
    """One option for each field of a dataclass, with its type and default."""
    for name, kind in typing.get_type_hints(config_class).items():
        field = next(field for field in dataclasses.fields(config_class) if field.name == name)
        if isinstance(kind, types.UnionType):
            kind = next(member for member in typing.get_args(kind) if member is not types.NoneType)
        if kind is bool:
            parser.add_argument(f"--{prefix}{name}", dest=prefix + name, action="store_true", default=argparse.SUPPRESS)
            continue
        parser.add_argument(
            f"--{prefix}{name}",
            dest=prefix + name,
            type=kind,
            default=argparse.SUPPRESS,
            metavar=kind.__name__.upper(),
            help=f"default: {field.default}",
        )


def main(arguments: list[str]) -> int:
    if not arguments:
        print(READY_COMMANDS, file=sys.stderr)
        return 2
    # --a-b is the same as --a_b
    arguments = [a if not a.startswith("--") else underscored(a) for a in arguments]
    given = vars(build_parser().parse_args(arguments))
    logging.basicConfig(format="%(message)s")
    try:
        config = TrainingConfig(**{name: value for name, value in given.items() if "." not in name})
        modules = dict(recipe_modules())
        if config.recipe not in modules:
            raise ValueError(f"recipe must be one of {', '.join(modules)}, got {config.recipe!r}")
        prefix = f"{config.recipe}."
        own = {name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)}
        if config.learning_rate is not None:
            own["learning_rate"] = config.learning_rate
        train(config, modules[config.recipe].Config(**own))
    except (ValueError, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    return 0


def underscored(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return name.replace("-", "_").replace("__", "--", 1) + equals + value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
