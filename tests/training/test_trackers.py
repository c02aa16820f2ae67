"""What trackers are told, and that a resumed run goes on where its checkpoint was."""

import importlib.util
import shutil

import pytest
from drawn_covers import save_covers

from album_gan.hub.run_checkpoints import latest_checkpoint
from train import main


@pytest.fixture
def words(tmp_path) -> list[str]:
    folder = save_covers(tmp_path / "covers", 30)
    return [
        *("--recipe", "vanilla", "--vanilla.width", "32", "--train_data_dir", str(folder), "--resolution", "32"),
        *(
            "--train_batch_size",
            "4",
            "--dataloader_num_workers",
            "0",
            "--logging_steps",
            "1",
            "--evaluation_images",
            "0",
        ),
        *("--checkpointing_steps", "2", "--output_dir", str(tmp_path / "run")),
    ]


def test_tensorboard_has_each_step_once_after_a_resume(words, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main([*words, "--max_train_steps", "5"]) == 0
    shutil.rmtree(latest_checkpoint(tmp_path / "run"))  # step 5 of the first run is lost, and what it logged with it
    assert latest_checkpoint(tmp_path / "run").name == "checkpoint-4"
    assert main([*words, "--max_train_steps", "7", "--resume_from_checkpoint", "latest"]) == 0
    events = EventAccumulator(str(tmp_path / "run" / "album_gan"))
    events.Reload()
    steps = [event.step for event in events.Scalars("generator/cross_entropy")]
    assert steps == [4 * step for step in range(1, 8)]  # in images shown
    assert "waiting_for_data" in events.Tags()["scalars"]


@pytest.mark.parametrize("tracker", ["trackio", "wandb"])
def test_other_trackers_where_they_are_installed(tracker, words, tmp_path, monkeypatch):
    if importlib.util.find_spec(tracker) is None:
        pytest.skip(f"{tracker} is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    assert main([*words, "--max_train_steps", "2", "--report_to", tracker]) == 0
    assert list(
        (tmp_path / "run" / "wandb").glob("offline-run-*") if tracker == "wandb" else (tmp_path / "trackio").iterdir()
    )
