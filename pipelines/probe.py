"""Before a run: does the engine do what the run relies on? Believing a declaration has cost others whole data sets.

Proved once per start: a prompt ends with the prefix byte for byte, n gives n samples, an image lengthens the prompt.
"""

import io
from collections.abc import Sequence

from pipelines.engines.base import Abilities, Engine, ProvesPrefix, Request, Sampling
from prefdata.errors import PrefdataError
from prefdata.records import MediaRef, Message, Part, Text

PROBE_ID = "probe"
# A blank in front, two in the middle, an empty line: what careless joins lose.
_PREFIX = "  Well,  one\n\ntwo is"
_SIDE = 56


async def probe(engine: Engine, abilities: Abilities, *, images: bool, prefix: bool, n: int) -> None:
    """Prove that `engine` can do what the run needs. Raises PrefdataError with what it cannot do."""
    if images and not abilities.images:
        raise PrefdataError("This model takes no images; use a vision-language model, or ask without images.")
    if prefix and not abilities.prefix:
        raise PrefdataError(
            f"The {engine.name} engine cannot continue a begun answer with this model; use another one."
        )
    begun = _PREFIX if prefix else ""
    asks = isinstance(engine, ProvesPrefix)
    if prefix and isinstance(engine, ProvesPrefix):
        await engine.prove_prefix()
        begun = (
            _PREFIX.lstrip()
        )  # whether leading blanks survive is known by now; if not, such prefixes are refused
    asked = [_request("plain", [Text("How many?")], n=n, prefix=begun)]
    if images:
        asked.append(
            _request("image", [MediaRef(0), Text("How many?")], image=_picture(), prefix=asked[0].prefix)
        )
    if prefix and not asks:
        prompt = engine.rendered(asked[0])
        if not prompt.endswith(_PREFIX):
            raise PrefdataError(
                f"The prompt for a begun answer ends with {prompt[-40:]!r} instead of the prefix itself; "
                "the model's chat template cannot continue an answer."
            )
    replies = [(await engine.generate([request]))[0] for request in asked]
    for reply in replies:
        if reply.error is not None:
            raise PrefdataError(f"The {engine.name} engine fails on a test question: {reply.error}.")
    if len(replies[0].samples) != n:
        raise PrefdataError(
            f"The {engine.name} engine gave {len(replies[0].samples)} samples where {n} were asked for."
        )
    if images and replies[1].prompt_tokens <= replies[0].prompt_tokens:
        raise PrefdataError(
            f"An image adds nothing to the prompt ({replies[1].prompt_tokens} tokens with, "
            f"{replies[0].prompt_tokens} without): the {engine.name} engine drops it silently."
        )


def _request(
    name: str, parts: Sequence[Part], *, n: int = 1, prefix: str = "", image: bytes | None = None
) -> Request:
    return Request(
        id=f"{PROBE_ID}-{name}",
        messages=(Message("user", tuple(parts)),),
        images=() if image is None else (image,),
        prefix=prefix,
        n=n,
        sampling=Sampling(max_new_tokens=1),
        seed=0,
    )


def _picture() -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.linear_gradient("L").resize((_SIDE, _SIDE)).convert("RGB").save(stream, "PNG")
    return stream.getvalue()
