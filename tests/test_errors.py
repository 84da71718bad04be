"""Texts of errors."""

from __future__ import annotations

import pytest

from gansynth.errors import GansynthError, InputError, OutputError


@pytest.mark.parametrize("kind", [InputError, OutputError])
def test_every_error_ends_as_a_sentence_does(kind: type[GansynthError]) -> None:
    for text in ("pitch=0: is too low; use 24", "pitch=0: is too low; use 24."):
        assert str(kind(text)) == "pitch=0: is too low; use 24."
        assert kind(text).reason == "pitch=0: is too low; use 24"
    assert str(kind("family='bras': is unknown. Did you mean brass?"))[-6:] == "brass?"
