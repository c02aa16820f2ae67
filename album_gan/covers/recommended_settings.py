"""Recommended settings for a data set's size, and the reasons."""

FEW_COVERS = 3_000  # below this, starting from a trained model beats training from scratch
MANY_COVERS = 20_000  # enough, with a GPU, to train at 256 px from scratch


def settings_for(covers: int, machine: str, gpu: bool) -> tuple[dict[str, str], str]:
    """Training options for this number of covers on this machine, and a sentence that says why."""
    few = covers < FEW_COVERS
    minutes = {(False, True): "60", (False, False): "480", (True, True): "30", (True, False): "240"}[gpu, few]
    options = {"minutes": minutes, **({"train_batch_size": "64"} if gpu else {})}
    if few or not gpu:
        reason = "are few" if few else "need more than a night on CPUs from scratch"
        options |= {"init_from": "bundled", "resolution": "128"}
        why = f"{covers:,} covers {reason}: it starts from the bundled model, at 128 px"
    else:
        options["resolution"] = "256" if covers >= MANY_COVERS else "128"
        why = f"{covers:,} covers are enough to start from scratch, at {options['resolution']} px"
    return options, f"{why}, on {machine}."
