#!/bin/sh
# diffusers 0.42.1 with torch 2.13.0: `DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", solver_order=3)`, what
# others call DPM++ 3M SDE, does not converge: the more steps, the farther its pictures are from the data. With an exact
# network, of data with a deviation of 1, it draws a deviation of 1.06 in 20 steps, 1.10 in 50, 1.32 in 200; the second
# order, which costs the same, is within 2% from 20 steps on. Nothing is raised, and too much contrast and noise look like a
# fault of the network. The usual remedy, more steps, makes it worse. A sign is wrong: of the three terms by which the
# third order extrapolates what the network predicts, the last has the weight `(1 - exp(-2h) - 2h) / (2h)**2 - 0.5`, which
# tends to -1 for small steps h, where with `+ 0.5` it tends to 0 (`multistep_dpm_solver_third_order_update` in
# scheduling_dpmsolver_multistep.py; the inverse scheduler has a copy). With that sign turned it converges, and the solver
# without noise beside it has the right one. With Karras's or exponential spacing the error is smaller and falls slowly.
# The third order came with pull request 9104, of 2024. The documentation's page on the scheduler still says that SDEs are
# supported for the first and second order only; the class's own does not, and takes it. No issue about what it draws was
# found.
# `DPMSolverSinglestepScheduler` of this type, which asks the network as often, is the worse the higher its order, and worse
# than the first order of the multistep scheduler.
#
# Guess beforehand (with the exact network of a normal distribution, in 50 steps, of 17 schedulers with their options):
# "all within 5 % of the right deviation, but for log_linear (known to us) and what spacing "leading"/"linspace" leave as
# noise; something else wrong: 55 %, likeliest KDPM2/Heun with exponential or beta sigmas, SASolver, DEIS, prediction
# "sample"". (In those nothing was silently wrong; first orders are 4 to 10% low, as coarse steps are. After reading the
# source it was guessed that turning the sign mends it, at 90%, and that the error falls in proportion to the step, at 80%;
# it grows.)
# Seen, deviation drawn as a multiple of the data's, which is 1, in 20, 50, 100, 200 steps: order 1 0.88, 0.94, 0.97, 0.98;
# order 2 0.99, 1.00, 1.00, 1.00; order 3 1.06, 1.10, 1.19, 1.32; with the sign turned 1.00 in all. Data of 0.5, 20 steps,
# Karras's spacing: order 2 1.03, order 3 1.12, turned 1.02; exponential 1.02, 1.07, 1.02. Data of 0.5, 50 steps: multistep
# of orders 1 and 2 0.90 and 0.98, singlestep of orders 2 and 3 0.88 and 0.85.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 diffusers==0.42.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import inspect
import textwrap
import warnings

import diffusers
import torch
from diffusers import DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler
from diffusers.schedulers import scheduling_dpmsolver_multistep

warnings.filterwarnings("ignore")
diffusers.logging.set_verbosity_error()
torch.set_num_threads(1)
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}  # Stable Diffusion's
STOCHASTIC = {**BETAS, "algorithm_type": "sde-dpmsolver++"}
UPDATE = "multistep_dpm_solver_third_order_update"


class Turned(DPMSolverMultistepScheduler):
    """The same scheduler with one sign of its third order turned."""


source = textwrap.dedent(inspect.getsource(getattr(DPMSolverMultistepScheduler, UPDATE)))
assert source.count("(2.0 * h) ** 2 - 0.5)) * D2") == 1
names = {}
turned_source = source.replace("(2.0 * h) ** 2 - 0.5)) * D2", "(2.0 * h) ** 2 + 0.5)) * D2")
exec(turned_source, vars(scheduling_dpmsolver_multistep), names)
setattr(Turned, UPDATE, names[UPDATE])


def drawn(kind, order, steps, deviation, **options):
    """Deviation of what is drawn from data ~ normal(0, deviation) with its exact network, as a multiple of the data's."""
    scheduler = kind(solver_order=order, **{**STOCHASTIC, **options})
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 4, 64, 64, generator=generator).double()
    for sigma, timestep in zip(scheduler.sigmas.double(), scheduler.timesteps):
        signal = (1 + sigma**2) ** -0.5
        noise = sigma * signal
        picture = deviation**2 * signal / (signal**2 * deviation**2 + noise**2) * x
        x = scheduler.step((x - signal * picture) / noise, timestep, x, generator=generator).prev_sample
    return x.std().item() / deviation


found = {}
for name, kind, order in (
    ("order 1", DPMSolverMultistepScheduler, 1),
    ("order 2", DPMSolverMultistepScheduler, 2),
    ("order 3", DPMSolverMultistepScheduler, 3),
    ("turned", Turned, 3),
):
    found[name] = [drawn(kind, order, steps, 1.0) for steps in (20, 50, 100, 200)]
    print(name, "in 20, 50, 100, 200 steps:", *(f"{value:.2f}" for value in found[name]))
    assert (found[name] == sorted(found[name]) and found[name][-1] > 1.2) == (name == "order 3")
assert all(abs(value - 1) < 0.02 for name in ("order 2", "turned") for value in found[name])
without = [drawn(DPMSolverMultistepScheduler, 3, steps, 1.0, algorithm_type="dpmsolver++") for steps in (20, 200)]
print("order 3 without noise in 20, 200 steps:", *(f"{value:.2f}" for value in without))
assert all(abs(value - 1) < 0.05 for value in without)

for spacing in ("use_karras_sigmas", "use_exponential_sigmas"):
    second, third, turned = (
        drawn(kind, order, 20, 0.5, **{spacing: True})
        for kind, order in ((DPMSolverMultistepScheduler, 2), (DPMSolverMultistepScheduler, 3), (Turned, 3))
    )
    print(f"{spacing}, 20 steps: order 2 {second:.2f}, order 3 {third:.2f}, turned {turned:.2f}")
    assert third > 1.05 and third - 1 > 2 * abs(turned - 1)

multi = [drawn(DPMSolverMultistepScheduler, order, 50, 0.5) for order in (1, 2)]
single = [drawn(DPMSolverSinglestepScheduler, order, 50, 0.5) for order in (2, 3)]
print("multistep, orders 1, 2:", *(f"{value:.2f}" for value in multi), end="; ")
print("singlestep, orders 2, 3:", *(f"{value:.2f}" for value in single))
assert single[1] < single[0] < multi[0] < multi[1] < 1
PYTHON
