"""musicnn's embedding without TensorFlow: the network, its weights, and what it hears."""

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from gansynth.convert.tensorflow import Checkpoint
from gansynth.errors import InputError, ModelError
from gansynth.evaluation.listeners.music_embedding import (
    DIMENSIONS,
    MusicEmbedding,
    music_embedding_available,
)

needs_weights = pytest.mark.skipif(
    not music_embedding_available(), reason="musicnn's weights: pip install --no-deps musicnn"
)


def plucked(sample_rate: int = 16_000, seconds: float = 3.2, cut: float = 7000) -> Tensor:
    """A string that is plucked, as a guitar's, [1, samples]; partials below `cut` Hz."""
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    wave = torch.zeros_like(time)
    for partial in range(1, int(cut / 196) + 1):
        strength = math.sin(math.pi * partial / 5) / partial**1.5
        wave += (
            strength
            * torch.exp(-time * (1 + 0.3 * partial))
            * torch.sin(2 * math.pi * 196 * partial * time)
        )
    return 0.4 * wave[None]


@needs_weights
def test_a_plucked_string_is_tagged_as_one() -> None:
    """The last layer, which isn't used otherwise, turns embeddings into tags."""
    spec = importlib.util.find_spec("musicnn")
    assert spec is not None
    assert spec.origin is not None
    checkpoint = Checkpoint.open(Path(spec.origin).parent / "MTT_musicnn", "")
    kernel, bias = checkpoint.read(["dense_1/kernel", "dense_1/bias"]).values()
    logits = (MusicEmbedding()(plucked(), 16_000).numpy() @ kernel + bias)[0]
    tags = {0: "guitar", 22: "harpsichord", 31: "sitar", 42: "harp"}
    assert any(place in tags for place in logits.argsort()[-3:]), logits.argsort()[-3:]


@needs_weights
def test_rate_rest_of_the_note_and_batch_make_no_difference() -> None:
    embed = MusicEmbedding()
    usual = embed(plucked(), 16_000)
    assert usual.shape == (1, DIMENSIONS)
    scale = float(usual.square().mean().sqrt())
    at_48 = embed(plucked(48_000), 48_000)
    assert float((at_48 - usual).square().mean().sqrt()) < 0.1 * scale
    together = embed(torch.cat([torch.zeros(1, 51_200), plucked()]), 16_000)
    torch.testing.assert_close(together[1:], usual, rtol=1e-3, atol=1e-3)
    changed = plucked()
    changed[:, 48_500:] = 0
    torch.testing.assert_close(embed(changed, 16_000), usual, rtol=1e-3, atol=1e-3)
    assert float((together[0] - usual[0]).square().mean().sqrt()) > 0.5 * scale


@needs_weights
def test_short_and_broken_notes() -> None:
    embed = MusicEmbedding()
    waves = torch.cat([plucked(seconds=0.2)] * 2)
    waves[1, 3] = math.nan
    found = embed(waves, 16_000)
    assert found[0].isfinite().all()
    assert found[1].isnan().all()
    with pytest.raises(InputError, match=r"waves of shape \[3\]: must be \[notes, samples\]"):
        embed(torch.zeros(3), 16_000)


def test_without_its_weights_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not music_embedding_available()
    with pytest.raises(InputError, match="pip install --no-deps musicnn"):
        MusicEmbedding()


def test_damaged_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "MTT_musicnn").mkdir()
    (tmp_path / "MTT_musicnn" / ".index").write_bytes(b"nothing")
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(ModelError, match=r"\.index"):
        MusicEmbedding()
