"""Whole trainings: stage after stage, in every mode, from nothing or from a model."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gansynth
import training_data
from conftest import MakeMidi, RunCli
from gansynth.errors import ConfigError, InputError, OutputError, TrainingError
from gansynth.model.load import load_model
from gansynth.networks import schedule
from gansynth.training.checkpoint import Checkpoints
from gansynth.training.export import model_of_run
from gansynth.training.run_folder import read_settings
from gansynth.training.start import resume, train
from training_data import (
    WAVE,
    assert_no_leftovers,
    assert_same_bits,
    images_kept,
    metrics,
    newest,
    options,
    small,
)

pytest_plugins = ["training_fixtures"]

# A whole run


def test_a_run_goes_through_all_stages(finished: Path) -> None:
    lines = metrics(finished)
    assert [line["images"] for line in lines] == [
        8, 16, 20, 24, 28, 32, 36, 40, 44, 48, *range(50, 82, 2),
    ]  # fmt: skip
    assert [line["stage"] for line in lines] == [0] * 2 + [1] * 4 + [2] * 4 + [3] * 8 + [4] * 8
    assert newest(finished)[1]["images"] == 80


def test_metrics_are_numbers_that_make_sense(finished: Path) -> None:
    names = {
        "generator_loss", "fake_score", "fake_pitch_loss", "discriminator_loss", "real_score",
        "made_score", "real_pitch_loss", "real_score_penalty", "gradient_penalty", "gradient_norm",
    }  # fmt: skip
    seconds = 0.0
    for line in metrics(finished):
        assert names < line.keys()
        assert all(np.isfinite(line[name]) for name in names)
        assert line["gradient_penalty"] >= 0
        assert line["gradient_norm"] > 0
        assert line["real_pitch_loss"] > 0
        assert 0 <= line["data_share"] <= 1
        assert line["seconds"] > seconds
        seconds = line["seconds"]
        config = small()
        blocks = schedule.blocks_at_stage(config, line["stage"])
        assert line["progress"] == schedule.progress_at_images(config, line["images"], blocks)


def test_losses_are_the_sums_that_the_recipe_says(finished: Path) -> None:
    for line in metrics(finished):
        generator = 10 * line["fake_pitch_loss"] - line["fake_score"]
        discriminator = (
            line["made_score"] - line["real_score"] + 10 * line["real_pitch_loss"]
            + 0.001 * line["real_score_penalty"] + 10 * line["gradient_penalty"]
        )  # fmt: skip
        assert line["generator_loss"] == pytest.approx(generator, rel=1e-5)
        assert line["discriminator_loss"] == pytest.approx(discriminator, rel=1e-5)


def test_the_last_checkpoints_and_one_of_each_stage_are_kept(finished: Path) -> None:
    assert images_kept(finished) == [16, 32, 48, 64, 78, 80]
    assert_no_leftovers(finished)


def test_the_same_seed_trains_the_same_model_and_another_one_does_not(
    small_notes: Path, tmp_path: Path
) -> None:
    states = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(small_notes, tmp_path / name, small(), options(max_images=24, seed=seed))
        states.append(newest(tmp_path / name)[0])
    assert_same_bits(states[0], states[1])
    name = "generator.blocks.0.conv1.weight"
    assert not torch.equal(states[0][name], states[2][name])


def test_the_model_file_is_the_average_and_plays(
    finished: Path, tmp_path: Path, run_cli: RunCli, make_midi: MakeMidi
) -> None:
    import soundfile

    model, _ = load_model(finished)
    tensors, facts = newest(finished)
    assert all(torch.equal(model.generator[n], tensors[f"average.{n}"]) for n in model.generator)
    assert model.pitch_counts == {60: 5, 62: 10, 64: 5}
    assert model.source == {"kind": "trained", "images": 80, "stage": 4, "data": "notes"}
    assert facts["data"] == "notes"
    synth = gansynth.load(finished / "model.safetensors", "cpu")
    assert synth.notes(synth.sample_latents(2), [60, 64]).shape == (2, 320)
    song = make_midi([(60, 0.0, 0.05), (64, 0.1, 0.15)])
    out = tmp_path / "song.wav"
    result = run_cli("generate", "--model", finished, "--midi", song, "-o", out)
    assert result.code == 0, result.err
    wave, rate = soundfile.read(out)
    assert rate == 4000
    assert np.abs(wave).max() > 0


def test_pictures_and_sounds_are_logged_for_tensorboard(
    small_notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr("gansynth.training.loop.LOG_SECONDS", 0.0)
    monkeypatch.setattr("gansynth.training.loop.SUMMARY_SECONDS", 0.0)
    config = small(save_summaries_num_images=30)
    train(small_notes, tmp_path / "run", config, options())
    events = loading.EventAccumulator(str(tmp_path / "run" / "events"), {"images": 0, "audio": 0})
    events.Reload()
    tags = events.Tags()
    assert set(tags["audio"]) == {"fake_waves", "real_waves"}
    assert {"losses/total_gen_loss", "scores/real", "progress"} <= set(tags["scalars"])
    assert [event.step for event in events.Audio("fake_waves")] == [32, 60]
    assert len(events.Scalars("losses/gradient_penalty")) == 20
    assert any(tag.startswith("fake_data") for tag in tags["images"])


# Every mode: a few steps, stopped, resumed, exported, played


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"data_normalizer": "specgrams_simple_normalizer"}, id="simple normalizer"),
        pytest.param({"data_normalizer": "specgrams_freq_normalizer"}, id="freq normalizer"),
        pytest.param({"data_normalizer": "none"}, id="no normalizer"),
        pytest.param({"train_progressive": False}, id="not progressive"),
        pytest.param({"data_type": "linear"}, id="linear"),
        pytest.param({"data_type": "phase"}, id="phase"),
        pytest.param({**WAVE, "data_normalizer": "none"}, id="wave"),
        pytest.param({"simple_arch": True}, id="simple architecture"),
        pytest.param({"gen_gl_consistency_loss_weight": 2.0}, id="consistency"),
        pytest.param({"to_rgb_activation": "linear"}, id="linear output"),
        pytest.param({"gradient_penalty_weight": 0.0}, id="no penalty"),
    ],
)
def test_every_mode_trains_resumes_and_plays(
    small_notes: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = small(stable_stage_num_images=8, transition_stage_num_images=8,
                   total_num_images=40, **changes)  # fmt: skip
    for name, stop in (("whole", None), ("pieces", 20)):
        why = train(small_notes, tmp_path / name, config, options(max_images=stop))
    assert why == "stopped (max_images=20)"
    assert resume(tmp_path / "pieces", options()) == "finished"
    tensors, _ = newest(tmp_path / "whole")
    assert_same_bits(tensors, newest(tmp_path / "pieces")[0])
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    synth = gansynth.load(tmp_path / "pieces", "cpu")
    waves = synth.notes(synth.sample_latents(2), [60, 64])
    assert waves.shape == (2, 320)
    assert np.isfinite(waves).all()
    losses = metrics(tmp_path / "whole")[-1]
    assert ("consistency_loss" in losses) == ("gen_gl_consistency_loss_weight" in changes)
    assert ("gradient_penalty" in losses) == ("gradient_penalty_weight" not in changes)


@pytest.mark.parametrize("kind", ["simple", "freq"])
def test_measured_normalizers_fit_the_notes_and_stay_with_the_run(
    small_notes: Path, tmp_path: Path, kind: str
) -> None:
    from gansynth.data.store import open_notes
    from gansynth.spectral.normalizers import make_normalizer
    from gansynth.spectral.representation import Representation

    config = small(data_normalizer=f"specgrams_{kind}_normalizer", normalizer_margin=0.7)
    train(small_notes, tmp_path / "run", config, options(max_images=4))
    model, _ = load_model(tmp_path / "run")
    assert model.normalizer is not None
    assert model.normalizer.shape == ((4,) if kind == "simple" else (64, 4))
    notes = open_notes(small_notes)
    waves = torch.from_numpy(notes.waveforms[notes.rows("train")].astype(np.float32)) / 32768
    values = make_normalizer(config, model.normalizer).normalize(
        Representation(config).waves_to_specgrams(waves)
    )
    largest = values.abs().amax(dim=(0, 1, 2) if kind == "simple" else (0, 1))
    torch.testing.assert_close(largest, torch.full_like(largest, 0.7), rtol=1e-3, atol=1e-3)
    before = newest(tmp_path / "run")[0]["normalizer.constants"]
    resume(tmp_path / "run", options(max_images=4))
    assert torch.equal(newest(tmp_path / "run")[0]["normalizer.constants"], before)


def test_a_time_limit_ends_a_run_by_the_clock(
    small_notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()  # a clock of its own: a busy machine would jump over stages
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks) / 100)
    config = small(train_time_limit=0.4, train_time_stage_multiplier=1.5, total_num_images=1)
    assert train(small_notes, tmp_path / "run", config, options(max_images=4)).startswith("stop")
    assert resume(tmp_path / "run", options()) == "finished"
    _, facts = newest(tmp_path / "run")
    assert facts["stage"] == 4
    assert facts["seconds"] >= 0.4
    assert load_model(tmp_path / "run")[0].progress == 2.0
    with pytest.raises(InputError, match=r"is finished, after \d+ images; its time is up\. Start"):
        resume(tmp_path / "run", options())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="mel"),
        pytest.param({"data_normalizer": "specgrams_freq_normalizer"}, id="freq normalizer"),
        pytest.param({"gen_gl_consistency_loss_weight": 2.0}, id="consistency"),
        pytest.param({**WAVE, "data_normalizer": "none"}, id="wave"),
        pytest.param({"simple_arch": True}, id="simple architecture"),
    ],
)  # fmt: skip
def test_bfloat16_trains_resumes_and_plays(
    small_notes: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    chosen = options(precision="bfloat16", max_images=40)
    train(small_notes, tmp_path / "run", small(**changes), chosen)
    assert resume(tmp_path / "run", options()) == "finished"
    assert read_settings(tmp_path / "run").training["precision"] == "bfloat16"
    tensors, _ = newest(tmp_path / "run")
    kept = {t.dtype for name, t in tensors.items() if not name.startswith("normalizer.")}
    assert kept == {torch.float32}
    assert all(np.isfinite(line["generator_loss"]) for line in metrics(tmp_path / "run"))
    synth = gansynth.load(tmp_path / "run", "cpu")
    assert np.isfinite(synth.notes(synth.sample_latents(1), [62])).all()


# What ends a training


def test_a_loss_that_is_no_number_ends_it_with_the_last_good_state(
    small_notes: Path, tmp_path: Path
) -> None:
    config = small(generator_learning_rate=1e30, discriminator_learning_rate=1e30)
    with pytest.raises(TrainingError) as error:
        train(small_notes, tmp_path / "run", config, options(save_minutes=0))
    tensors, facts = newest(tmp_path / "run")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    text = str(error.value)
    last = Checkpoints(tmp_path / "run" / "checkpoints").paths()[-1]
    assert f"the last good state is kept in {str(last)!r}. Lower the learning rates" in text
    assert "Training ended after " in text
    assert facts["images"] < 80
    assert_no_leftovers(tmp_path / "run")


def test_a_poisoned_weight_ends_it_before_anything_is_saved(
    small_notes: Path, tmp_path: Path
) -> None:
    train(small_notes, tmp_path / "one", small(), options(max_images=8))
    model, _ = model_of_run(tmp_path / "one", with_discriminator=True)
    assert model.partner is not None
    model.partner["pitch_logits.bias"][0] = float("nan")
    text = (
        r"discriminator\.pitch_logits\.bias: holds values that aren't finite\. Training "
        r"ended after 0 images; no checkpoint was saved\."
    )
    with pytest.raises(TrainingError, match=text):
        train(small_notes, tmp_path / "two", small(), options(), model=model)
    assert images_kept(tmp_path / "two") == []
    assert not (tmp_path / "two" / "model.safetensors").exists()


FILL = """
import resource, sys
from pathlib import Path
from gansynth.errors import OutputError
sys.path.insert(0, sys.argv[3])
from training_data import *
notes, run = map(Path, sys.argv[1:3])
train(notes, run, small(), options(max_images=16))
size = Checkpoints(run / "checkpoints").paths()[-1].stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
try:
    resume(run, options())
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_keeps_the_checkpoint_before(small_notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = [
        sys.executable,
        "-c",
        FILL,
        str(small_notes),
        str(run),
        str(Path(training_data.__file__).parent),
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "images_000000032.safetensors': can't be written: the file is larger than" in done.stdout
    assert "Traceback" not in done.stderr
    assert_no_leftovers(run)
    assert newest(run)[1]["images"] == 16
    assert resume(run, options()) == "finished"


# What is refused before it begins


def test_a_folder_with_other_files_is_refused(small_notes: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"holds other files \('thesis.txt', 1 in all\); use a"):
        train(small_notes, tmp_path, small(), options())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_refused_notes_leave_nothing_behind(small_notes: Path, tmp_path: Path) -> None:
    for refused in (
        lambda run: train(small_notes, run, small(audio_length=100), options()),
        lambda run: train(small_notes, run, small(), options(), pitches=[61]),
        lambda run: train(small_notes, run, small(batch_size_schedule=[21]), options()),
        lambda run: train(small_notes, run, small(), options(device="cuda:9")),
        lambda run: train(tmp_path / "nowhere", run, small(), options()),
    ):
        with pytest.raises((InputError, ConfigError)):
            refused(tmp_path / "run")
        assert not (tmp_path / "run").exists()


# What it needs


IMPORTS = """
import json, sys
from pathlib import Path
from gansynth import config
from gansynth.training.options import TrainOptions
from gansynth.training.start import train
notes, run, values = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
sys.modules["tensorboard"] = None  # as if it were not installed
why = train(notes, run, config.from_dict(values), TrainOptions(device="cpu", max_images=20))
heavy = ["click", "soundfile", "soxr", "mido", "google_crc32c", "matplotlib", "scipy", "cramjam",
         "gansynth.convert", "gansynth.performance", "gansynth.audio", "gansynth.cli"]
print(why, [name for name in heavy if name in sys.modules])
"""


def test_training_imports_only_what_it_needs(small_notes: Path, tmp_path: Path) -> None:
    values = json.dumps(small().to_dict())
    line = [sys.executable, "-c", IMPORTS, str(small_notes), str(tmp_path / "run"), values]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "stopped (max_images=20) []"
