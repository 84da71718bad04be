"""Error texts end as sentences do."""

from __future__ import annotations

import pytest

from gansynth.errors import InputError, OutputError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pitch=0: is too low; use 24", "pitch=0: is too low; use 24."),
        ("pitch=0: is too low; use 24.", "pitch=0: is too low; use 24."),
        ("sound='a.wav': can't be read..", "sound='a.wav': can't be read."),
        ("family='bras': is unknown. Did you mean brass?", None),
        ("data: is missing …", None),
    ],
)
def test_every_text_ends_once(text: str, shown: str | None) -> None:
    assert str(InputError(text)) == str(OutputError(text)) == (shown or text)
