"""`album-gan train` and `train.py`: options from the typed settings of a run and its recipe."""

import dataclasses
import json
import logging
import sys
import typing
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..recipes.base import recipe_module, recipe_modules
from ..training.config import TrainingConfig
from ..training.distributed import is_first_process, process_label
from . import launch

READY_COMMANDS = """Three ways to start:

  accelerate launch train.py --dataset_name synthetic --resolution 32 --max_train_steps 220
      without any data: synthetic covers; shapes appear within three minutes on two cores

  accelerate launch train.py --train_data_dir my_covers --output_dir runs/mine
      a folder of pictures or parquet files

  accelerate launch train.py --train_data_dir my_covers --init_from bundled --output_dir runs/mine
      a few hundred pictures: start from the bundled model

All settings: python train.py --help
"""
EXAMPLES = """examples:
  accelerate launch train.py --config configs/laptop-night.json --train_data_dir my_covers --output_dir runs/night
  accelerate launch train.py --recipe dcgan --resolution 64 --train_data_dir my_covers --dry_run
  accelerate launch train.py --train_data_dir my_covers --output_dir runs/mine --resume_from_checkpoint latest"""
REPLACED = {  # settings of a preset, by the option that replaces them
    "train_data_dir": ("dataset_name", "data_files"), "dataset_name": ("train_data_dir",),
    "minutes": ("max_train_steps",), "max_train_steps": ("minutes",),
}  # fmt: skip
DESCRIBING = ("about", "expect")  # a preset's descriptions of itself


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """Options of the command that are not settings of the run."""

    config: str | None = None  # settings from a file, e.g. configs/laptop-night.json; options override them
    dry_run: bool = False  # describe the run, its size, duration and commands, and stop
    price_per_hour: float | None = None  # price of all machines, for the dry run
    on: str | None = None  # with dry_run: print the command that trains there instead, e.g. hf:l4x1


def main(arguments: list[str], prog: str = "train.py") -> int:
    """Train with these options. Returns the exit code: 0 for success, 2 for failure, 130 if interrupted twice."""
    if not arguments:
        print(READY_COMMANDS, file=sys.stderr)
        return 2
    logging.basicConfig(format="%(message)s")
    describes_only = False
    try:
        command, config, recipe_config = parse(arguments, prog)
        describes_only = command.dry_run
        preset = _preset(arguments)
        for name in DESCRIBING:
            if name in preset and is_first_process():
                print(f"{name}: {preset[name]}", file=sys.stderr)
        if command.on and not command.dry_run:
            raise ValueError(f"on needs --dry_run: it prints the command for {command.on}, and starts nothing")
        if command.price_per_hour is not None and not command.dry_run:
            raise ValueError("price_per_hour needs --dry_run, which estimates what the run would cost; leave it out")
        if command.on:
            settings = [*_as_options(preset), *launch.options_of_the_run(arguments, launch.PRESET)]
            print("\n".join(launch.job(command.on, settings, config)))
        elif command.dry_run:
            from ..training.dry_run import dry_run

            for line in dry_run(config, recipe_config, command.price_per_hour):
                print(line, flush=True)
            if is_first_process():
                print("\n".join(launch.lines(arguments)))
        else:
            from ..training.loop import train

            train(config, recipe_config)
    except SystemExit as finished:  # tyro's, after --help or an error message
        return int(finished.code or 0)
    except (ValueError, OSError) as error:
        return _fail(f"{error}", prog)
    except KeyboardInterrupt:
        resumes = "; --resume_from_checkpoint latest resumes from the last checkpoint, if there is one"
        return _fail("interrupted" if describes_only else f"interrupted{resumes}", prog, code=130)
    return 0


def parse(arguments: list[str], prog: str = "train.py") -> tuple[CommandOptions, TrainingConfig, Any]:
    """Parse options into those of the command, the settings of the run, and the Config of its recipe.

    Raises ValueError for a preset with unknown settings and for two durations, SystemExit for unknown options or wrong
    types.
    """
    preset = _preset(arguments)
    recipe = _value_of("recipe", arguments) or preset.get("recipe", TrainingConfig.recipe)
    arguments = [*_as_options(preset), *arguments]
    minutes, steps = (_value_of(name, arguments) for name in ("minutes", "max_train_steps"))
    if minutes and steps:
        raise ValueError(
            f"minutes and max_train_steps both say how long to train, got {minutes} and {steps}; leave one out"
        )
    recipe_config = recipe_module(recipe).Config
    options: Any = tyro.cli(
        dataclasses.make_dataclass(
            "Options",
            [
                ("command", Annotated[CommandOptions, tyro.conf.arg(name="")], CommandOptions()),
                ("run", Annotated[TrainingConfig, tyro.conf.arg(name="")], tyro.MISSING_NONPROP),
                (recipe, recipe_config, recipe_config()),
            ],
        ),
        args=arguments,
        prog=prog,
        console_outputs=is_first_process(),
        description=f"{TrainingConfig.__doc__}\n\n{EXAMPLES}\n\n{_recipes()}",
        use_underscores=True,
    )
    return options.command, options.run, getattr(options, recipe)


def _recipes() -> str:
    summaries = ((name, (module.__doc__ or "").splitlines()[0].partition(":")[0]) for name, module in recipe_modules())
    return "recipes (settings of one: train.py --recipe NAME --help):\n" + "\n".join(
        f"  {name:<16}{summary}" for name, summary in summaries
    )


def _value_of(name: str, arguments: list[str]) -> str | None:
    """The last value of --name, needed before parsing because other options depend on it."""
    found = None
    for position, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option.replace("-", "_") == f"__{name}":  # both spellings are accepted
            found = value if equals else next(iter(arguments[position + 1 :]), None)
    return found


def _preset(arguments: list[str]) -> dict[str, Any]:
    """The settings of the preset that --config names, and its descriptions of itself; {} without.

    Without what other options replace: settings in REPLACED, and its recipe's settings by another --recipe. Raises
    ValueError for unknown settings.
    """
    path = _value_of("config", arguments)
    if path is None:
        return {}
    try:
        preset = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(preset, dict):
            raise ValueError(f"it holds a {type(preset).__name__}")
    except (OSError, ValueError) as error:
        raise ValueError(f"config must be a JSON file of settings, but {path} is not: {error}") from error
    known = known_settings() | dict.fromkeys(DESCRIBING, str)
    for name, value in preset.items():
        if name not in known:
            raise ValueError(f"config {path} has the setting {name!r}, which does not exist; see train.py --help")
        check_type(f"config {path}: {name}", value, known[name])
    for option, names in REPLACED.items():
        if _value_of(option, arguments):
            for name in names:
                preset.pop(name, None)
    recipe = _value_of("recipe", arguments)
    return {name: value for name, value in preset.items() if not recipe or name.partition(".")[0] in (name, recipe)}


def _as_options(preset: dict[str, Any]) -> list[str]:
    options: list[str] = []
    for name, value in preset.items():
        if name in DESCRIBING:
            continue
        options += [f"--{name}"] if value is True else [] if value is False else [f"--{name}", str(value)]
    return options


def known_settings() -> dict[str, Any]:
    """{name: type} of all settings of a run, and of every recipe as recipe.name."""
    settings = dict(typing.get_type_hints(TrainingConfig))
    for recipe, module in recipe_modules():
        settings |= {f"{recipe}.{name}": kind for name, kind in typing.get_type_hints(module.Config).items()}
    return settings


def check_type(name: str, value: Any, kind: Any) -> None:
    """Raise ValueError for a JSON value that is not of type `kind`; integers are also floats."""
    from typeguard import TypeCheckError, check_type

    try:
        if isinstance(value, bool) and kind is not bool:
            raise TypeCheckError("is not a bool")
        check_type(value, kind)
    except TypeCheckError:
        wanted = getattr(kind, "__name__", None) if isinstance(kind, type) else str(kind).replace("typing.", "")
        raise ValueError(f"{name} must be of type {wanted}, got {value!r}") from None


def _fail(message: str, prog: str, code: int = 2) -> int:
    """Print one line, with the number of the process if there are several."""
    print(f"{prog}{process_label()}: {message}", file=sys.stderr)
    return code
