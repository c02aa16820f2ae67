#!/bin/bash
# Train on several machines of a Slurm cluster; all of them must see this folder and the covers:
#
#   sbatch --nodes 2 runs/slurm.sh --train_data_dir /shared/my_covers --output_dir /shared/runs/mine
#
# When the time is over, Slurm sends SIGTERM, and the run leaves a checkpoint and a model. The same line resumes it.
#SBATCH --job-name album-gan
#SBATCH --ntasks-per-node 1
#SBATCH --gpus-per-node 4
#SBATCH --cpus-per-task 32
#SBATCH --time 04:00:00
#SBATCH --signal TERM@120
#SBATCH --output runs/slurm-%j.log
set -euo pipefail
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=110 # seconds that accelerate's launcher waits for a checkpoint and a model
cd "${SLURM_SUBMIT_DIR:-.}"
. .venv/bin/activate

nodes=$SLURM_JOB_NUM_NODES
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
export PROCESSES=$((nodes * SLURM_GPUS_ON_NODE)) NODES=$nodes FIRST=$first PORT=$((20000 + SLURM_JOB_ID % 20000))

# shellcheck disable=SC2016  # SLURM_NODEID is each machine's own
exec srun --kill-on-bad-exit=1 bash -c 'exec accelerate launch --multi_gpu --num_machines "$NODES" --num_processes "$PROCESSES" \
    --machine_rank "$SLURM_NODEID" --main_process_ip "$FIRST" --main_process_port "$PORT" \
    --mixed_precision no --dynamo_backend no train.py "$@"' train --resume_from_checkpoint latest "$@"
