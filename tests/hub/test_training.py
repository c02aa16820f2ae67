"""A run is pushed when it ends; others go on with it, or start from it, by its Hub id: with a Hub on this machine."""

import json

import pytest
from loopback import loopback

from album_gan.covers.synthetic import draw_cover

# One after the other in one process: torch and datasets load once.
RUN = """
import json, sys
from album_gan.hub.run_checkpoints import read_state
from album_gan import AlbumCoverPipeline
from train import main
from pathlib import Path

common = ["--recipe", "dcgan", "--dcgan.width", "16", "--resolution", "32", "--train_data_dir", "covers",
          "--train_batch_size", "4", "--dataloader_num_workers", "0", "--report_to", "none", "--evaluation_images", "0",
          "--checkpointing_steps", "4", "--logging_steps", "2", "--sample_images", "8"]
push = ["--push_to_hub", "--hub_model_id", "me/run", "--data_rights", "drawn by the tests", "--license", "cc0-1.0"]
def train(output, steps, *more):
    assert main([*common, "--output_dir", output, "--max_train_steps", str(steps), *more]) == 0

train("whole", 12)
train("first", 8, *push)
train("second", 12, "--resume_from_checkpoint", "me/run", *push)
for steps in (16, 20):  # the same command after each interruption
    train("again", steps, "--resume_from_checkpoint", "me/run")
train("other", 2, "--init_from", "me/run")
weights = lambda folder: AlbumCoverPipeline.from_pretrained(folder).fingerprint
logged = [json.loads(line)["images"] for line in Path("second/log.jsonl").read_text().splitlines()]
print("RESULT", json.dumps({
    "same": weights("whole") == weights("second") == weights("me/run"),
    "logged": logged, "moments": sorted(path.name for path in Path("second/history").iterdir()),
    "command": json.loads(Path("second/training.json").read_text())["resume_from_checkpoint"],
}))
for wrong in (push[:3], ["--resume_from_checkpoint", "me/nothing"], ["--init_from", "me/nothing"]):
    assert main([*common, "--output_dir", "none", *wrong]) == 2
    assert not Path("none").exists()
"""


@pytest.mark.slow
def test_train_push_resume_and_start_from_the_hub(tmp_path):
    (tmp_path / "covers").mkdir()
    for index in range(24):
        draw_cover(index, 32).save(tmp_path / "covers" / f"{index}.png")
    with loopback(tmp_path) as hub:
        code, text = hub.run(RUN)
        assert code == 0, text[-3000:]
        found = json.loads(text.partition("RESULT ")[2].splitlines()[0])
        assert found["same"], "a run resumed from the Hub must equal one that never stopped"
        assert found["logged"] == sorted(found["logged"])
        assert found["logged"][0] == 4, "the log of the run that was resumed, from its first step on"
        assert found["moments"][0] == "000000000.webp"
        assert "resuming from again/checkpoint-16" in text
        assert "superseded" not in text
        assert text.count("'me/nothing' is neither a folder here nor a model you can read on the Hub") == 2

        state = json.loads(hub.ask("/test/state"))["model/me/run"]
        assert len(state["commits"]) == 3  # the empty one, and two pushes
        assert {"checkpoint/state.safetensors", "history/000000000.webp", "log.jsonl"} <= set(state["files"])
        for file in ("training.json", "checkpoint/state.json", "README.md"):
            content = hub.ask(f"/me/run/resolve/main/{file}").decode()
            assert str(tmp_path) not in content
            assert '"covers"' not in content.replace('"covers":', "")
        card = hub.ask("/me/run/resolve/main/README.md").decode()
        assert "accelerate launch train.py \\\n    --train_data_dir my_covers" in card
        assert "--dcgan.width 16" in card
        assert "license: cc0-1.0" in card
        assert "--license" not in card


STOPPED = """
import os, signal, sys, threading, time
from pathlib import Path
from train import main

def stop():
    log = Path("stopped/log.jsonl")
    while not log.exists() or not log.read_text():  # its first line is of the first step
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)

words = ["--recipe", "dcgan", "--dcgan.width", "16", "--resolution", "32", "--dataset_name", "synthetic",
         "--train_batch_size", "4", "--dataloader_num_workers", "0", "--report_to", "none", "--evaluation_images", "0",
         "--output_dir", "stopped", "--push_to_hub", "--hub_model_id", "me/stopped",
         "--data_rights", "drawn by the tests"]
threading.Thread(target=stop, daemon=True).start()
assert main([*words, "--max_train_steps", "100000"]) == 0
print("RESUMED")
assert main([*words, "--max_train_steps", "1", "--resume_from_checkpoint", "latest"]) == 0
"""


@pytest.mark.slow
def test_a_run_that_is_stopped_is_not_published(tmp_path):
    """It may be bad, and the model on the Hub good; once it is complete, it is."""
    with loopback(tmp_path) as hub:
        code, text = hub.run(STOPPED)
        assert code == 0, text[-3000:]
        stopped, _, resumed = text.partition("RESUMED")
        assert "stopped at step" in stopped
        command = "album-gan push stopped --repo-id me/stopped --data-rights 'drawn by the tests'\n"
        assert f"publish them:    {command}" in stopped
        assert f"published:       {hub.address}/me/stopped\n" in resumed
        assert "publish them:" not in resumed
        assert len(json.loads(hub.ask("/test/state"))["model/me/stopped"]["commits"]) == 2  # empty, and of the second
