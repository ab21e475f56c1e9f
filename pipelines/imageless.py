"""A question without its pictures: what DropoutNTP asks the model to go on from.

Taking out a placeholder leaves its label dangling ("Image-1:" before nothing), which tells the model that a picture
is missing, and invites it to say so. A label goes with its placeholder; a label in running text stays.
"""

import re

from prefdata.records import MediaRef, Message, Text

_LABEL = re.compile(
    r"(?:(?<=\n)|\A)[ \t]*(?:the )?(?:(?:first|second|third|left|right|[a-z])[ ])?"
    r"(?:image|picture|photo|figure|frame|图片|图像|圖片|图|圖|画像|写真)"
    r"[ ]?(?:[-_#.]?[ ]?(?:\d+|[A-Z]|[一二三四五六七八九十]))?"
    r"[ \t]*[:：]?[ \t]*\Z",
    re.IGNORECASE,
)


def without_images(turn: Message) -> Message:
    """The turn's text with placeholders and their labels removed, trimmed at both ends."""
    text = ""
    behind_image = False
    for part in turn.content:
        if isinstance(part, MediaRef):
            text = _LABEL.sub("", text)
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
