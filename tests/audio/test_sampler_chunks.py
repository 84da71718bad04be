"""Root keys and loops out of sound files."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.audio.sampler_chunks import SamplerFacts, read_sampler_facts
from sound_writer import aiff, chunk, encoded, flac_with_chunks, inst, smpl, tone, wav


def facts_of(folder: Path, data: bytes) -> SamplerFacts:
    path = folder / "sound"
    path.write_bytes(data)
    with open(path, "rb") as file:
        return read_sampler_facts(file)


FORM = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
CAF = (
    b"caff\0\1\0\0"
    + struct.pack(">4sqf", b"inst", 28, 61.0) + bytes(24)
    + struct.pack(">4sq", b"data", -1)
)  # fmt: skip


@pytest.mark.parametrize(
    ("data", "key", "loop"),
    [
        (wav(tone(), smpl(62)), 62, None),
        (wav(tone(), smpl(62, 0.98)), 63, None),  # tuned to just below the next key
        (wav(tone(), smpl(62, loop=(1600, 3199))), 62, (0.1, 0.2)),
        (wav(tone(), smpl(62, loop=(1600, 3199), order=">"), order=">"), 62, (0.1, 0.2)),
        (wav(tone(), inst(59)), 59, None),
        (wav(tone(), inst(59), smpl(62)), 62, None),
        (wav(tone(), smpl(0), inst(59)), 59, None),  # 0 stands for none
        (wav(tone(), chunk(b"LIST", b"INFOx"), smpl(62)), 62, None),  # behind an odd chunk
        (wav(tone(), smpl(60000)), None, None),
        (aiff(tone(), 65), 65, None),
        (aiff(tone(), 65, (1600, 3200)), 65, (0.1, 0.2)),
        (flac_with_chunks(tone(), smpl(62, loop=(1600, 3199))), 62, (0.1, 0.2)),
        (CAF, 61, None),
        (wav(tone()), None, None),
        (encoded(tone(), "OGG"), None, None),
        (b"", None, None),
    ],
)
def test_what_samplers_are_told(
    tmp_path: Path, data: bytes, key: int | None, loop: tuple[float, float] | None
) -> None:
    assert facts_of(tmp_path, data) == SamplerFacts(key, loop)


WHOLE = [
    wav(tone(seconds=0.01), smpl(62, loop=(1, 2))), aiff(tone(seconds=0.01), 65, (1, 2)),
    flac_with_chunks(tone(seconds=0.01), smpl(62, loop=(1, 2))), CAF,
]  # fmt: skip


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=8),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=200)
def test_damage_is_no_error(whole: bytes, changes: list[tuple[int, int]], keep: int) -> None:
    data = bytearray(whole)
    for place, value in changes:
        data[-1 - place % len(data)] = value
    with tempfile.TemporaryDirectory() as name:
        facts = facts_of(Path(name), bytes(data[:keep] if keep % 2 else data))
    assert facts.root_key is None or 12 <= facts.root_key <= 127
