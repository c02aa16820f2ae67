"""What fits a data set of some size: settings, and why."""

FEW_COVERS = 3_000  # below that, starting from a trained model beats starting from nothing
MANY_COVERS = 20_000  # enough, with a GPU, to train at 256 px from nothing


def settings_for(covers: int, machine: str, gpu: bool) -> tuple[dict[str, str], str]:
    """Options of a training for so many covers on this machine, and a sentence that says why."""
    few = covers < FEW_COVERS
    minutes = {(False, True): "60", (False, False): "480", (True, True): "30", (True, False): "240"}[gpu, few]
    options = {"minutes": minutes, **({"train_batch_size": "64"} if gpu else {})}
    if few or not gpu:
        reason = "are few" if few else "need more than a night on CPUs when one starts from nothing"
        options |= {"init_from": "bundled", "resolution": "128"}
        why = f"{covers:,} covers {reason}: it starts from the bundled model, at 128 px"
    else:
        options["resolution"] = "256" if covers >= MANY_COVERS else "128"
        why = f"{covers:,} covers are enough to start from nothing, at {options['resolution']} px"
    return options, f"{why}, on {machine}."


def advice(covers: int, recipe: str, resolution: int, init_from: str | None) -> str | None:
    """What a run on so many covers should rather be started with; None where that is as it is."""
    if covers >= FEW_COVERS or init_from:
        return None
    fits = (recipe, resolution) == ("projected", 128)
    options = "--init_from bundled" if fits else "--recipe projected --resolution 128 --init_from bundled"
    return f"ADVICE: {covers:,} covers are few to start from nothing. Start from a model that draws covers: {options}"
