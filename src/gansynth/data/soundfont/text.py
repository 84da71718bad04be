"""Names in SoundFonts: 20 bytes in whatever their author's system wrote, readable all the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_KANA = re.compile("[\u3041-\u30ff]")
# Characters of two bytes side by side, or half-width kana; chance gives single ones.
_JAPANESE = re.compile("[\u3041-\u30ff\u4e00-\u9fff]{2}|[\uff66-\uff9f]{3}")


def name_decoder(names: Iterable[bytes]) -> Callable[[bytes], str]:
    """How to read the names of one file: all are UTF-8, else Shift-JIS, else Windows' Latin-1.

    What the decoder gives has no control characters, and no spaces around it.
    """
    texts = {name.split(b"\0")[0] for name in names}
    encoding = _encoding(texts)

    def decode(name: bytes) -> str:
        text = name.split(b"\0")[0].decode(encoding, "replace")
        return "".join(c if c.isprintable() else " " for c in text).strip()

    return decode


def _encoding(texts: Iterable[bytes]) -> str:
    beyond = [text for text in texts if not text.isascii()]
    if not any(_fails(text, "utf-8") for text in beyond):
        return "utf-8"
    if not any(_fails(text, "cp932") for text in beyond):
        japanese = [text for text in beyond if _looks_japanese(text.decode("cp932", "replace"))]
        if 2 * len(japanese) >= len(beyond):
            return "cp932"
    return "cp1252"


def _fails(text: bytes, encoding: str) -> bool:
    """Whether a text isn't of an encoding; its last character may have been cut through."""
    try:
        text.decode(encoding)
    except UnicodeDecodeError as error:
        return len(text) < 19 or error.start < len(text) - 3
    return False


def _looks_japanese(text: str) -> bool:
    return bool(_KANA.search(text) or _JAPANESE.search(text))
