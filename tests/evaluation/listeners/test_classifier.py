"""The pitch classifier: what the bundled one hears, its geometry, its file, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from gansynth.errors import InputError, ModelError, OutputError
from gansynth.evaluation.listeners.classifier import (
    CLASSIFIER_KEY,
    ClassifierConfig,
    PitchClassifier,
    check_fits,
    load_classifier,
    save_classifier,
)

RATE, SAMPLES = 16000, 64000
PITCHES = range(24, 85)
SMALL = ClassifierConfig(4000, 4000, (60, 62, 64), channels=4, features=4, hidden=8)

# Amplitude of harmonic h and decay per second, for some instruments that nobody has recorded.
TIMBRES = {
    "bright": (lambda h: 1 / h, 0.0),
    "hollow": (lambda h: (h % 2) / h, 0.0),
    "dark": (lambda h: 1 / h**2, 0.5),
    "plucked": (lambda h: 1 / h, 3.0),
}


def tone(pitch: float, timbre: str, samples: int = SAMPLES, level: float = 0.5) -> NDArray:
    """A tone of harmonics below 7 kHz, float32 [samples]."""
    amplitude, decay = TIMBRES[timbre]
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    harmonics = np.arange(1, int(7000 / hertz) + 1)
    spectrum = np.zeros(1 << 13, complex)
    phases = np.random.default_rng(0).uniform(0, 6, len(harmonics))
    spectrum[harmonics] = amplitude(harmonics) * np.exp(1j * phases)
    period = np.fft.irfft(spectrum, 1 << 14)
    seconds = np.arange(samples) / RATE
    wave = np.interp(hertz * seconds * len(period), np.arange(len(period)), period, period=1 << 14)
    wave *= np.exp(-decay * seconds) * np.minimum(seconds / 0.01, 1)
    return (level * wave / np.abs(wave).max()).astype(np.float32)


def tones(timbre: str, pitches: Any = PITCHES, samples: int = SAMPLES) -> Tensor:
    """Tones [pitches, samples]."""
    return torch.from_numpy(np.stack([tone(pitch, timbre, samples) for pitch in pitches]))


def small(seed: int = 0) -> PitchClassifier:
    """An untrained classifier of a few kilobytes, as a file would give it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PitchClassifier(SMALL).round_to_stored().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def shipped() -> PitchClassifier:
    """The classifier of the package."""
    return load_classifier()


@pytest.fixture(scope="module")
def heard(shipped: PitchClassifier) -> dict[str, Any]:
    """Its judgement of every synthetic tone."""
    with torch.inference_mode():
        return {timbre: shipped(tones(timbre)) for timbre in TIMBRES}


# What the bundled one hears


def test_shipped_file_says_what_it_is(shipped: PitchClassifier) -> None:
    """It judges 24-84 at 16 kHz, and was measured on instruments that it wasn't trained on."""
    config, held_out = shipped.config, shipped.record["held_out"]
    assert (config.sample_rate, config.samples) == (RATE, SAMPLES)
    assert config.pitches == tuple(PITCHES)
    assert held_out["accuracy"] >= 0.97
    assert held_out["lowest_octave_accuracy"] >= 0.97
    assert held_out["timbre"] >= 0.95


@pytest.mark.parametrize("timbre", TIMBRES)
def test_names_the_pitch_of_synthetic_tones(heard: dict[str, Any], timbre: str) -> None:
    """At least 95 of 100, from the lowest pitch to the highest."""
    named = torch.tensor(PITCHES)[heard[timbre].logits.argmax(1)]
    assert (named == torch.tensor(PITCHES)).float().mean() >= 0.95


def test_one_timbre_over_an_octave_is_nearer_than_another(heard: dict[str, Any]) -> None:
    """Judged on synthetic timbres: the median of one's octaves against that of two."""
    vectors = {timbre: judgement.timbre for timbre, judgement in heard.items()}

    def median(low: str, high: str) -> float:
        return float((vectors[low][:-12] - vectors[high][12:]).norm(dim=1).median())

    for one, other in (("bright", "hollow"), ("bright", "plucked"), ("dark", "plucked")):
        assert median(one, one) < median(one, other)


def test_judgements_are_finite_and_timbres_have_length_one(heard: dict[str, Any]) -> None:
    """Shapes too."""
    for judgement in heard.values():
        assert judgement.logits.shape == (61, 61)
        assert judgement.embedding.shape == (61, 128)
        assert judgement.timbre.shape == (61, 64)
        assert all(torch.isfinite(part).all() for part in judgement)
        torch.testing.assert_close(judgement.timbre.norm(dim=1), torch.ones(61))


def test_level_does_not_matter(shipped: PitchClassifier) -> None:
    """A factor that is a power of two changes no bit; 80 dB less change nothing to speak of."""
    waves = tones("plucked", (24, 60, 84))
    loud = shipped(waves)
    for name, half, quiet in zip(
        loud._fields, shipped(waves / 64), shipped(waves * 1e-4), strict=True
    ):
        assert torch.equal(getattr(loud, name), half), name
        torch.testing.assert_close(getattr(loud, name), quiet, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_judged_as_silence(shipped: PitchClassifier, value: float) -> None:
    """And leaves the other notes of the batch alone."""
    waves = tones("bright", (40, 50, 60))
    waves[1, 1000] = value
    judgement = shipped(waves)
    silence = shipped(torch.zeros(3, SAMPLES))
    clean = shipped(tones("bright", (40, 50, 60)))
    for name, found, silent, good in zip(judgement._fields, judgement, silence, clean, strict=True):
        assert torch.isfinite(found).all(), name
        assert torch.equal(found[1], silent[1]), name
        assert torch.equal(found[[0, 2]], good[[0, 2]]), name


@pytest.mark.parametrize("level", [1e-30, 1e30, 3e38])
def test_extreme_levels_are_finite(shipped: PitchClassifier, level: float) -> None:
    """From numbers that are silence to the largest there are."""
    judgement = shipped(tones("bright", (60,)) * 2 * level)
    assert all(torch.isfinite(part).all() for part in judgement)


def test_shorter_notes_are_heard_too(shipped: PitchClassifier) -> None:
    """One second, and a quarter of one from an octave above the lowest pitch on."""
    for samples, lowest in ((RATE, 24), (RATE // 4, 36)):
        pitches = range(lowest, 85)
        named = shipped(tones("bright", pitches, samples)).logits.argmax(1) + 24
        assert (named == torch.tensor(pitches)).float().mean() >= 0.95


def test_a_note_is_judged_alike_in_any_batch(shipped: PitchClassifier) -> None:
    """Alone or among others."""
    waves = tones("dark", (30, 45, 70))
    together, alone = shipped(waves), shipped(waves[1:2])
    for found, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(found[1:2], expected, atol=1e-4, rtol=1e-4)


# Geometry


@pytest.mark.parametrize(
    ("rate", "samples", "pitches"),
    [
        (4000, 1000, (60, 62, 64)),
        (8000, 20000, (0, 1, 2)),
        (44100, 11025, tuple(range(21, 109))),
        (600, 300, (60, 61)),
    ],
)
def test_geometry_follows_from_the_config(
    rate: int, samples: int, pitches: tuple[int, ...]
) -> None:
    """Other rates, lengths and pitches give networks of their own."""
    classifier = PitchClassifier(ClassifierConfig(rate, samples, pitches)).eval()
    judgement = classifier(torch.randn(2, samples, generator=torch.Generator().manual_seed(0)))
    assert judgement.logits.shape == (2, len(pitches))
    assert all(torch.isfinite(part).all() for part in judgement)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_spectrogram_peaks_at_the_pitch(rate: int) -> None:
    """A sine's loudest band is the one of its pitch, three bands a semitone, at any rate."""
    spectrogram = PitchClassifier(ClassifierConfig(rate, rate, (36, 84))).spectrogram
    seconds = torch.arange(rate) / rate
    for pitch in (48, 60, 77):
        wave = torch.sin(2 * torch.pi * 440 * 2 ** ((pitch - 69) / 12) * seconds)
        loudest = spectrogram(wave[None])[0].mean(0).argmax()
        assert int(loudest) == 3 * (pitch - 34)


@pytest.mark.parametrize("shape", [(64000,), (2, 3, 64000), (2, 0)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    """Waves are [notes, samples]."""
    with pytest.raises(InputError, match=r"must be \[notes, samples\]"):
        small()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sample_rate": 0}, "sample_rate=0: must be a whole number in 1..1000000."),
        ({"channels": 5000}, "channels=5000: must be a whole number in 1..4096."),
        ({"pitches": (60,)}, "pitches=(60,): must be two or more MIDI pitches in 0..127, rising."),
        ({"pitches": (62, 60)}, "must be two or more MIDI pitches"),
        (
            {"pitches": (60, 100)},
            "pitches=100: sounds at 2637 Hz, not below half of sample_rate=4000",
        ),
    ],
)
def test_impossible_configs_are_refused(changes: dict[str, Any], text: str) -> None:
    """With the value and the rule."""
    with pytest.raises(InputError) as caught:
        ClassifierConfig(**{"sample_rate": 4000, "samples": 1, "pitches": (60, 62), **changes})
    assert text in str(caught.value)


def test_fits_its_own_notes_and_longer_ones(shipped: PitchClassifier) -> None:
    """And some of its pitches."""
    check_fits(shipped, RATE, SAMPLES, PITCHES)
    check_fits(shipped, RATE, 3 * SAMPLES, [60])
    check_fits(shipped, RATE, RATE // 4, [])


@pytest.mark.parametrize(
    ("rate", "samples", "pitches", "text"),
    [
        (
            8000, 32000, PITCHES,
            "classifier='pitch_classifier.safetensors': judges 24-84 at 16000 Hz; these notes have "
            "8000 Hz; train one with gansynth evaluate train-classifier.",
        ),
        (
            RATE, SAMPLES, [21, 22, 60, 90],
            "judges 24-84 at 16000 Hz; these notes have pitches 21-22, 90, 16000 Hz; train one",
        ),
        (
            RATE, 3999, PITCHES,
            "samples=3999: classifier='pitch_classifier.safetensors' judges notes of 0.25 s or "
            "more, which are 4000 samples at 16000 Hz; use longer notes.",
        ),
    ],
)  # fmt: skip
def test_notes_that_do_not_fit_are_refused(
    shipped: PitchClassifier, rate: int, samples: int, pitches: Any, text: str
) -> None:
    """With what it judges and what to do."""
    with pytest.raises(InputError) as caught:
        check_fits(shipped, rate, samples, pitches)
    assert text in str(caught.value)


# The file


def test_file_gives_back_the_classifier(tmp_path: Path) -> None:
    """Weights, configuration and record; the same judgement to the bit."""
    classifier = small()
    classifier.record = {"data": "notes", "held_out": {"timbre": None}}
    save_classifier(tmp_path / "c.safetensors", classifier)
    again = load_classifier(tmp_path / "c.safetensors")
    waves = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    for found, expected in zip(again(waves), classifier(waves), strict=True):
        assert torch.equal(found, expected)
    assert (again.config, again.record) == (classifier.config, classifier.record)
    assert again.digest() == classifier.digest()
    assert not any(value.requires_grad for value in again.parameters())


def test_digest_follows_from_weights_and_config_alone() -> None:
    """Not from the name or the record."""
    one, same, other = small(), small(), small(seed=1)
    same.name, same.record = "another", {"data": "notes"}
    assert one.digest() == same.digest() != other.digest()
    wider = PitchClassifier(ClassifierConfig(8000, 4000, (60, 62, 64), channels=4, features=4))
    assert wider.digest() != one.digest()


def test_existing_file_is_kept(tmp_path: Path) -> None:
    """Unless it may be overwritten."""
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        save_classifier(path, small())
    assert path.read_bytes() == b"mine"
    save_classifier(path, small(), overwrite=True)
    assert load_classifier(path).digest() == small().digest()


def rewritten(path: Path, change: Any) -> None:
    """Change tensors and description of a file in place."""
    save_classifier(path, small())
    tensors = load_file(path)
    description = {
        "format_version": 1,
        "config": {**vars(SMALL), "pitches": list(SMALL.pitches)},
        "record": {},
    }
    change(tensors, description)
    save_file(tensors, path, {CLASSIFIER_KEY: json.dumps(description)})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t, d: t.pop("evidence.bias"), "tensor evidence.bias is missing"),
        (lambda t, d: t.update(more=torch.zeros(1)), "tensor more is not expected"),
        (
            lambda t, d: t.update({"evidence.bias": torch.zeros(2)}),
            "tensor evidence.bias of shape [2] must be finite numbers of shape [1]",
        ),
        (
            lambda t, d: t["pitch.weight"].fill_(float("nan")),
            "tensor pitch.weight of shape [3, 128] must be finite numbers of shape [3, 128]",
        ),
        (
            lambda t, d: d.update(format_version=2),
            "format_version=2: this gansynth reads 1; train it again, or install",
        ),
        (lambda t, d: d.pop("config"), "has a broken description ('config')"),
        (lambda t, d: d["config"].update(channels=10**9), "channels=1000000000: must be a whole"),
        (lambda t, d: d["config"].update(layers=3), "has a broken description"),
        (lambda t, d: d.update(record=3), "has a broken description"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, change: Any, text: str) -> None:
    """With the file's name and what is wrong."""
    path = tmp_path / "c.safetensors"
    rewritten(path, change)
    with pytest.raises(ModelError) as caught:
        load_classifier(path)
    assert str(caught.value).startswith(f"classifier={str(path)!r}: ")
    assert text in str(caught.value)


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    """A file of which the end is missing, wherever."""
    whole = tmp_path / "c.safetensors"
    save_classifier(whole, small())
    data = whole.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for size in (0, 7, 8, 500, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:size])
        with pytest.raises(ModelError, match="is cut short; copy or train it again"):
            load_classifier(cut)


def test_foreign_and_missing_files_are_refused(tmp_path: Path, toy_model: Path) -> None:
    """A model is no classifier."""
    with pytest.raises(ModelError, match="of something else, not a pitch classifier"):
        load_classifier(toy_model)
    with pytest.raises(ModelError, match="there is no such file"):
        load_classifier(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="can't be read"):
        load_classifier(tmp_path)
