#!/usr/bin/env bash
# On a CPU: look first, then make a few pairs.
set -euo pipefail
MODEL=${MODEL:-demo}   # the bundled model; HuggingFaceTB/SmolLM2-135M-Instruct is a small real one
ROWS=${ROWS:-answers.jsonl}
OUT=${OUT:-runs}
ENGINE=${ENGINE:-transformers}
settings=(--engine "$ENGINE" --checkpoint "$MODEL" --prompt-path "$ROWS" --sample-max-num 20 --max-new-tokens 128)

# The first prompts as the model would see them, tokens, and the price at a provider of 0.15 and 0.60 a million.
prefdata dropout-ntp "${settings[@]}" --out-dir "$OUT" --dry-run --price-per-mtok 0.15,0.60

prefdata dropout-ntp "${settings[@]}" --out-dir "$OUT"
