"""The embedded default engine: any image-text-to-text or causal model that transformers loads, on a CPU or one GPU.

Static batches: `batch_size` requests (times n samples) are prepared, padded left and continued together
(`decoding.py`). The same group always holds the same requests, so the bytes of an answer depend on the settings
alone. Rows with and without images share a batch: pixel tensors are joined over the rows that have them. While one
group is being continued, the next one's images are read and its tensors made.
"""

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engines import refuse_unsupported
from pipelines.engines.base import Abilities, Reply, Request, Sample, sample_seed
from pipelines.engines.collate import Row, collate, split
from pipelines.engines.decoding import decode
from pipelines.engines.pictures import Pictures
from pipelines.engines.rendering import Renderer, load_renderer
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.models import model_hash, resolve_model
from prefdata.progress import say
from prefdata.records import content_id

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

_BATCH_SIZE = 16


class TransformersEngine:
    """One model in this process."""

    name = "transformers"
    calls = 2  # one is continued, one prepared

    def __init__(self, options: "EngineOptions") -> None:
        refuse_unsupported(options, "cache_max_entry_count", "vit_batch_size", "pp")
        if options.tensor_parallel > 1:
            raise PrefdataError(
                f"--tp {options.tensor_parallel}: the transformers engine runs on one device; use --engine vllm."
            )
        arguments = options.engine_args
        most = arguments.pop("max_sequences", "512")
        if not most.isdecimal() or int(most) < 1:
            raise PrefdataError(f"--engine-arg max_sequences={most}: a whole number from 1 is needed.")
        self._most_sequences = int(most)
        device = arguments.pop("device", "")
        if arguments:
            known = "device and max_sequences"
            raise PrefdataError(
                f"--engine-arg {next(iter(arguments))}: the transformers engine knows {known}."
            )
        self.batch_size = options.batch_size or _BATCH_SIZE
        self._options = options
        self._model_name = resolve_model(options.checkpoint)
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._model: Any = None
        self._renderer: Renderer | None = None
        self._stop_ids: frozenset[int] = frozenset()
        self._one_at_a_time = asyncio.Lock()
        self._pictures = Pictures(options.num_workers)
        # A tokenizer can be told to pad or cut while another thread uses it, and raises then.
        self._words = threading.Lock()

    async def start(self) -> Abilities:
        """Load weights, tokenizer and processor."""
        await asyncio.to_thread(self._load)
        renderer = self._ready
        return Abilities(
            images=renderer.takes_images,
            prefix=True,
            seeded=True,
            template_hash=content_id(renderer.template),
            model_hash=model_hash(self._model_name),
        )

    async def generate(self, batch: Sequence[Request]) -> list[Reply]:
        """Answer a group; a request that cannot be prepared fails alone."""
        async with self._pictures.of(batch) as images:
            rows, replies = await asyncio.to_thread(self._prepare_all, batch, images)
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._answer, batch, rows, replies)

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text."""
        return self._ready.encode(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self._ready.decode(token_ids)

    def rendered(self, request: Request) -> str:
        """The prompt as the model sees it, image placeholders not yet expanded."""
        return self._ready.prompt(request)

    async def close(self) -> None:
        """Free the model."""
        self._pictures.close()
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @property
    def _ready(self) -> Renderer:
        if self._renderer is None:
            options = self._options
            self._renderer = load_renderer(self._model_name, trust_remote_code=options.trust_remote_code)
        return self._renderer

    def _load(self) -> None:
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        options, name = self._options, self._model_name
        image_processor = getattr(self._ready.processor, "image_processor", None)
        self._tiles = _tile_settings(image_processor, options.dynamic, options.max_num)
        # Half precision on a CPU is slow without the newest instructions, and small models fit anyway.
        wide = options.dtype == "auto" and self._device.type == "cpu"
        dtype = "float32" if wide else options.dtype
        try:
            config = AutoConfig.from_pretrained(name, trust_remote_code=options.trust_remote_code)
            image_model = type(config) in AutoModelForImageTextToText._model_mapping
            auto = AutoModelForImageTextToText if image_model else AutoModelForCausalLM
            model: Any = auto.from_pretrained(
                name,
                dtype=dtype if dtype == "auto" else getattr(torch, dtype),
                trust_remote_code=options.trust_remote_code,
            )
            self._model = model.to(self._device).eval()
        except (OSError, ValueError, ImportError, torch.OutOfMemoryError) as error:
            raise PrefdataError(
                f"{name}: the model cannot be loaded ({' '.join(str(error).split())})."
            ) from error
        tokenizer = self._ready.tokenizer
        stops = self._model.generation_config.eos_token_id
        listed = stops if isinstance(stops, list) else [stops]
        self._stop_ids = frozenset(stop for stop in (*listed, tokenizer.eos_token_id) if stop is not None)
        self._pad_id = next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)
        context = getattr(config.get_text_config(), "max_position_embeddings", None)
        self._context = options.session_len or context or 1 << 30
        parameters = sum(weight.numel() for weight in self._model.parameters())
        say(f"transformers: {name}, {parameters / 1e6:.1f} M parameters, {self._model.dtype}, {self._device}")

    def _prepare_all(
        self, batch: Sequence[Request], images: Sequence[list[Any] | PrefdataError]
    ) -> tuple[list[Row], dict[int, Reply]]:
        """The rows that can be asked, and the replies to the others, by their places."""
        replies: dict[int, Reply] = {}
        rows: list[Row] = []
        for place, (request, found) in enumerate(zip(batch, images, strict=True)):
            try:
                if isinstance(found, PrefdataError):
                    raise found
                with self._words:
                    rows.append(self._prepare(place, request, found))
            except (PrefdataError, OSError, ValueError, TypeError, IndexError, KeyError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                replies[place] = Reply(id=request.id, error=reason.rstrip("."))
        return rows, replies

    def _answer(self, batch: Sequence[Request], rows: list[Row], replies: dict[int, Reply]) -> list[Reply]:
        for part in split(
            rows, {place: request.n for place, request in enumerate(batch)}, self._most_sequences
        ):
            self._continue(batch, part, replies)
        return [replies[place] for place in range(len(batch))]

    def _prepare(self, place: int, request: Request, images: list[Any]) -> Row:
        """Tensors of one request, [1, tokens] each, and its image tensors."""
        renderer = self._ready
        prompt = renderer.prompt(request)
        if images:
            processor: Any = renderer.processor
            tensors = processor(
                text=[prompt], images=images, return_tensors="pt", add_special_tokens=False, **self._tiles
            )
        else:
            tensors = renderer.tokenizer([prompt], return_tensors="pt", add_special_tokens=False)
        row = Row(place, dict(tensors))
        if row.length + 1 > self._context:
            raise PrefdataError(
                f"too long: the prompt has {row.length} tokens, the context holds {self._context}"
            )
        return row

    def _continue(self, batch: Sequence[Request], rows: list[Row], replies: dict[int, Reply]) -> None:
        requests = [batch[row.place] for row in rows]
        copies, sampling = requests[0].n, requests[0].sampling
        seeds = [sample_seed(request, index) for request in requests for index in range(copies)]
        limits = [
            min(sampling.max_new_tokens, self._context - row.length) for row in rows for _ in range(copies)
        ]
        inputs = {name: value.to(self._device) for name, value in collate(rows, self._pad_id).items()}
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self._model.dtype)
        try:
            answers = decode(
                self._model,
                inputs,
                copies=copies,
                seeds=seeds,
                limits=limits,
                sampling=sampling,
                stop_ids=self._stop_ids,
            )
        except torch.OutOfMemoryError as error:
            raise PrefdataError(
                f"Out of GPU memory with {len(rows)} questions x {copies} samples; lower --batch-size.",
                exit_code=EXIT_DATA,
            ) from error
        with self._words:
            texts = [
                self._ready.text_after(row.tensors["input_ids"][0].tolist(), ids)
                for index, row in enumerate(rows)
                for ids, _ in answers[index * copies : (index + 1) * copies]
            ]
        for index, (row, request) in enumerate(zip(rows, requests, strict=True)):
            samples = []
            for sample in range(index * copies, (index + 1) * copies):
                ids, stopped = answers[sample]
                samples.append(
                    Sample(
                        text=texts[sample],
                        token_ids=tuple(ids),
                        finish_reason="stop" if stopped else "length",
                        seed=seeds[sample],
                    )
                )
            replies[row.place] = Reply(id=request.id, samples=tuple(samples), prompt_tokens=row.length)


def _tile_settings(image_processor: Any, dynamic: bool, max_num: int) -> dict[str, Any]:
    """`--dynamic --max-num` in the words of InternVL's processor; a model without tiles refuses them."""
    if hasattr(image_processor, "crop_to_patches"):
        return {"crop_to_patches": dynamic, "max_patches": max_num}
    if dynamic:
        raise PrefdataError(
            "--dynamic: this model's image processor does not cut images into tiles; leave it out."
        )
    return {}
