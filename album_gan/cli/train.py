"""Train a GAN on album covers: `accelerate launch train.py --help`."""

import argparse
import dataclasses
import inspect
import json
import logging
import re
import sys
import types
import typing
from pathlib import Path

from ..recipes.base import recipe_modules
from ..training.loop import TrainingConfig, train

READY_COMMANDS = """Three ways to start:

  accelerate launch train.py --dataset_name synthetic --resolution 32 --max_train_steps 220
      no data at hand: covers that the project draws itself, shapes within three minutes on two cores

  accelerate launch train.py --train_data_dir my_covers --output_dir runs/mine
      a folder of pictures or parquet files

  accelerate launch train.py --train_data_dir my_covers --init_from bundled --output_dir runs/mine
      a few hundred pictures: start from the model in the box

All settings: python train.py --help
"""
EXAMPLES = """examples:
  accelerate launch train.py --config configs/laptop-night.json --train_data_dir my_covers --output_dir runs/night
  accelerate launch train.py --recipe dcgan --resolution 64 --train_data_dir my_covers --dry_run
  accelerate launch train.py --train_data_dir my_covers --output_dir runs/mine --resume_from_checkpoint latest
"""
ABOUT = ("about", "expect")  # what a preset says of itself


def build_parser(recipe: str | None = None) -> argparse.ArgumentParser:
    """All fields of TrainingConfig as --field, and of every recipe's Config as --recipe.field.

    The help shows the fields of one recipe only, or of none.
    """
    parser = argparse.ArgumentParser(
        description="Train a GAN on album covers.",
        epilog=EXAMPLES,
        usage="train.py [--config FILE] [--SETTING VALUE ...]",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=40, width=118),
    )
    parser.add_argument("--config", metavar="FILE", help="settings from a file, e.g. configs/laptop-night.json; "
                        "what is given beside it counts more")  # fmt: skip
    parser.add_argument(
        "--dry_run", action="store_true", help="say what would be trained, how big and how long, and stop"
    )
    add_fields(parser, TrainingConfig, "")
    modules = dict(recipe_modules())
    summaries = "\n".join(
        f"  {name:<16}{module.__doc__.splitlines()[0].partition(':')[0]}" for name, module in modules.items()
    )
    parser.description += f"\n\nrecipes (settings of one: train.py --recipe NAME --help):\n{summaries}"
    for name, module in modules.items():
        group = parser.add_argument_group(f"settings of {name}") if name == recipe else parser
        add_fields(group, module.Config, f"{name}.", hidden=name != recipe)
    return parser


def add_fields(parser, config_class: type, prefix: str, hidden: bool = False) -> None:
    """One option for each field of a dataclass, with its type and default; the comment beside it is its help."""
    kinds = typing.get_type_hints(config_class)
    defaults = {field.name: field.default for field in dataclasses.fields(config_class)}
    group = parser
    for heading, name, comment in documented_fields(config_class):
        if heading:
            group = parser.add_argument_group(heading)
            continue
        kind = kinds[name]
        if isinstance(kind, types.UnionType):
            kind = next(member for member in typing.get_args(kind) if member is not types.NoneType)
        default = "" if defaults[name] is None or defaults[name] is False else f" (default: {defaults[name]})"
        help_text = argparse.SUPPRESS if hidden else f"{comment}{default}".replace("%", "%%")
        options = {"dest": prefix + name, "default": argparse.SUPPRESS, "help": help_text}
        if kind is bool:
            group.add_argument(f"--{prefix}{name}", action="store_true", **options)
        else:
            group.add_argument(f"--{prefix}{name}", type=kind, metavar=kind.__name__.upper(), **options)


def documented_fields(config_class: type) -> typing.Iterator[tuple[str, str, str]]:
    """(heading, "", "") for a comment like `# --- Covers`, ("", name, comment) for a field, in their order."""
    for line in inspect.getsource(config_class).splitlines():
        if heading := re.fullmatch(r"    # --- (.*)", line):
            yield heading[1], "", ""
        elif field := re.fullmatch(r"    (\w+): [^#]*?(?:  # (.*))?", line):
            yield "", field[1], field[2] or ""


def read_preset(path: str) -> dict[str, typing.Any]:
    """The settings of a file, its words about itself printed; ValueError for a setting that does not exist."""
    try:
        preset = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"config must be a JSON file, but {path} is none: {error}") from error
    known = {action.dest for action in build_parser()._actions}
    for name in preset.keys() - known - set(ABOUT):
        raise ValueError(f"config {path} has the setting {name!r}, which does not exist; see train.py --help")
    for name in ABOUT:
        if name in preset:
            print(f"{name}: {preset[name]}")
    return {name: value for name, value in preset.items() if name not in ABOUT}


def main(arguments: list[str]) -> int:
    if not arguments:
        print(READY_COMMANDS, file=sys.stderr)
        return 2
    # --a-b is the same as --a_b
    arguments = [a if not a.startswith("--") else underscored(a) for a in arguments]
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--recipe")
    given = vars(build_parser(first.parse_known_args(arguments)[0].recipe).parse_args(arguments))
    preset, dry = given.pop("config"), given.pop("dry_run")
    logging.basicConfig(format="%(message)s")
    try:
        given = {**(read_preset(preset) if preset else {}), **given}
        config = TrainingConfig(**{name: value for name, value in given.items() if "." not in name})
        modules = dict(recipe_modules())
        if config.recipe not in modules:
            raise ValueError(f"recipe must be one of {', '.join(modules)}, got {config.recipe!r}")
        prefix = f"{config.recipe}."
        own = {name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)}
        if config.learning_rate is not None:
            own["learning_rate"] = config.learning_rate
        if dry:
            from ..training.dry_run import dry_run

            for line in dry_run(config, modules[config.recipe].Config(**own)):
                print(line, flush=True)
        else:
            train(config, modules[config.recipe].Config(**own))
    except (ValueError, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    return 0


def underscored(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return name.replace("-", "_").replace("__", "--", 1) + equals + value
