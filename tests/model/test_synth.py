"""`load` and `Synth`: notes that depend on nothing but their own latent and pitch."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gansynth
from gansynth import config as configs
from gansynth.errors import InputError, ModelError
from gansynth.model.file import Model, initial_model, save_model
from gansynth.model.synth import Synth


def tiny(seed: int = 0, pitches: range = range(24, 85), **options: object) -> Model:
    config = configs.preset("tiny").replace(**options)
    return initial_model(config, list(pitches), seed)


@pytest.fixture(scope="module")
def synth() -> Synth:
    return Synth(tiny(), "cpu")


def test_names_that_stay(tiny_model: Path) -> None:
    synth = gansynth.load(tiny_model, device="cpu", precision="float32")
    assert synth.pitches == tuple(range(24, 85))
    assert (synth.latent_size, synth.sample_rate, synth.note_samples) == (16, 16000, 64000)
    z = synth.sample_latents(3, seed=0)
    assert (z.shape, z.dtype) == ((3, 16), np.float32)
    waves = synth.notes(z, [60, 64, 67])
    assert (waves.shape, waves.dtype) == ((3, 64000), np.float32)
    specgrams = synth.specgrams(z, [60, 64, 67])
    assert (specgrams.shape, specgrams.dtype) == ((3, 128, 1024, 2), np.float32)
    assert np.isfinite(waves).all()
    assert np.isfinite(specgrams).all()


def test_a_note_does_not_depend_on_its_neighbours_or_their_number(synth: Synth) -> None:
    z, pitches = synth.sample_latents(5, seed=1), [30, 60, 60, 84, 45]
    together = synth.notes(z, pitches)
    for index in range(5):
        alone = synth.notes(z[index], pitches[index])
        assert np.array_equal(alone[0], together[index])
    assert np.array_equal(synth.notes(z[::-1], pitches[::-1]), together[::-1])


def test_padded_batches_of_a_gpu_change_nothing(
    synth: Synth, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, pitches = synth.sample_latents(5, seed=1), [30, 60, 60, 84, 45]
    expected = synth.notes(z, pitches)
    monkeypatch.setattr(synth, "batch", 4)
    assert np.abs(synth.notes(z, pitches) - expected).max() < 1e-3 * np.abs(expected).max()
    assert len(list(synth.stream(z, pitches))) == 5


def test_stream_gives_the_same_notes_and_makes_repeated_ones_once(
    synth: Synth, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = np.repeat(synth.sample_latents(1), 6, axis=0)
    pitches = [60, 62, 60, 62, 60, 64]
    expected = synth.notes(z, pitches)
    made: list[int] = []
    original = synth.notes

    def counted(latents: np.ndarray, wanted: list[int], struck: None) -> np.ndarray:
        made.extend(wanted)
        return original(latents, wanted, struck)

    monkeypatch.setattr(synth, "notes", counted)
    streamed = np.stack(list(synth.stream(z, pitches)))
    assert np.array_equal(streamed, expected)
    assert made == [60, 62, 64]


def test_one_latent_serves_all_pitches_and_tensors_are_taken(synth: Synth) -> None:
    z = synth.sample_latents(1)[0]
    notes = synth.notes(torch.from_numpy(z), torch.tensor([50, 51]))
    assert np.array_equal(notes, synth.notes(np.stack([z, z]), [50, 51]))


def test_nothing_asked_for_is_nothing_made(synth: Synth) -> None:
    none = np.zeros((0, 16), dtype=np.float32)
    assert synth.notes(none, []).shape == (0, 64000)
    assert synth.specgrams(none, []).shape == (0, 128, 1024, 2)


def test_seeds_give_the_same_latents_whatever_their_number(synth: Synth) -> None:
    assert np.array_equal(synth.sample_latents(9, seed=4)[:2], synth.sample_latents(2, seed=4))
    assert not np.array_equal(synth.sample_latents(2, seed=4), synth.sample_latents(2, seed=5))
    assert not np.array_equal(synth.sample_latents(2, None), synth.sample_latents(2, None))


def test_latents_are_standard_normal(synth: Synth) -> None:
    z = synth.sample_latents(4000, seed=2)
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.std() == pytest.approx(1, abs=0.02)


def test_random_pitches_follow_the_training_counts() -> None:
    model = tiny(pitches=range(60, 63))
    model.pitch_counts.update({60: 700, 61: 0, 62: 300})
    pitches = Synth(model, "cpu").sample_pitches(5000, seed=3)
    assert (pitches == 60).mean() == pytest.approx(0.7, abs=0.02)
    assert not (pitches == 61).any()


def test_transition_models_play_at_full_size() -> None:
    model = tiny(seed=3)
    halfway = Model(model.config, model.pitch_counts, 2.35, model.generator)
    synth = Synth(halfway, "cpu")
    specgrams = synth.specgrams(synth.sample_latents(1), [60])
    assert specgrams.shape == (1, 128, 1024, 2)
    assert np.array_equal(specgrams[:, ::8], specgrams[:, 7::8])  # 16 different frames


def test_bfloat16_is_near_float32_in_what_the_generator_makes() -> None:
    model = tiny(fmap_base=4096, fmap_max=32)
    exact, rough = Synth(model, "cpu"), Synth(model, "cpu", "bfloat16")
    z = exact.sample_latents(2)
    a, b = exact.specgrams(z, [40, 70]), rough.specgrams(z, [40, 70])
    assert not np.array_equal(a, b)
    assert np.sqrt(((a - b) ** 2).mean()) < 0.05 * np.sqrt((a**2).mean())


def test_auto_is_float32(synth: Synth) -> None:
    z = synth.sample_latents(1)
    assert np.array_equal(Synth(tiny(), "cpu", "auto").notes(z, 60), synth.notes(z, 60))


@pytest.mark.parametrize(
    ("latents", "pitches", "message"),
    [
        (np.zeros((1, 16)), [23], r"pitch=23: the model knows 24-84\."),
        (np.zeros((1, 16)), [60.5], r"pitch=60\.5: the model knows 24-84"),
        (np.zeros((2, 15)), [60, 61], r"latents: shape \(2, 15\): the model needs \[n, 16\]"),
        (np.zeros((3, 16)), [60, 61], r"latents: 3 for 2 pitches: give one for each"),
        (np.full((1, 16), np.nan), [60], "latents: hold NaN or infinite values"),
        (np.full((1, 16), np.inf), [60], "latents: hold NaN or infinite values"),
        ("loud", [60], "latents: must be numbers"),
        (np.zeros((1, 16)), [[60], [61, 62]], "pitches: must be one number or a list of numbers"),
        (np.zeros((1, 16)), [[60]], r"pitches: shape \(1, 1\): must be one number or a list"),
    ],
)
def test_wrong_latents_and_pitches_are_told(
    synth: Synth, latents: object, pitches: object, message: str
) -> None:
    for method in (synth.notes, synth.specgrams):
        with pytest.raises(InputError, match=message):
            method(latents, pitches)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        list(synth.stream(latents, pitches))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 1.5, True, "x"])
def test_wrong_seeds_are_told(synth: Synth, seed: object) -> None:
    with pytest.raises(InputError, match="must be a whole number of 0 or more"):
        synth.sample_latents(1, seed)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must be a whole number of 0 or more"):
        synth.sample_pitches(1, seed)  # type: ignore[arg-type]


def test_wrong_counts_devices_and_precisions_are_told(synth: Synth) -> None:
    with pytest.raises(InputError, match="n=-1: must be a whole number of 0 or more"):
        synth.sample_latents(-1)
    with pytest.raises(InputError, match="device='tpu': there is no such device; use auto, cpu"):
        Synth(tiny(), "tpu")
    with pytest.raises(InputError, match="device='cuda:99': there is no such device"):
        Synth(tiny(), "cuda:99")
    with pytest.raises(InputError, match="precision='int8': must be one of auto, float32"):
        Synth(tiny(), "cpu", "int8")


def test_a_training_run_is_loaded_by_its_folder(tiny_model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.safetensors").write_bytes(tiny_model.read_bytes())
    assert gansynth.load(run).model.digest() == gansynth.load(tiny_model).model.digest()
    with pytest.raises(
        ModelError, match=r"is not a model; expected a folder with model\.safetensors"
    ):
        gansynth.load(tmp_path)


@settings(max_examples=15, deadline=None)
@given(
    kernel=st.integers(1, 4),
    resolutions=st.integers(1, 4),
    simple=st.booleans(),
    activation=st.sampled_from(["tanh", "linear"]),
    data_type=st.sampled_from(["mel", "linear", "phase"]),
    normalizer=st.sampled_from(
        ["none", "specgrams_simple_normalizer", "specgrams_freq_normalizer"]
    ),
    seed=st.integers(0, 99),
)
def test_every_kind_of_model_survives_its_file_and_plays(
    tmp_path_factory: pytest.TempPathFactory,
    kernel: int,
    resolutions: int,
    simple: bool,
    activation: str,
    data_type: str,
    normalizer: str,
    seed: int,
) -> None:
    from gansynth.model.file import read_model, save_model

    config = configs.from_dict(
        {
            "kernel_size": kernel, "num_resolutions": resolutions, "simple_arch": simple,
            "to_rgb_activation": activation, "data_type": data_type, "data_normalizer": normalizer,
            "start_height": 4, "start_width": 8, "fmap_base": 64, "fmap_max": 4,
            "latent_vector_size": 3, "audio_length": 20, "sample_rate": 22050,
        }
    )  # fmt: skip
    model = initial_model(config, [50, 53], seed)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    save_model(path, model)
    again = read_model(path)
    assert (again.config, again.pitch_counts) == (config, {50: 1, 53: 1})
    assert again.digest() == model.digest()
    synth = Synth(again, "cpu")
    z = synth.sample_latents(2)
    assert np.array_equal(synth.notes(z, [50, 53]), Synth(model, "cpu").notes(z, [50, 53]))
    assert synth.notes(z, [50, 53]).shape == (2, 20)


def test_threads_make_the_same_notes_and_leave_torch_as_it_was(synth: Synth) -> None:
    switches = torch.backends.cudnn
    before = switches.deterministic, switches.allow_tf32
    z, pitches = synth.sample_latents(8, seed=5), list(range(40, 48))
    expected = synth.notes(z, pitches)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda i: synth.notes(z[i], pitches[i])[0], range(8)))
    assert np.array_equal(np.stack(made), expected)
    assert (switches.deterministic, switches.allow_tf32) == before


def test_streamed_notes_cannot_be_changed_under_the_next_one(synth: Synth) -> None:
    wave = next(synth.stream(synth.sample_latents(1), [60]))
    with pytest.raises(ValueError, match="read-only"):
        wave *= 0


def test_import_is_quick_and_brings_no_torch() -> None:
    code = "import sys, gansynth, gansynth.cli.main; print('torch' in sys.modules, dir(gansynth))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("False")
    assert "perform" in result.stdout


def test_reading_a_model_draws_nothing_and_brings_no_compiler() -> None:
    code = """
import sys, torch, gansynth
before = torch.get_rng_state()
synth = gansynth.load(device="cpu")
synth.notes(synth.sample_latents(1), [60])
print(torch.equal(torch.get_rng_state(), before), "torch._dynamo" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "True False\n"


def test_unknown_names_of_the_package_are_told() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nots'"):
        _ = gansynth.nots


@pytest.mark.parametrize(
    ("offset", "level"),
    [(-1.0, r"is [\d,]+ times full scale \(at most 1,000 is played\)"), (-9.0, "isn't finite")],
)
def test_notes_far_beyond_full_scale_are_refused(offset: float, level: str, tmp_path: Path) -> None:
    save_model(tmp_path / "bad.safetensors", tiny(mag_normalizer_b=offset))
    synth = gansynth.load(tmp_path / "bad.safetensors", "cpu")
    message = rf"^model='bad.safetensors': its note at pitch 60 {level}: the model is untrained"
    for make in (synth.stream, lambda *given: synth.held(*given, 1.0)):
        with pytest.raises(ModelError, match=message):
            list(make(synth.sample_latents(1), 60))
    assert synth.notes(synth.sample_latents(1), 60).shape == (1, 64000)  # as it is


def test_a_model_whose_file_is_cut_short_goes_on_playing(tmp_path: Path) -> None:
    """Mapped into memory, it would end the process."""
    save_model(tmp_path / "m.safetensors", tiny())
    synth = gansynth.load(tmp_path / "m.safetensors", "cpu")
    z = synth.sample_latents(1)
    before = synth.notes(z, 60)
    os.truncate(tmp_path / "m.safetensors", 0)
    assert np.array_equal(synth.notes(z, 60), before)
    with pytest.raises(ModelError, match=r"m\.safetensors'"):
        gansynth.load(tmp_path / "m.safetensors", "cpu")
