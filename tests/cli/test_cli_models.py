"""`gansynth convert`, `info`, `init`, the original's command, the scripts, and damaged models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gansynth
from gansynth import config as configs
from gansynth.cli.magenta import gansynth_generate
from gansynth.convert.magenta import NSYNTH_COUNTS, read_magenta
from gansynth.errors import GansynthError
from gansynth.model.file import initial_model, read_model, save_model
from gansynth.performance.perform import perform

RunCli = Callable[..., Any]
MakeMidi = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- convert ------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_or_zip_becomes_the_same_model_file(
    run_cli: RunCli, reference: Path, tmp_path: Path, zipped: bool
) -> None:
    source = reference / "mel_hires_final" / "checkpoint"
    model, _ = read_magenta(source)
    if zipped:
        source = Path(shutil.make_archive(str(tmp_path / "model"), "zip", source))
    target = tmp_path / "out.safetensors"
    result = run_cli("convert", source, "-o", target)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{target}  {target.stat().st_size / 1e6:.1f} MB\n")
    assert "discriminator:  none" in result.out
    converted = read_model(target)
    assert converted.digest() == model.digest()
    assert list(converted.pitch_counts.values()) == list(NSYNTH_COUNTS)
    assert converted.source["stage"] == 12


def test_the_discriminator_is_kept_where_it_is_wanted(
    run_cli: RunCli, reference: Path, tmp_path: Path
) -> None:
    source, target = reference / "mel_hires_transition/checkpoint", tmp_path / "out.safetensors"
    result = run_cli("convert", source, "-o", target, "--with-discriminator")
    assert result.code == 0
    assert "discriminator:  kept" in result.out
    model = read_model(target)
    assert model.last_generator is not None
    assert len(model.build_partner().blocks) == model.num_blocks == 4


def test_a_model_of_the_original_can_be_played_unconverted(
    run_cli: RunCli, toy_checkpoint: Path, tmp_path: Path
) -> None:
    converted = tmp_path / "toy.safetensors"
    assert run_cli("convert", toy_checkpoint, "-o", converted).code == 0
    for model, name in ((toy_checkpoint, "a.wav"), (converted, "b.wav")):
        args = ("--model", model, "--pitch", 60, "--seed", 1, "-o", tmp_path / name)
        assert run_cli("generate", *args).code == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_unknown_hyperparameters_are_a_warning(
    run_cli: RunCli, toy_checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_checkpoint, tmp_path / "run")
    file = tmp_path / "run/experiment.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "flux": 1}))
    result = run_cli("convert", tmp_path / "run", "-o", tmp_path / "m.safetensors")
    assert result.code == 0
    where = tmp_path / "run"
    assert result.err == f"warning: {where}: experiment.json: ignored flux.\n"


def test_convert_takes_other_pitches_and_counts_them(
    run_cli: RunCli, toy_checkpoint: Path, tmp_path: Path
) -> None:
    target = tmp_path / "m.safetensors"
    result = run_cli("convert", toy_checkpoint, "-o", target, "--pitches", "36-40")
    message = "error: pitches: 5 given, but the model was trained on 61.\n"
    assert (result.code, result.err) == (2, message)
    assert not target.exists()
    assert run_cli("convert", toy_checkpoint, "-o", target, "--pitches", "10-70").code == 0
    assert list(read_model(target).pitch_counts) == list(range(10, 71))


def test_convert_overwrites_only_with_force(
    run_cli: RunCli, toy_checkpoint: Path, tmp_path: Path
) -> None:
    target = tmp_path / "m.safetensors"
    target.write_text("mine")
    result = run_cli("convert", toy_checkpoint, "-o", target)
    assert result.code == 2
    assert result.err.startswith(f"error: path={str(target)!r}: exists already; use --force")
    assert target.read_text() == "mine"
    assert run_cli("convert", toy_checkpoint, "-o", target, "--force").code == 0
    assert read_model(target).num_blocks == 2


# --- half precision -----------------------------------------------------------------------------


def weight_bytes(path: Path) -> int:
    """The size of a model file without its header."""
    data = path.read_bytes()
    return len(data) - 8 - int.from_bytes(data[:8], "little")


def test_half_is_half_the_size_and_nearly_the_same_sound(
    run_cli: RunCli, toy_checkpoint: Path, tmp_path: Path
) -> None:
    full, half, again = (tmp_path / f"{name}.safetensors" for name in ("full", "half", "again"))
    assert run_cli("convert", toy_checkpoint, "-o", full).code == 0
    result = run_cli("convert", toy_checkpoint, "-o", half, "--half")
    assert result.code == 0
    assert 2 * weight_bytes(half) == weight_bytes(full)
    digest = read_model(half).digest()
    assert digest != read_model(full).digest()
    assert f"sha256:         {digest}" in result.out  # of the file, not of what was rounded
    for more in ([], ["--half"]):  # a model file can be converted too, which rounds nothing twice
        assert run_cli("convert", half, "-o", again, "--force", *more).code == 0
        assert read_model(again).digest() == digest
    assert {t.dtype for t in read_model(half).generator.values()} == {torch.float32}
    one, other = gansynth.load(full, "cpu"), gansynth.load(half, "cpu")
    z = one.sample_latents(8, seed=0)
    before, after = one.notes(z, [60] * 8), other.notes(z, [60] * 8)
    noise = np.square(after - before).sum() / np.square(before).sum()
    assert 0 < noise < 10**-3.5


def test_half_keeps_what_training_needs(
    run_cli: RunCli, toy_checkpoint: Path, tmp_path: Path
) -> None:
    full, half, less = (tmp_path / f"{name}.safetensors" for name in ("full", "half", "less"))
    kept = "--with-discriminator"
    assert run_cli("convert", toy_checkpoint, "-o", full, kept).code == 0
    assert run_cli("convert", full, "-o", half, kept, "--half").code == 0
    assert 2 * weight_bytes(half) == weight_bytes(full)
    assert read_model(half).last_generator is not None
    assert "discriminator:  none" in run_cli("convert", half, "-o", less).out
    err = run_cli("convert", less, "-o", half, kept, "--force").err
    assert err == (
        f"error: source={str(less)!r}: has no discriminator; leave --with-discriminator out.\n"
    )
    err = run_cli("convert", less, "-o", half, "--pitches", "24-84", "--force").err
    assert err == "error: pitches='24-84': a model file knows its own; leave them out.\n"


def test_a_weight_beyond_half_precision_is_named(
    run_cli: RunCli, toy_model: Path, tmp_path: Path
) -> None:
    model = read_model(toy_model)
    name = sorted(model.generator)[0]
    model.generator[name].view(-1)[0] = 7e4
    source, target = tmp_path / "large.safetensors", tmp_path / "half.safetensors"
    save_model(source, model)
    result = run_cli("convert", source, "-o", target, "--half")
    assert (result.code, result.err) == (
        2,
        f"error: path={str(target)!r}: generator.{name}: reaches 70000, beyond float16, which "
        "ends at 65504; leave --half out.\n",
    )
    assert files(tmp_path) == ["large.safetensors"]


# --- info ---------------------------------------------------------------------------------------


def test_info_says_what_is_in_a_model(run_cli: RunCli, tiny_model: Path) -> None:
    result = run_cli("info", tiny_model)
    assert (result.code, result.err) == (0, "")
    facts = dict(line.split(":", 1) for line in result.out.splitlines())
    assert {name: value.strip() for name, value in facts.items()} == {
        "source": "untrained (seed 0)",
        "pitches": "24-84",
        "families": "none",
        "velocities": "none",
        "latent size": "16",
        "sample rate": "16000 Hz",
        "note": "64000 samples, 4 s",
        "represents": "mel, specgrams_prespecified_normalizer",
        "image": "128 x 1024 (time x frequency) of 128 x 1024, progress 6",
        "generator": f"{sum(t.numel() for t in read_model(tiny_model).generator.values()):,} "
        "parameters",
        "discriminator": "none",
        "sha256": read_model(tiny_model).digest(),
    }


def test_info_gives_everything_as_json(run_cli: RunCli, toy_model: Path) -> None:
    facts = json.loads(run_cli("info", toy_model, "--json").out)
    assert configs.from_dict(facts["config"]) == read_model(toy_model).config
    assert facts["pitch_counts"] == {str(pitch): 1 for pitch in range(24, 85)}
    assert facts["source"] == {"kind": "untrained", "seed": 0}
    assert facts["latent size"] == 3


def test_info_reads_a_training_run_and_a_checkpoint_of_the_original(
    run_cli: RunCli, toy_model: Path, toy_checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copy(toy_model, tmp_path / "model.safetensors")
    assert run_cli("info", tmp_path).out == run_cli("info", toy_model).out
    magenta = run_cli("info", toy_checkpoint).out
    assert "magenta (name run, stage 2, images 1024)" in magenta


# --- init ---------------------------------------------------------------------------------------


def test_init_makes_an_untrained_model(run_cli: RunCli, tmp_path: Path) -> None:
    target = tmp_path / "m.safetensors"
    args = ["--preset", "tiny", "--hparams", '{"latent_vector_size": 5}', "--pitches", "C3-C4"]
    result = run_cli("init", *args, "--seed", 9, "-o", target)
    assert (result.code, result.out) == (0, f"{target}  untrained, preset tiny, seed 9\n")
    config = configs.preset("tiny").replace(latent_vector_size=5)
    same = initial_model(config, list(range(48, 61)), seed=9)
    assert read_model(target).digest() == same.digest()
    again = run_cli("init", *args, "-o", target)
    assert again.code == 2
    assert "exists already; use --force" in again.err
    assert run_cli("init", *args, "-o", target, "--force").code == 0
    assert read_model(target).digest() != same.digest()  # another seed, another model


# --- the original's command ---------------------------------------------------------------------


def test_the_originals_flags_make_notes(
    run_cli: RunCli, toy_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "not" / "yet" / "there"
    flags = [f"--ckpt_dir={toy_checkpoint}", f"--output_dir={out}", "--batch_size=3", "--seed=1"]
    result = run_cli(*flags, "--tfds_data_dir=/data", command=gansynth_generate)
    assert (result.code, result.err) == (0, "")
    names = [f"generated_{index}" for index in range(3)]
    assert files(out) == sorted(f"{name}.{kind}" for name in names for kind in ("json", "wav"))
    lines = result.out.splitlines()
    assert lines[0] == ("note: --tfds_data_dir is ignored; models carry their pitches with them.")
    assert [line.split("  ")[0] for line in lines[1:]] == [
        f"Saved to {out / name}.wav" for name in names
    ]
    synth = gansynth.load(toy_checkpoint)
    waves = synth.notes(synth.sample_latents(3, 1), synth.sample_pitches(3, 1))
    for name, wave in zip(names, waves, strict=True):
        np.testing.assert_array_equal(soundfile.read(out / f"{name}.wav", dtype="f4")[0], wave)


def test_the_originals_flags_play_a_piece(
    run_cli: RunCli, toy_checkpoint: Path, tmp_path: Path, make_midi: MakeMidi
) -> None:
    song, out = make_midi([(60, 0, 1), (64, 1, 2)]), tmp_path / "out"
    flags = [f"--ckpt_dir={toy_checkpoint}", f"--output_dir={out}", f"--midi_file={song}"]
    more = ["--secs_per_instrument=0.5", "--seed=1"]
    result = run_cli(*flags, *more, command=gansynth_generate)
    assert result.code == 0
    assert f"Saved to {out}/generated_clip.wav" in result.out
    clip = soundfile.read(out / "generated_clip.wav", dtype="float32")[0]
    expected = perform(song, gansynth.load(toy_checkpoint), seed=1, secs_per_instrument=0.5)
    np.testing.assert_array_equal(clip, expected)
    again = run_cli(*flags, *more, command=gansynth_generate)
    assert again.code == 2
    assert "exists already; use --force" in again.err
    assert run_cli(*flags, *more, "--force", command=gansynth_generate).code == 0


# --- the scripts --------------------------------------------------------------------------------


def test_console_scripts_run_as_processes_of_their_own(toy_model: Path, tmp_path: Path) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert sorted(scripts) == ["gansynth", "gansynth_generate", "gansynth_train"]
    flags = {
        "gansynth": ["generate", "--model", str(toy_model), "--count", "1", "-o", "one"],
        "gansynth_generate": [f"--ckpt_dir={toy_model}", "--output_dir=two", "--batch_size=1"],
        "gansynth_train": ["--help"],
    }
    for script, entry in scripts.items():
        module, function = entry.split(":")
        code = f"from {module} import {function}; {function}()"
        result = subprocess.run(
            [sys.executable, "-c", code, *flags[script]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(Path(gansynth.__file__).parents[1])},
        )
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
    assert files(tmp_path) == [
        f"{folder}/generated_0.{kind}" for folder in ("one", "two") for kind in ("json", "wav")
    ]


def test_help_and_version_are_printed_without_the_heavy_half(tmp_path: Path) -> None:
    code = (
        "import sys; from gansynth.cli.main import cli; cli.main(standalone_mode=False);"
        "print(*sorted({'torch', 'numpy', 'mido'} & set(sys.modules)), 'loaded')"
    )
    for flag, words in (("--help", "Play a MIDI file"), ("--version", gansynth.__version__)):
        result = subprocess.run(
            [sys.executable, "-c", code, flag],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(Path(gansynth.__file__).parents[1])},
        )
        assert result.returncode == 0
        assert words.lower() in result.stdout.lower()
        assert result.stdout.splitlines()[-1].strip() == "loaded"


# --- damaged models -----------------------------------------------------------------------------

# Bytes to write at places given as shares of the file, and the share of it that is kept.
damage = st.tuples(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4)), max_size=6),
    st.one_of(st.just(1.0), st.floats(0, 1)),
)
Damage = tuple[list[tuple[float, bytes]], float]


def damaged(data: bytes, harm: Damage) -> bytes:
    spoilt = bytearray(data)
    for share, piece in harm[0]:
        at = int(share * len(spoilt))
        spoilt[at : at + len(piece)] = piece
    return bytes(spoilt[: int(harm[1] * len(spoilt))])


def loads_or_says_why(path: Path) -> None:
    """Loading gives a synth that plays, or an error made on purpose, in one line."""
    try:
        synth = gansynth.load(path, "cpu")
    except GansynthError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert synth.notes(synth.sample_latents(1), synth.pitches[0]).ndim == 2


@settings(deadline=None, max_examples=150)
@given(harm=damage)
@example(harm=([], 1.0))
def test_a_damaged_model_file_is_told(toy_model: Path, harm: Damage) -> None:
    path = toy_model.with_name("damaged.safetensors")
    path.write_bytes(damaged(toy_model.read_bytes(), harm))
    loads_or_says_why(path)


@settings(deadline=None, max_examples=150)
@given(harm=damage, packed=st.booleans())
@example(harm=([], 1.0), packed=True)
def test_a_damaged_zip_of_the_original_is_told(
    toy_checkpoint: Path, harm: Damage, packed: bool
) -> None:
    path = toy_checkpoint.with_name("damaged.zip")
    with zipfile.ZipFile(path, "w", 8 if packed else 0) as archive:
        for file in sorted(toy_checkpoint.rglob("*")):
            archive.write(file, file.relative_to(toy_checkpoint))
    path.write_bytes(damaged(path.read_bytes(), harm))
    loads_or_says_why(path)


@settings(deadline=None, max_examples=100)
@given(harm=damage, name=st.sampled_from(["experiment.json", "*.index", "*.data-*", "checkpoint"]))
def test_a_damaged_file_of_the_original_is_told(
    toy_checkpoint: Path, harm: Damage, name: str
) -> None:
    folder = toy_checkpoint.with_name("damaged")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(toy_checkpoint, folder)
    file = next(folder.rglob(name))
    file.write_bytes(damaged(file.read_bytes(), harm))
    loads_or_says_why(folder)
