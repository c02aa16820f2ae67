"""Training through its real command line: smoke, resume, signals, bad input."""

import gc
import html
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from short_runs import ROOT, alarms_of, command, finish, start, wait_for

from album_gan import AlbumCoverPipeline
from album_gan.hub.run_checkpoints import latest_checkpoint, read_state
from album_gan.recipes import dcgan
from album_gan.training.config import TrainingConfig
from album_gan.training.loop import Trainer, set_up, train
from album_gan.training.run import Run
from album_gan.training.watching.monitor import PREVIEW_SHARE, Monitor
from train import main


def test_a_polite_stop_leaves_a_checkpoint_and_a_model(my_covers, tmp_path):
    arguments = command(my_covers, tmp_path, "dcgan", "--max_train_steps", 100_000, "--checkpointing_steps", 5)
    process = start(arguments)
    wait_for(tmp_path / "checkpoint-5", process)
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert read_state(latest_checkpoint(tmp_path))["step"] >= 5
    assert AlbumCoverPipeline.from_pretrained(tmp_path)(seeds=[3]).images[0].size == (32, 32)


def test_starting_from_a_trained_model(my_covers, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(command(my_covers, first, "dcgan", "--max_train_steps", 2)) == 0
    assert main(command(my_covers, second, "dcgan", "--max_train_steps", 1, "--init_from", first)) == 0
    before = load_file(first / "generator/diffusion_pytorch_model.safetensors")
    after = load_file(second / "checkpoint-1" / "state.safetensors")["generator.project.weight"]  # not rounded
    # One step of the thousand of warm-up: hardly moved, but moved.
    moved = (before["project.weight"] - after).abs().max().item()
    assert 0 < moved < 0.002
    afresh = tmp_path / "afresh"
    assert main(command(my_covers, afresh, "dcgan", "--max_train_steps", 1, "--seed", 5)) == 0
    other = load_file(afresh / "generator/diffusion_pytorch_model.safetensors")
    assert (before["project.weight"] - other["project.weight"]).abs().max().item() > 0.02


def test_a_run_in_bf16_resumes(my_covers, tmp_path, capsys):
    """Its weights stay in full precision, and two halves are the whole."""
    states = {}
    for name, ends in (("whole", [4]), ("halves", [2, 4])):
        words = command(my_covers, tmp_path / name, "dcgan", "--mixed_precision", "bf16", "--checkpointing_steps", 2)
        for end in ends:
            more = ["--resume_from_checkpoint", "latest"] if end > ends[0] else []
            assert main([*words, "--max_train_steps", str(end), *more]) == 0
        states[name] = load_file(tmp_path / name / "checkpoint-4" / "state.safetensors")
    assert capsys.readouterr().out.count("bf16 on cpu, 1 process\n") == 3
    weights = states["whole"]["generator.project.weight"]
    assert weights.dtype == torch.float32
    assert not torch.equal(weights, weights.bfloat16().float())
    assert states["whole"].keys() == states["halves"].keys()
    assert all(torch.equal(tensor, states["halves"][name]) for name, tensor in states["whole"].items())


def test_init_from_another_architecture_says_so(my_covers, tmp_path, capsys):
    first = tmp_path / "first"
    assert main(command(my_covers, first, "dcgan", "--max_train_steps", 1)) == 0
    wider = command(my_covers, tmp_path / "x", "dcgan", "--init_from", first, "--dcgan.width", 128)
    assert main(wider) == 2
    expected = "does not fit this run's DCGANGenerator (width 64 there and 128 here); use the same recipe"
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_resume_where_there_is_nothing_yet_starts_afresh(my_covers, tmp_path, capsys):
    arguments = command(my_covers, tmp_path / "run", "dcgan", "--max_train_steps", 1)
    assert main([*arguments, "--resume_from_checkpoint", "latest"]) == 0
    assert "no checkpoint in" in capsys.readouterr().out


def test_printed_commands_can_be_pasted(my_covers, tmp_path, capsys):
    run = tmp_path / "my run's"
    more = ["--hub_model_id", "me/mine", "--data_rights", "my own photographs"]
    assert main(command(my_covers, run, "dcgan", "--max_train_steps", 1, *more)) == 0
    see, publish = capsys.readouterr().out.splitlines()[-2:]
    assert shlex.split(see.partition(":")[2]) == ["album-gan", "demo", "--model", str(run)]
    words = ["--repo-id", "me/mine", "--data-rights", "my own photographs"]
    assert shlex.split(publish.partition(":")[2]) == ["album-gan", "push", str(run), *words]
    page = html.unescape((run / "progress.html").read_text())
    assert f"album-gan demo --model {shlex.quote(str(run))}<" in page


def test_gradients_are_accumulated(my_covers, tmp_path):
    """A batch in parts gives the whole batch's gradients, where no normalisation looks at the parts.

    The generator's are compared among batches in parts: of a whole one both networks share the fakes.
    """
    momentum = {}
    for parts in (1, 2, 4):
        folder = tmp_path / str(parts)
        more = ("--train_batch_size", 4 // parts, "--gradient_accumulation_steps", parts)
        assert main(command(my_covers, folder, "vanilla", "--max_train_steps", 1, *more)) == 0
        state = load_file(folder / "checkpoint-1" / "state.safetensors")
        momentum[parts] = {name: tensor for name, tensor in state.items() if name.endswith("momentum_buffer")}
        assert json.loads((folder / "training.json").read_text())["images"] == 4
    for network, one, other in (("discriminator", 1, 2), ("discriminator", 2, 4), ("generator", 2, 4)):
        names = [name for name in momentum[one] if name.startswith(f"{network}_optimizer")]
        assert len(names) > 3
        for name in names:
            gradient = momentum[one][name]
            assert gradient.abs().max() > 0
            torch.testing.assert_close(momentum[other][name], gradient, rtol=1e-4, atol=1e-5 * gradient.abs().max())


def test_bare_call_prints_three_commands():
    process = subprocess.run([sys.executable, "train.py"], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr.count("accelerate launch train.py") == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resolution", "100"], "resolution must be a power of two from 32 to 512 for recipe projected, got 100"),
        (["--recipe", "nogan"], "recipe must be one of"),
        (["--train_data_dir", "{tmp}/empty"], "train_data_dir must hold pictures"),
        (["--train_data_dir", "{tmp}/missing"], "train_data_dir must be a folder"),
        (["--train_batch_size", "0"], "train_batch_size must be at least 1, got 0"),
        (["--resume_from_checkpoint", "{tmp}/none"], "must be latest, a folder or a Hub id"),
        (["--init_from", "{tmp}/none"], "must be bundled, teaching, a folder or a Hub id"),
        (["--output_dir", "{tmp}/file/run"], "output_dir must be a folder that you may write to"),
        (["--seed", "9223372036854775808"], "seed must be below 2^63"),
        (["--recipe", "dcgan", "--dcgan.width", "0"], "dcgan.width must be at least 1, got 0"),
        (["--recipe", "dcgan", "--learning_rate", "-1"], "learning_rate must be above 0, got -1.0"),
        (["--config", "nowhere.json"], "config must be a JSON file of settings, but nowhere.json is not"),
        (["--price_per_hour", "2"], "price_per_hour needs --dry_run"),
    ],
)
def test_bad_input_is_one_line(more, message, my_covers, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    more = [word.replace("{tmp}", str(tmp_path)) for word in more]
    output = tmp_path / "out"
    assert main([*("--train_data_dir", str(my_covers), "--output_dir", str(output), "--report_to", "none"), *more]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("train.py: ")
    assert message in error
    assert not output.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--mixed_precision", "fp16"], "Expected one of ('auto', 'no', 'bf16')"),
        (["--max_train_steps", "many"], "--max_train_steps"),
        (["--reslution", "64"], "Perhaps you meant"),
    ],
)
def test_options_of_a_wrong_name_or_type_are_explained(more, message, my_covers, tmp_path, capsys):
    assert main(["--train_data_dir", str(my_covers), "--output_dir", str(tmp_path / "out"), *more]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_dashes_and_underscores_are_the_same(my_covers, tmp_path, capsys):
    assert main(["--train-data-dir=" + str(tmp_path / "a-b_c"), "--output-dir", "x"]) == 2
    assert "a-b_c" in capsys.readouterr().err


def test_a_changed_setting_is_said_on_resume(my_covers, tmp_path, capsys):
    arguments = command(my_covers, tmp_path, "vanilla", "--max_train_steps", 1)
    assert main(arguments) == 0
    longer = command(my_covers, tmp_path, "vanilla", "--max_train_steps", 2, "--resume_from_checkpoint", "latest")
    assert main([*longer, "--vanilla.learning_rate", "1e-3"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if " and is now " in line]
    assert told == ["max_train_steps was 1 and is now 2", "vanilla.learning_rate was 0.1 and is now 0.001"]
    with pytest.raises(ValueError, match="recipe must stay 'vanilla'"):
        train(
            TrainingConfig(
                recipe="dcgan", train_data_dir=str(my_covers), output_dir=str(tmp_path), resolution=32,
                resume_from_checkpoint="latest", report_to="none",
            )
        )  # fmt: skip


def test_a_signal_waits_for_the_last_checkpoint_and_a_stuck_old_one_is_only_told(
    my_covers, tmp_path, monkeypatch, capsys
):
    """A signal still asks to stop, instead of ending the process, while the last checkpoint is written."""
    handlers = []

    def slow_and_stuck(*_):
        time.sleep(1)
        handlers.append(signal.getsignal(signal.SIGTERM))
        raise PermissionError(13, "Permission denied", "checkpoint-1")

    monkeypatch.setattr("album_gan.training.run.rotate_checkpoints", slow_and_stuck)
    before = signal.getsignal(signal.SIGTERM)
    words = command(my_covers, tmp_path, "dcgan", "--max_train_steps", 2, "--checkpointing_steps", 2)
    assert main([*words, "--evaluation_images", "0"]) == 0
    assert len(handlers) == 1
    assert handlers[0] != before
    assert "an old checkpoint could not be deleted: [Errno 13]" in capsys.readouterr().out
    assert latest_checkpoint(tmp_path).name == "checkpoint-2"
    assert not alarms_of(tmp_path)


def test_a_step_leaves_no_tensors_behind(my_covers, tmp_path):
    """A few kilobytes a step are gigabytes in a night."""
    config = TrainingConfig(
        recipe="dcgan", resolution=32, train_data_dir=str(my_covers), train_batch_size=4, max_train_steps=9,
        output_dir=str(tmp_path), dataloader_num_workers=0, report_to="none",
    )  # fmt: skip
    split, accelerator, state = set_up(config, config.build_recipe(dcgan.Config(width=64)))
    counts = []
    for _ in Trainer(config, state, split, accelerator).steps():
        gc.collect()
        counts.append(sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects()))
    assert counts[3] == counts[5] == counts[8]


def test_a_batch_too_large_for_the_gpu_is_one_line(my_covers, tmp_path, capsys, monkeypatch):
    def too_large(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("album_gan.recipes.dcgan.Recipe.discriminator_terms", too_large)
    words = command(my_covers, tmp_path, "dcgan", "--max_train_steps", 2, "--train_batch_size", 16)
    assert main(words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "train_batch_size 16 does not fit into the GPU's memory; lower it" in error


def test_the_best_by_kid_is_kept_apart(my_covers, tmp_path, monkeypatch):
    """best/ is a model, and a checkpoint to go on from; rotation leaves it alone."""
    kids = iter([0.5, 0.3, 0.4, 0.6])

    def evaluate(self, images, samples, scores):
        kid = next(kids)
        self.run_log.log(images, {"kid": kid, "kid_floor": 0.01, "recall": 0.1})
        return kid

    monkeypatch.setattr(Monitor, "evaluate", evaluate)
    monkeypatch.setattr("album_gan.training.watching.monitor.FEW_HELD_OUT", 1)
    words = command(my_covers, tmp_path, "dcgan", "--max_train_steps", 8, "--checkpointing_steps", 1)
    words += ["--watching_share", "1", "--checkpoints_total_limit", "1"]
    assert main([*words, "--evaluation_images", "8"]) == 0
    assert read_state(tmp_path / "best")["step"] == 4
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-8"]
    assert AlbumCoverPipeline.from_pretrained(tmp_path / "best").fingerprint
    page = (tmp_path / "progress.html").read_text()
    assert "Best 300 at 16 images, kept in best/." in page
    assert 'http-equiv="refresh"' not in page  # it is over
    shutil.rmtree(tmp_path / "checkpoint-8")
    more = ["--resume_from_checkpoint", str(tmp_path / "best"), "--evaluation_images", "0"]
    assert main([*words, *more]) == 0
    assert read_state(latest_checkpoint(tmp_path))["step"] == 8


def test_all_of_the_watching_is_counted_and_is_no_training(my_covers, tmp_path, monkeypatch):
    """With the BatchNorm statistics before it, and the writing of best/ after it."""
    shares = []

    class Timed(Run):
        def watch(self, result, bar):
            before, started = self.monitor.seconds_watched, time.monotonic()
            super().watch(result, bar)
            seconds = time.monotonic() - started
            if counted := self.monitor.seconds_watched - before:
                shares.append((counted / seconds, (time.monotonic() - self.monitor.clock) / seconds))

    kids = iter(range(99, 0, -1))  # each the best so far
    monkeypatch.setattr("album_gan.training.loop.Run", Timed)
    monkeypatch.setattr(Monitor, "evaluate", lambda *_: next(kids))
    monkeypatch.setattr("album_gan.training.watching.monitor.FEW_HELD_OUT", 1)
    words = command(my_covers, tmp_path, "dcgan", "--max_train_steps", 7, "--evaluation_images", 8)
    assert main([*words, "--watching_share", "1"]) == 0
    assert read_state(tmp_path / "best")["step"] == 6
    assert len(shares) == 3
    for counted, trained in shares:
        assert counted > 0.8
        assert trained < 0.1


def test_all_of_a_preview_is_counted_and_is_no_training(my_covers, tmp_path, monkeypatch):
    shares = []

    class Timed(Run):
        def watch(self, result, bar):
            before, started = self.monitor.next_preview, time.monotonic()
            super().watch(result, bar)
            over = time.monotonic()
            if self.monitor.next_preview != before:
                counted = (self.monitor.next_preview - over) * PREVIEW_SHARE
                shares.append((counted / (over - started), (over - self.monitor.clock) / (over - started)))

    monkeypatch.setattr("album_gan.training.loop.Run", Timed)
    monkeypatch.setattr("album_gan.training.watching.monitor.FIRST_PREVIEW", 0.0)
    monkeypatch.setattr("album_gan.training.watching.monitor.PREVIEWS_EVERY", 0.0)
    assert main(command(my_covers, tmp_path, "dcgan", "--max_train_steps", 2, "--evaluation_images", 0)) == 0
    counted, trained = shares[0]
    assert counted > 0.8
    assert trained < 0.1


@pytest.mark.slow  # a compiler takes minutes
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_networks_train_and_are_saved_as_others(my_covers, tmp_path):
    arguments = command(my_covers, tmp_path / "run", "projected", "--max_train_steps", 3, "--compile")
    process = start(arguments)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    assert len(AlbumCoverPipeline.from_pretrained(str(tmp_path / "run"))(seeds="1-2").images) == 2
    weights = load_file(latest_checkpoint(tmp_path / "run") / "state.safetensors")
    assert not [name for name in weights if "_orig_mod" in name]


@pytest.mark.slow
def test_deterministic_kernels_change_nothing_on_cpus(my_covers, tmp_path):
    """In processes of their own: the switch is the process's."""
    runs = []
    for more in ([], ["--deterministic"]):
        folder = tmp_path / f"run{len(runs)}"
        process = start(command(my_covers, folder, "projected", "--max_train_steps", 2, *more))
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        runs.append(load_file(latest_checkpoint(folder) / "state.safetensors"))
    assert all(torch.equal(tensor, runs[1][name]) for name, tensor in runs[0].items())
