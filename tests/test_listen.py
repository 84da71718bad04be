"""The listening test in docs: as many real notes as made ones, and a sound for each."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter

import numpy as np
import soundfile

from conftest import ROOT

PAGE = ROOT / "docs" / "listen.html"


def answers() -> list[tuple[str, int]]:
    found = re.search(r'atob\("([A-Za-z0-9+/=]+)"\)', PAGE.read_text("utf-8"))
    assert found
    return [(family, made) for family, made in json.loads(base64.b64decode(found[1]))]


def test_every_family_has_a_real_note_and_a_made_one() -> None:
    counts = Counter(answers())
    families = {family for family, _ in counts}
    assert len(families) == 10
    assert counts == Counter({(family, made): 1 for family in families for made in (0, 1)})


def test_the_order_tells_nothing() -> None:
    made = [kind for _, kind in answers()]
    assert made != sorted(made)
    assert any(a == b for a, b in zip(made[::2], made[1::2], strict=True))


def test_all_sounds_are_there_and_equally_loud() -> None:
    levels = []
    for number in range(1, len(answers()) + 1):
        wave, rate = soundfile.read(ROOT / "docs" / "listen" / f"{number:02}.mp3")
        assert rate == 44100
        assert 3 < len(wave) / rate < 4.5
        levels.append(20 * np.log10(np.sqrt(np.mean(wave[:rate] ** 2))))
    # Notes that would clip are softer.
    assert np.ptp(levels) < 6
