"""The settings of a training run. `album_gan/cli/train.py` turns each into an option, and its comment into help."""

import dataclasses
import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..covers.dataset import CoverSource
from ..inference.model_store import is_hub_id
from ..recipes.base import Recipe, recipe_module, recipe_modules

# Upper bounds of recipes' settings.
BELOW_ONE = ("beta1", "beta2", "last_beta2", "momentum")
MOST = {
    "adversarial_from": 1, "augmentation_share": 1, "decay": 1, "hidden_labels": 1, "lowest_quality": 100,
    "real_target": 1,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Train a GAN on album covers. Options are named as in diffusers' training examples."""

    # What
    recipe: str = "projected"  # which GAN; train.py --recipe NAME --help shows its own settings
    output_dir: str = "runs/album_gan"  # folder for the run: model, checkpoints, log, samples
    overwrite: bool = False  # delete an existing run in output_dir
    resolution: int = 128  # pixels; a power of two
    # Covers
    dataset_name: str | None = None  # Hub id, a builder such as parquet, or synthetic
    train_data_dir: str | None = None  # folder of pictures, parquet files or tars
    data_files: str | None = None  # files for the builder, e.g. 'my_covers/*.parquet'
    streaming: bool = False  # read covers as needed, for sets too large for the disk; does not resume exactly
    image_column: str | None = None  # column of the covers; by default the one with pictures
    label_column: str | None = None  # column of classes, e.g. genre, for recipes that take labels; auto: detect it
    mixture_column: str | None = None  # more columns, e.g. style,genre, whose values become mixtures of the classes
    dataloader_num_workers: int = 2  # processes that prepare batches
    # Duration and speed
    max_train_steps: int = 5_000  # generator updates
    minutes: float | None = None  # train for this long instead; schedules adapt to it
    train_batch_size: int = 32  # images per process and backward pass
    gradient_accumulation_steps: int = 1  # backward passes per update
    learning_rate: float | None = None  # of both networks, at the start of the schedule; overrides the recipe's
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"  # auto: bf16 if the hardware supports it
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"  # auto: a GPU if there is one
    compile: bool = False  # torch.compile the networks: takes minutes at the start, then trains faster
    deterministic: bool = False  # on GPUs: only deterministic kernels, which are slower; CPUs are always deterministic
    seed: int = 0  # random seed
    # Starting and resuming
    init_from: str | None = None  # start from a trained model (bundled, a folder, a Hub id), also of a lower resolution
    resume_from_checkpoint: str | None = None  # latest, a run's or checkpoint's folder, or the Hub id of a pushed run
    checkpointing_steps: int = 500  # steps between checkpoints
    checkpoints_total_limit: int | None = 3  # older ones are deleted; the best by kid is in best/
    # Watching
    logging_steps: int = 50  # steps between log lines
    sample_images: int = 5_000  # images between sample sheets
    evaluation_images: int = 20_000  # images between evaluations (kid, recall, alarms); 0: none
    evaluation_samples: int = 256  # samples per evaluation, against as many held-out covers
    watching_share: float = 0.04  # maximum fraction of the time for sheets and evaluations; 1: no limit
    report_to: Literal["tensorboard", "trackio", "wandb", "none"] = "tensorboard"  # experiment tracker
    # Publishing
    push_to_hub: bool = False  # publish the finished model
    hub_model_id: str | None = None  # under this id, owner/name
    data_rights: str | None = None  # statement in the model card about the data; without it the repository is private
    license: str | None = None  # of the weights, by the Hub's id, e.g. cc-by-4.0; without it the card grants none

    def __post_init__(self) -> None:
        at_least = {
            "resolution": 1, "train_batch_size": 1, "gradient_accumulation_steps": 1, "max_train_steps": 1,
            "checkpointing_steps": 1, "sample_images": 1, "logging_steps": 1, "dataloader_num_workers": 0,
            "evaluation_images": 0, "evaluation_samples": 8, "checkpoints_total_limit": 1, "seed": 0,
        }  # fmt: skip
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2^63, got {self.seed}; choose a smaller one")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}; 1e-4 is usual")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise ValueError(f"minutes must be above 0, got {self.minutes}; leave it out to count steps")
        if not 0 < self.watching_share <= 1:
            raise ValueError(f"watching_share must be above 0 and at most 1, got {self.watching_share}; 0.04 is usual")
        if self.mixed_precision not in ("auto", "no", "bf16"):
            raise ValueError(
                f"mixed_precision must be auto, no or bf16, got {self.mixed_precision!r}; "
                "fp16 shares one loss scale between two optimisers, choose bf16"
            )
        if self.report_to != "none" and importlib.util.find_spec(self.report_to) is None:
            raise ValueError(f"report_to {self.report_to} is not installed; pip install {self.report_to}, or none")
        if self.overwrite and self.resume_from_checkpoint:
            raise ValueError(
                f"overwrite must not be set with resume_from_checkpoint {self.resume_from_checkpoint}: one deletes the "
                "run that the other resumes; leave one out"
            )
        if self.push_to_hub and not is_hub_id(self.hub_model_id):
            raise ValueError(f"hub_model_id must be owner/name to push to, got {self.hub_model_id!r}; e.g. me/covers")

    @property
    def source(self) -> CoverSource:
        """The data set's location and columns."""
        return CoverSource(**{field.name: getattr(self, field.name) for field in dataclasses.fields(CoverSource)})

    def build_recipe(self, recipe_config: Any = None) -> Recipe:
        """The recipe, with its default settings unless `recipe_config` is given, and with `learning_rate` if it is set.

        Raises ValueError for a resolution or a label column that it does not support.
        """
        module = recipe_module(self.recipe)
        recipe_config = recipe_config or module.Config()
        check_numbers(self.recipe, recipe_config)
        if self.learning_rate is not None:
            recipe_config = with_learning_rate(recipe_config, self.learning_rate)
        recipe = module.Recipe(recipe_config, self.resolution)
        if self.label_column and not recipe.takes_labels:
            takers = ", ".join(name for name, other in recipe_modules() if other.Recipe.takes_labels)
            raise ValueError(f"label_column is for {takers}, got recipe {self.recipe}; choose another, or leave it out")
        if self.mixture_column and not (recipe.takes_mixtures and self.label_column):
            takers = ", ".join(name for name, other in recipe_modules() if other.Recipe.takes_mixtures)
            raise ValueError(
                f"mixture_column is for {takers} with a label_column, got recipe {self.recipe} with label_column "
                f"{self.label_column}; add it, or leave mixture_column out"
            )
        return recipe

    def settings(self, recipe: Recipe) -> dict[str, Any]:
        """All settings of a run as JSON, for checkpoints, trackers and the model card.

        A folder that looks like a name on the Hub, "runs/mine", is written as an absolute path: from another folder it
        would be taken for such a name, and published.
        """
        settings = dataclasses.asdict(self)
        del settings["overwrite"]  # applies to one start, not to the run
        for name in ("init_from", "dataset_name"):
            if is_hub_id(settings[name]) and Path(settings[name]).exists():
                settings[name] = str(Path(settings[name]).resolve())
        return {**settings, self.recipe: dataclasses.asdict(recipe.config)}


def with_learning_rate(settings: Any, rate: float) -> Any:
    """A recipe's settings with `rate` for all networks; the last rate of a schedule changes in proportion."""
    changed = {}
    for field in dataclasses.fields(settings):
        if field.name == "last_learning_rate":
            changed[field.name] = settings.last_learning_rate * rate / settings.learning_rate
        elif field.name.endswith("learning_rate"):
            changed[field.name] = rate
    return dataclasses.replace(settings, **changed)


def check_numbers(recipe: str, settings: Any) -> None:
    """Raise ValueError unless a recipe's whole numbers are 1 or more (a number of codes: 0), and its others 0 or more.

    Those in BELOW_ONE must be below 1, those in MOST at most that. A schedule may end with a learning rate of 0, but
    not start with it.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        least = 1 if "int" in str(field.type) and not field.name.endswith("_codes") else 0
        if not least <= value < math.inf:
            raise ValueError(f"{recipe}.{field.name} must be at least {least}, got {value}; see train.py --help")
        if field.name in BELOW_ONE and value >= 1:
            raise ValueError(f"{recipe}.{field.name} must be below 1, got {value}; see train.py --help")
        if value > (most := MOST.get(field.name, math.inf)):
            raise ValueError(f"{recipe}.{field.name} must be at most {most}, got {value}; see train.py --help")
        if field.name.endswith("learning_rate") and field.name != "last_learning_rate" and not value:
            raise ValueError(f"{recipe}.{field.name} must be above 0, got {value}; see train.py --help")
