"""`--dry-run`: the first prompts as the model would see them, and about what the run will cost; nothing is generated.

Where it stands: a command has made its requests and calls `rehearse` instead of opening a run directory. Weights are
not loaded and no server is asked. The decision to question: tokens are counted on some evenly spread requests and
multiplied, so a million rows take no longer than a hundred; tokens of images depend on the model and are left out.
"""

import sys
from collections import Counter
from collections.abc import Sequence

import msgspec

from pipelines.engines.base import Engine, Request
from prefdata.errors import PrefdataError

_SHOWN = 2
_COUNTED = 100
# Where no tokenizer is at hand: about right for English, too few for most others.
_CHARACTERS_PER_TOKEN = 4


def rehearse(
    engine: Engine,
    requests: Sequence[Request],
    originals: Sequence[str] | None,
    dropped: Counter[str],
    price: str,
) -> None:
    """Print prompts and an estimate, and one JSON line.

    originals: what the samples of each request replace (their likely length); None where nothing is known of it.
    dropped: rows that ask nothing, by reason. price: `IN,OUT` or one number per million tokens, or empty.
    """
    prices = _prices(price)
    write = sys.stdout.write
    for number, request in enumerate(requests[:_SHOWN], 1):
        shown = f", {len(request.images)} images" if request.images else ""
        write(f"--- request {number} of {len(requests)}: {request.n} samples{shown}, id {request.id}\n")
        write(engine.rendered(request) + "\n")
    step = max(1, -(-len(requests) // _COUNTED))
    counted = requests[::step]
    samples = sum(request.n for request in requests)
    scale = len(requests) / len(counted) if counted else 0
    prompt = round(scale * sum(_tokens(engine, engine.rendered(request)) for request in counted))
    most = sum(request.n * request.sampling.max_new_tokens for request in requests)
    likely = None
    if originals is not None:
        pairs = zip(counted, originals[::step], strict=True)
        likely = round(
            scale
            * sum(
                request.n * min(_tokens(engine, original), request.sampling.max_new_tokens)
                for request, original in pairs
            )
        )
    images = sum(len(request.images) for request in requests)
    pictures = f" and {images} images (their tokens are not counted)" if images else ""
    about = f", likely about {likely}" if likely is not None else ""
    write(f"--- {len(requests)} requests, {samples} samples; about {prompt} tokens of prompts{pictures}; ")
    write(f"at most {most} tokens generated{about}\n")
    result = {"requests": len(requests), "samples": samples, "images": images, "prompt_tokens": prompt}
    result |= {"most_generated_tokens": most}
    estimate: dict[str, object] = {"dry_run": True, **result, "likely_generated_tokens": likely}
    if prices is not None:
        costs = [
            (prompt * prices[0] + tokens * prices[1]) / 1e6 for tokens in (likely, most) if tokens is not None
        ]
        estimate["cost"] = [round(cost, 4) for cost in costs]
        write(f"--- cost: {'likely about ' if likely is not None else 'at most '}{costs[0]:.4f}")
        write(f", at most {costs[1]:.4f}\n" if len(costs) > 1 else "\n")
    if dropped:
        write("--- asked nothing: " + ", ".join(f"{n} {why}" for why, n in sorted(dropped.items())) + "\n")
    write(msgspec.json.encode(estimate | {"dropped": dict(sorted(dropped.items()))}).decode() + "\n")


def _tokens(engine: Engine, text: str) -> int:
    try:
        return len(engine.encode(text))
    except PrefdataError:  # a server without a tokenizer on this side
        return len(text) // _CHARACTERS_PER_TOKEN + 1


def _prices(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 0:
        raise PrefdataError(
            f"--price-per-mtok {text}: write one number, or PROMPT,GENERATED such as 0.15,0.60."
        )
    return numbers[0], numbers[-1]
