"""Recommended settings for a data set's size, and the reasons."""

FEW_COVERS = 3_000  # below this, starting from a trained model beats training from scratch
BUNDLED = 128  # pixels, of the bundled model
SMALLEST = 32  # pixels, of every recipe
MANY_COVERS = 20_000  # enough, with a GPU, to train at 256 px from scratch


def resolution_of(side: int) -> int:
    """The resolution in pixels for covers of this side: the largest power of two up to it, at least SMALLEST."""
    return max(SMALLEST, 1 << side.bit_length() - 1)


def settings_for(covers: int, machine: str, gpu: bool, side: int = 256) -> tuple[dict[str, str], str]:
    """Training options for this number of covers on this machine, and a sentence that says why.

    `side` is that of the covers, in pixels.
    """
    few = covers < FEW_COVERS
    minutes = {(False, True): "60", (False, False): "480", (True, True): "30", (True, False): "240"}[gpu, few]
    options = {"minutes": minutes, **({"train_batch_size": "64"} if gpu else {})}
    if side < BUNDLED:
        options["resolution"] = str(resolution_of(side))
        why = (
            f"{covers:,} covers of {side} px are too small for the bundled model, which draws {BUNDLED} px: "
            f"it starts from scratch, at {options['resolution']} px"
        )
    elif few or not gpu:
        reason = "are few" if few else "need more than a night on CPUs from scratch"
        options |= {"init_from": "bundled", "resolution": str(BUNDLED)}
        why = f"{covers:,} covers {reason}: it starts from the bundled model, at {BUNDLED} px"
    else:
        options["resolution"] = "256" if covers >= MANY_COVERS and side >= 256 else str(BUNDLED)
        why = f"{covers:,} covers are enough to start from scratch, at {options['resolution']} px"
    return options, f"{why}, on {machine}."
