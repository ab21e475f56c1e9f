#!/usr/bin/env bash
# One GPU. vLLM schedules by itself: hundreds of questions are in flight, and nothing waits for the slowest.
set -euo pipefail
MODEL=${MODEL:-OpenGVLab/InternVL3-8B-hf}
ROWS=${ROWS:-answers.jsonl}
OUT=${OUT:-runs}
ENGINE=${ENGINE:-vllm}

prefdata dropout-ntp --engine "$ENGINE" --checkpoint "$MODEL" --prompt-path "$ROWS" --out-dir "$OUT" \
  --temperature 1.0 --top-k 50 --max-new-tokens 1024 --stall-timeout 900
