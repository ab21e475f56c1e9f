#!/usr/bin/env bash
#SBATCH --job-name=dropout-ntp
#SBATCH --array=0-63%16
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
# A shard a task; shards know nothing of each other, and a task that is stopped, killed or requeued goes on where it was.
#   id=$(sbatch --parsable slurm_array.sh)
#   sbatch --dependency=afterany:$id slurm_merge.sh
# Submit the array, or only the tasks that failed (sbatch --array=3-4 slurm_array.sh), until every task ends with exit
# code 0: finished shards take seconds. Another number of shards is another run: set SHARDS and --array=0-(SHARDS-1).
set -euo pipefail
MODEL=${MODEL:-OpenGVLab/InternVL3-8B-hf}
ROWS=${ROWS:-answers.jsonl}
OUT=${OUT:-shards}
ENGINE=${ENGINE:-vllm}
SHARDS=${SHARDS:-64}

# exec: Slurm's signal reaches the program itself.
exec prefdata dropout-ntp --engine "$ENGINE" --checkpoint "$MODEL" --prompt-path "$ROWS" --out-dir "$OUT" \
  --shard "$SLURM_ARRAY_TASK_ID/$SHARDS" --temperature 1.0 --top-k 50 --max-new-tokens 1024 --stall-timeout 900
