#!/bin/sh
# From a bare GPU box to a measured model, and a line in the table of time to quality (runs/time-to-quality.md):
#
#   runs/speedrun.sh COVERS [MINUTES] [OPTIONS OF train.py ...]
#
# COVERS: a folder of pictures or parquet files, or `synthetic`. MINUTES of training, by default 60. The folder of the
# run is $OUT, by default runs/speedrun. Called again after an interruption, it resumes. $PYTHON is any Python that is
# 3.11 or newer; its torch is used where it has one.
set -eu
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
covers=$1 minutes=${2:-60} out=${OUT:-runs/speedrun}
[ $# -lt 2 ] && shift 1 || shift 2

# --- Install, in an environment that sees the box's own torch
if [ -z "${VIRTUAL_ENV:-}" ]; then
    [ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv --system-site-packages .venv
    PATH="$PWD/.venv/bin:$PATH"
fi
python -c 'import accelerate, album_gan, datasets, stlpips_pytorch' 2>/dev/null || pip install --quiet -e '.[evaluate]'

# --- Is this machine well?
if [ "$covers" = synthetic ]; then
    set -- --dataset_name synthetic "$@"
    with_covers() { "$@" --dataset-name synthetic; }
else
    set -- --train_data_dir "$covers" "$@"
    with_covers() { "$@" --train-data-dir "$covers"; }
fi
with_covers album-gan doctor --output-dir "$out"

# --- Train on all GPUs, and measure
gpus=$(python -c 'import torch; print(torch.cuda.device_count())')
launch="accelerate launch --num_machines 1 --mixed_precision no --dynamo_backend no"
case $gpus in
    0) launch="$launch --cpu --num_processes 1" ;;
    1) launch="$launch --num_processes 1" ;;
    *) launch="$launch --multi_gpu --num_processes $gpus" ;;
esac
$launch train.py --output_dir "$out" --minutes "$minutes" --report_to none --resume_from_checkpoint latest "$@"
with_covers album-gan evaluate --model "$out" --out "$out/evaluation.json"
python benchmarks/time_to_quality.py "$out" --table runs/time-to-quality.md
