"""The benchmarks run and say what they measure; their figures are nobody's test."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import generate
from gansynth import config as configs
from gansynth.model.file import initial_model, save_model


def test_operation_counts_are_those_of_the_published_model() -> None:
    config = configs.preset("mel_prog_hires")
    assert generate.multiply_adds(config, upscaled=True) / 1e9 == pytest.approx(14.06, abs=0.02)
    assert generate.multiply_adds(config, upscaled=False) / 1e9 == pytest.approx(9.16, abs=0.02)


def test_every_table_is_made(tmp_path: Path) -> None:
    model = initial_model(configs.preset("tiny"), list(range(24, 85)), seed=0)
    save_model(tmp_path / "m.safetensors", model)
    notes = "\n".join(generate.bench_notes(model, runs=1))
    assert "| gansynth, bfloat16, batch 8 |" in notes
    assert "| plain port, float32, batch 1 |" in notes
    assert generate.bench_precision(model, "tiny")[0].startswith("| tiny |")
    assert "MIDI file of 8 notes to a WAV" in "\n".join(generate.bench_performance(model, 8))
    assert "generate --count 1" in "\n".join(
        generate.bench_process(tmp_path / "m.safetensors", runs=1)
    )
