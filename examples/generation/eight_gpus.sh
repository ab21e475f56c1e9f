#!/usr/bin/env bash
# The GPUs of one machine. Each copy of the model takes as few GPUs as hold it, and the copies share one queue; one copy
# over all of them would spend its time passing numbers around. `prefdata doctor` shows the plan beforehand.
set -euo pipefail
MODEL=${MODEL:-OpenGVLab/InternVL3-38B-hf}
ROWS=${ROWS:-answers.jsonl}
OUT=${OUT:-runs}
ENGINE=${ENGINE:-vllm}

prefdata dropout-ntp --engine "$ENGINE" --checkpoint "$MODEL" --tp auto --dp auto --prompt-path "$ROWS" --out-dir "$OUT" \
  --temperature 1.0 --top-k 50 --max-new-tokens 1024 --stall-timeout 900
