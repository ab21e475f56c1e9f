#!/usr/bin/env bash
#SBATCH --job-name=merge-runs
#SBATCH --cpus-per-task=2
#SBATCH --time=01:00:00
# The shards of slurm_array.sh to the files that one run would have written. Refuses while a shard is missing.
set -euo pipefail
OUT=${OUT:-shards}
MERGED=${MERGED:-merged}

prefdata merge-runs "$OUT"/*/*.shard-*-of-* --out-dir "$MERGED"
