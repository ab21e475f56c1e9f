#!/usr/bin/env bash
# A server somewhere else, by OpenAI's protocol. On the machine with the GPUs:
#   vllm serve OpenGVLab/InternVL3-38B-hf --tensor-parallel-size 4
# and, where the server is behind a login node, a tunnel from here:
#   ssh -N -L 8000:gpu7:8000 login &
# A key is read from the environment variable OPENAI_API_KEY and stands nowhere else.
set -euo pipefail
MODEL=${MODEL:-OpenGVLab/InternVL3-38B-hf}   # the server's name for it
ROWS=${ROWS:-answers.jsonl}
OUT=${OUT:-runs}
BASE_URL=${BASE_URL:-http://localhost:8000/v1}

# --split-unit word: the share of the answer is counted without the model's tokenizer, which this machine need not have.
prefdata dropout-ntp --engine openai --base-url "$BASE_URL" --checkpoint "$MODEL" --prompt-path "$ROWS" --out-dir "$OUT" \
  --split-unit word --temperature 1.0 --max-new-tokens 1024 --batch-size 64 --stall-timeout 900
