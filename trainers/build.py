"""Record -> tree, through the model's own chat template and processor.

Where it stands: `sowing.py` calls it for every row; `grow.py` keeps what comes out and says what did not. Why a row
cannot be trained on is a `BadRow` here, its place is added there.

The decision to question: the prompt runs through the processor (which expands image tokens), but answers are cut out
of the *whole* conversation as the tokenizer alone sees it. An answer's tokens are then exactly those of the whole
text - never of a piece tokenised on its own - and each image is opened once per prompt. It is right because the prompt
must be a token prefix of the whole; a template or tokenizer for which that fails is refused, row by row.
"""

from pathlib import Path
from typing import Any

import msgspec

from prefdata.errors import PrefdataError
from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Message,
    PreferencePair,
    Question,
    RankedCandidates,
    Record,
    Text,
    place_media,
)
from trainers.families import Opened
from trainers.frames import frames_of
from trainers.pixels import PixelStore
from trainers.trees import BadRow, Branch, Tree

FRAMES = 8
"""Frames of a video, unless told otherwise."""


class TreeMaker:
    """Makes one tree of one record for one model."""

    def __init__(
        self, opened: Opened, pixels: PixelStore, needs_pairs: bool, limit: int, frames: int = FRAMES
    ) -> None:
        self.opened, self.pixels = opened, pixels
        self.needs_pairs, self.limit, self.frames = needs_pairs, limit, frames
        self.ends_added = 0
        """Answers whose template writes no end-of-turn token, so that one was appended."""
        self.videos: list[Path] = []
        """Where the frames of the last tree came from: folders and animations."""

    def tree(self, record: Record, place: str, folder: Path, root: Path | None) -> Tree:
        """The tree of `record`; raises BadRow with the reason when there is none."""
        prompt, answers = self._turns(record)
        media = self._media(record, folder, root)
        everything = place_media((*prompt, *answers[0]), record.media)
        prompt = everything[: len(prompt)]
        images = tuple(
            image for turn in prompt for index in turn.media_indexes for image in media[index]
        )  # in the order in which they are read, whatever the order of the row's list
        prompt = tuple(_with_frames(turn, media) for turn in prompt)
        for turn in everything[len(prompt) :]:
            if turn.media_indexes:
                place = (
                    "inside an answer" if turn.role == "assistant" else "in a turn behind the first answer"
                )
                raise BadRow(f"has an image {place}, which cannot be trained on")
        plain = self._ids(prompt, opens_answer=True)
        trunk = self._trunk(prompt, plain, images)
        branches = tuple(
            self._branch(prompt, answer, plain, liked=int(not number))
            for number, answer in enumerate(answers)
        )
        pairs = ((0, 1),) if len(branches) == 2 else ()
        margin = record.margin if isinstance(record, PreferencePair) and pairs else None
        tree = Tree(place, trunk, branches, pairs, images, () if margin is None else (margin,))
        if tree.longest > self.limit:
            raise BadRow(
                f"has {tree.longest} tokens of prompt and answer, more than the {self.limit} allowed by "
                + ("--max-length" if self.limit != self.opened.max_length else "the model")
            )
        return tree

    def _turns(self, record: Record) -> tuple[tuple[Message, ...], list[tuple[Message, ...]]]:
        if isinstance(record, Question):
            raise BadRow("is a question without a pair of answers")
        if isinstance(record, LabelledAnswer | RankedCandidates):
            raise BadRow(
                "is a labelled answer or a ranking; convert a ranking with `prefdata convert --pairing`"
            )
        if isinstance(record, PreferencePair):
            if record.rejected_media is not None:
                raise BadRow("has other images on the rejected side, which cannot be trained on")
            sides = [record.chosen, record.rejected] if self.needs_pairs else [record.chosen]
            _refuse_thoughts((*record.prompt, *(turn for side in sides for turn in side)))
            for name, side in zip(("chosen", "rejected"), sides, strict=False):
                if not any(turn.role == "assistant" and turn.text.strip() for turn in side):
                    raise BadRow(f"has an empty `{name}` answer")
            return record.prompt, sides
        assert isinstance(record, Conversation)
        if self.needs_pairs:
            raise BadRow("is a conversation without a rejected answer; train it with --stage sft")
        _refuse_thoughts(record.messages)
        first = next((i for i, turn in enumerate(record.messages) if turn.role == "assistant"), None)
        if first is None:
            raise BadRow("has no assistant turn, so no supervised token")
        return record.messages[:first], [record.messages[first:]]

    def _media(self, record: Record, folder: Path, root: Path | None) -> tuple[tuple[Path | bytes, ...], ...]:
        """The pictures of each of the record's media: one, or a video's frames."""
        from prefdata import images

        if record.media and not self.opened.takes_images:
            raise BadRow(f"has an {record.media[0].kind}, but this model reads text only")
        found: list[tuple[Path | bytes, ...]] = []
        self.videos = []
        for media in record.media:
            if media.kind == "audio" or (media.kind == "video" and media.data is not None):
                raise BadRow(f"has {'an audio' if media.kind == 'audio' else 'a video in the row itself'}, "
                             "which is not supported")  # fmt: skip
            if media.data is not None:
                found.append((media.data,))
                continue
            try:
                path = images.resolve(str(media.uri), root, folder)
                if media.kind == "video":
                    self.videos.append(path)
                found.append((path,) if media.kind == "image" else frames_of(path, self.frames))
            except (PrefdataError, OSError, ValueError) as error:
                raise BadRow(f"{media.kind} {media.uri}: {str(error).rstrip('.')}") from error
        return tuple(found)

    def _trunk(
        self, prompt: tuple[Message, ...], plain: tuple[int, ...], images: tuple[Path | bytes, ...]
    ) -> tuple[int, ...]:
        token = self.opened.image_token_id
        if plain.count(token) != len(images) and token is not None:
            raise BadRow(f"has {len(images)} images but {plain.count(token)} image places in its prompt")
        if not images:
            return plain
        trunk = self.pixels.run(self._text(prompt, opens_answer=True), images)
        tail = plain[len(plain) - plain[::-1].index(token) :]
        if trunk[len(trunk) - len(tail) :] != tail:
            raise BadRow(
                "gets other tokens from the processor than from the tokenizer, so its answers cannot be placed"
            )
        return trunk

    def _branch(
        self, prompt: tuple[Message, ...], answer: tuple[Message, ...], plain: tuple[int, ...], *, liked: int
    ) -> Branch:
        whole = self._ids((*prompt, *answer))
        _prefix(plain, whole, "prompt")
        ids = list(whole[len(plain) :])
        if self.opened.image_token_id in ids:
            raise BadRow("has an image placeholder inside an answer, which cannot be trained on")
        supervised = [False] * len(ids)
        for number, turn in enumerate(answer):
            if turn.role != "assistant":
                continue
            before = (*prompt, *answer[:number])
            head = self._ids(before, opens_answer=True) if number else plain
            end = whole if number == len(answer) - 1 else self._ids((*before, turn))
            _prefix(head, whole, "conversation so far")
            _prefix(end, whole, "conversation so far")
            start, stop = len(head) - len(plain), len(end) - len(plain)
            stop = self._end_of_turn(ids, start, stop)
            supervised[start:stop] = [True] * (stop - start)
        last = max((i for i, wanted in enumerate(supervised) if wanted), default=-1)
        if last < 0:
            raise BadRow("has no supervised token")
        ids, supervised = ids[: last + 1], supervised[: last + 1]
        if ids[-1] not in self.opened.end_ids:
            ids.append(self.opened.tokenizer.eos_token_id)
            supervised.append(True)
            self.ends_added += 1
        return Branch(tuple(ids), tuple(supervised), liked)

    def _end_of_turn(self, ids: list[int], start: int, stop: int) -> int:
        """Where supervision ends: behind the turn's last end token; what the template adds after it is blank."""
        ends = [i for i in range(start, stop) if ids[i] in self.opened.end_ids]
        if not ends:
            return stop
        rest = self.opened.tokenizer.decode(ids[ends[-1] + 1 : stop])
        if rest.strip():
            raise BadRow(f"goes on with {rest.strip()[:40]!r} behind its end-of-turn token")
        return ends[-1] + 1

    def _ids(self, messages: tuple[Message, ...], *, opens_answer: bool = False) -> tuple[int, ...]:
        text = self._text(messages, opens_answer=opens_answer)
        return tuple(
            self.opened.tokenizer(text, add_special_tokens=self.opened.adds_special(text))["input_ids"]
        )

    def _text(self, messages: tuple[Message, ...], *, opens_answer: bool) -> str:
        import jinja2

        turns = [as_chat(turn, parts=self.opened.takes_images) for turn in messages]
        try:
            text: str = self.opened.processor.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=opens_answer
            )
        except jinja2.TemplateError as error:
            raise BadRow(f"is refused by the model's chat template ({error})") from error
        return text


def _with_frames(turn: Message, media: tuple[tuple[Path | bytes, ...], ...]) -> Message:
    """A turn whose place of a video is as many places as it has frames."""
    if all(len(media[index]) == 1 for index in turn.media_indexes):
        return turn
    content = tuple(
        same
        for part in turn.content
        for same in ([part] if isinstance(part, Text) else [part] * len(media[part.index]))
    )
    return msgspec.structs.replace(turn, content=content)


def as_chat(turn: Message, *, parts: bool) -> dict[str, Any]:
    """A turn as chat templates want it: plain text, or a list of text and image parts."""
    if not parts:
        return {"role": turn.role, "content": turn.text}
    content = [
        {"type": "text", "text": p.text} if isinstance(p, Text) else {"type": "image"} for p in turn.content
    ]
    return {"role": turn.role, "content": content}


def _refuse_thoughts(turns: tuple[Message, ...]) -> None:
    """A turn rendered without its call or its reasoning would teach the model to stop instead of calling."""
    for turn in turns:
        if turn.calls or turn.call_id is not None or turn.reasoning:
            held = "reasoning" if turn.reasoning else "a tool call or its result"
            raise BadRow(f"has {held}, which cannot be trained on yet")


def _prefix(part: tuple[int, ...], whole: tuple[int, ...], what: str) -> None:
    if whole[: len(part)] != part:
        raise BadRow(
            f"has a {what} whose tokens change when the answer follows; this template or tokenizer is unsafe"
        )


def refuse_mute_template(opened: Opened) -> None:
    """Raise where the chat template knows no assistant: every row would be left without a supervised token."""
    import jinja2

    marked = "Preference answer 7351"
    turns = [Message("user", (Text("Hello"),)), Message("assistant", (Text(marked),))]
    chat = [as_chat(turn, parts=opened.takes_images) for turn in turns]
    try:
        text = opened.processor.apply_chat_template(chat, tokenize=False)
    except jinja2.TemplateError:  # a template may want more than this, such as a system turn
        return
    if marked not in text:
        raise PrefdataError(
            f"{opened.name}: its chat template writes no assistant turn, so there is nothing to train on; give the "
            "model a template with an assistant role."
        )
