"""A question without its pictures: what DropoutNTP asks the model to go on from.

Taking out a placeholder leaves its label dangling ("Image-1:" before nothing), which tells the model that a picture
is missing, and invites it to say so. A label goes with its placeholder; a label in running text stays.
"""

import re

from prefdata.records import MediaRef, Message, Text

_LABEL = re.compile(
    r"(?:(?<=\n)|\A)[ \t]*(?:the )?(?:(?:first|second|third|left|right|[a-z])[ ])?"
    r"(?:image|picture|photo|figure|frame|screenshot|chart|diagram|图片|图像|圖片|截图|照片|图|圖|画像|写真|이미지|사진|그림)"
    r"[ ]?(?:[-_#.]?[ ]?(?:\d+|[A-Z]|[一二三四五六七八九十]))?"
    r"[ \t]*[:：]?[ \t]*\Z",
    re.IGNORECASE,
)


# "1." or "(B)" in front of a picture that fills its line: an option or a list of pictures.
_NUMBER = re.compile(r"(?:(?<=\n)|\A)[ \t]*(?:[-*•]|\(?(?:\d{1,2}|[A-Za-z])[.):：)、])[ \t]*\Z")


def without_images(turn: Message) -> Message:
    """The turn's text with placeholders and their labels removed, trimmed at both ends."""
    text = ""
    behind_image = False
    for number, part in enumerate(turn.content):
        if isinstance(part, MediaRef):
            text = _LABEL.sub("", text)
            if _ends_line(turn, number + 1):
                text = _NUMBER.sub("", text)
            behind_image = True
        elif isinstance(part, Text):
            added = part.text
            # The line that held only the placeholder goes as a whole.
            if behind_image and (not text or text.endswith("\n")):
                added = added.lstrip(" \t").removeprefix("\n")
            text += added
            behind_image = False
    text = text.strip()
    return Message(turn.role, (Text(text),) if text else ())


def _ends_line(turn: Message, number: int) -> bool:
    """Whether nothing stands between the part before `number` and the end of its line."""
    following = turn.content[number] if number < len(turn.content) else None
    return not isinstance(following, Text) or following.text.lstrip(" \t")[:1] in ("", "\n")
