#!/bin/sh
# vendi-score 0.0.3 (the authors' package of the Vendi score, arXiv:2210.02410, and of its orders q, arXiv:2310.12952; an
# effective number of different pictures): two of its functions give another number than the same pictures' kernel does, in three cases.
# A sparse kernel, which one builds by keeping only near neighbours: `score_K` takes scipy's six largest eigenvalues of it and no
# others, whose sum is no longer 1, so a hundred pictures of which no two are alike score 1.3, nearly as if all were the same,
# instead of 100. `score_X` accepts an order q and calculates that of 1 (it calls `score_K(K, q=1)`). And of small orders,
# the paper's proposal for rare modes, `score_K` counts rounding noise: eigenvalues of 1e-9 that should be 0 are worth
# 1e-9 ** 0.1 = 0.13 pictures each, so a thousand pictures with 64 features score more than the 64 there can be, and 2.6 times
# as much as `score_dual` says, if the kernel is in float32. Remedy: dense kernels and `score_dual`
# (all in vendi_score/vendi.py).
#
# Guess beforehand: `score_K`, `score_X` and `score_dual` agree for rows of unit length, at every order; then, once `score_X`
# was seen not to, rounding makes `score_K` too large at q = 0.1 by 5 to 10 % in float64 and by half or more in float32.
# (That a sparse kernel gets six eigenvalues was read in the source before the run; guessed was a score of at most 6.)
# Seen: dense 100.0, sparse 1.3. q = 0.1, 0.5, 2: `score_dual` 63.78, 62.93, 60.01, `score_X` 61.91 each. q = 0.1, `score_K`:
# 76.3 in float64 (20 % too large), 165 in float32.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check vendi-score==0.0.3 numpy==2.3.5 scipy==1.17.1 \
    scikit-learn==1.8.0
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import scipy.sparse
from vendi_score import vendi

different = np.eye(100)  # no picture is like another
dense, sparse = vendi.score_K(different), vendi.score_K(scipy.sparse.csr_matrix(different))
print(f"a hundred different pictures: dense {dense:.1f}, sparse {sparse:.2f}")

rows = np.random.default_rng(0).normal(size=(1000, 64))
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
dual = {q: float(vendi.score_dual(rows, q=q)) for q in (0.1, 0.5, 2)}
by_rows = {q: float(vendi.score_X(rows, q=q)) for q in dual}
print("score_dual", {q: round(value, 2) for q, value in dual.items()})
print("score_X   ", {q: round(value, 2) for q, value in by_rows.items()})

half = rows.astype(np.float32)
double, single = (float(vendi.score_K(kernel, q=0.1)) for kernel in (rows @ rows.T, half @ half.T))
print(f"q = 0.1 by score_K: {double:.1f} in float64, {single:.1f} in float32")

assert abs(dense - 100) < 0.01 and sparse < 2, "a sparse kernel now gets all of its eigenvalues"
assert len({round(value, 6) for value in by_rows.values()}) == 1 < len({round(value, 6) for value in dual.values()}), (
    "score_X takes its order now"
)
assert double > 1.1 * dual[0.1] and single > 100, "rounding is no longer counted"
PYTHON
