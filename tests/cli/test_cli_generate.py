"""`gansynth generate`: which files appear, what is in them, and how to make them again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from gansynth import __version__, load
from gansynth.cli.magenta import gansynth_generate
from gansynth.model.synth import Synth
from gansynth.performance.midi import read_midi
from gansynth.performance.perform import perform
from gansynth.performance.plan import make_plan
from midi_bytes import bend, control, off, on, smf

RunCli = Callable[..., Any]
MakeMidi = Callable[..., Path]
SONG = [(60, 0, 0.4), (64, 0.2, 0.9), (100, 0.9, 1.2), (36, 0.1, 0.2, 90, 9)]


def sidecar(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".json").read_text())


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def generate(
    run_cli: RunCli, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run `gansynth generate` with the toy model in an empty folder; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run_it(*args: object, code: int = 0) -> str:
        models = [] if "--model" in args or "--recall" in args else ["--model", toy_model]
        result = run_cli("generate", *models, *args)
        assert result.code == code, result.err
        return result.err if code else result.out

    return run_it


Generate = Callable[..., str]

# --- notes --------------------------------------------------------------------------------------


def test_notes_of_a_seed_are_the_synths(
    generate: Generate, tiny_model: Path, tiny_synth: Synth
) -> None:
    out = generate("--model", tiny_model, "--count", 2, "--seed", 7, "-o", "notes")
    names = [f"generated_{i}.{kind}" for i in range(2) for kind in ("json", "wav")]
    assert sorted(contents(Path("notes"))) == sorted(names)
    z, pitches = tiny_synth.sample_latents(2, 7), tiny_synth.sample_pitches(2, 7).tolist()
    waves = tiny_synth.notes(z, pitches)
    for index in range(2):
        path = Path(f"notes/generated_{index}.wav")
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "FLOAT")
        np.testing.assert_array_equal(samples(path), waves[index])
        assert f"{path}  pitch {pitches[index]}, peak {np.abs(waves[index]).max():.2f} is" in out
    assert out.startswith("2 notes, seed 7\n")


@pytest.mark.parametrize(
    ("wanted", "instruments", "pitches"),
    [
        (["--pitch", "60"], 1, [60]),
        (["--pitch", "C4", "--pitch", "62"], 1, [60, 62]),
        (["--pitches", "C4-D4,Gb4"], 1, [60, 61, 62, 66]),
        (["--count", "2", "--pitches", "60,64"], 2, [60, 64, 60, 64]),
        (["--count", "3"], 3, None),
        ([], 8, None),
    ],
)
def test_count_and_pitches_say_how_many_notes(
    generate: Generate, toy_model: Path, wanted: list[str], instruments: int, pitches: Any
) -> None:
    generate(*wanted, "--seed", 4)
    synth = load(toy_model)
    z = synth.sample_latents(instruments, 4)
    expected = pitches or synth.sample_pitches(instruments, 4).tolist()
    sides = [sidecar(path) for path in sorted(Path("generated").glob("*.wav"))]
    assert [side["pitches"] for side in sides] == [[pitch] for pitch in expected]
    latents = np.repeat(z, len(expected) // instruments, axis=0)
    kept = np.array([side["latents"][0] for side in sides], np.float32)
    np.testing.assert_array_equal(kept, latents)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(generate: Generate) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate("--count", 2, "--seed", seed, "-o", folder)
    assert contents(Path("a")) == contents(Path("b"))
    assert not set(contents(Path("a")).values()) & set(contents(Path("c")).values())


def test_a_seed_that_was_drawn_is_printed_and_can_be_given(generate: Generate) -> None:
    out = generate("--count", 2, "-o", "a")
    seed = re.fullmatch(r"2 notes, seed (\d+)", out.splitlines()[0])
    assert seed is not None
    generate("--count", 2, "--seed", seed[1], "-o", "b")
    assert contents(Path("a")) == contents(Path("b"))
    assert generate("--count", 2, "-o", "c").splitlines()[0] != out.splitlines()[0]


def test_the_sidecar_says_how_to_make_the_note_again(generate: Generate, toy_model: Path) -> None:
    generate("--pitch", 61, "--seed", 3)
    side = sidecar(Path("generated/generated_0.wav"))
    synth = load(toy_model)
    assert side == {
        "file": "generated_0.wav",
        "gain": 1.0,
        "gansynth": __version__,
        "model": {"path": str(toy_model), "sha256": synth.model.digest()},
        "seed": 3,
        "midi": None,
        "recall": None,
        "options": {
            "secs_per_instrument": 6.0,
            "single": False,
            "per_track": False,
            "out_of_range": "octave",
            "sustain": "extend",
            "stereo": False,
            "modulation": "ignore",
            "times": None,
            "tempo": 1.0,
            "attack": 0.01,
            "release": 0.3,
            "max_note": None,
            "precision": "auto",
            "velocity": None,
            "family": None,
        },
        "kind": "note",
        "latents": [synth.sample_latents(1, 3)[0].tolist()],
        "pitches": [61],
        "format": {"extension": ".wav", "bits": None, "sample_rate": None, "plot": False},
    }


def test_one_note_can_be_one_file(generate: Generate) -> None:
    generate("--count", 1, "-o", "note.flac")
    assert sorted(contents(Path())) == ["note.flac", "note.json"]
    assert soundfile.info("note.flac").format == "FLAC"
    err = generate("--count", 2, "-o", "both.flac", code=2)
    assert err == "error: output='both.flac': is one file for 2 notes; give a folder.\n"
    assert sorted(contents(Path())) == ["note.flac", "note.json"]


# --- recall -------------------------------------------------------------------------------------


def test_recall_plays_the_same_instrument(generate: Generate, toy_model: Path) -> None:
    generate("--pitch", 60, "--seed", 5, "-o", "first.wav")
    generate("--recall", "first.json", "-o", "again.wav")
    assert Path("again.wav").read_bytes() == Path("first.wav").read_bytes()
    generate("--recall", "first.json", "--pitch", 55, "-o", "lower.wav")
    synth = load(toy_model)
    wave = synth.notes(synth.sample_latents(1, 5), [55])[0]
    np.testing.assert_array_equal(samples(Path("lower.wav")), wave)
    assert sidecar(Path("lower.wav"))["recall"] == "first.json"


def test_recall_plays_a_piece_with_that_instrument(
    generate: Generate, toy_model: Path, make_midi: MakeMidi
) -> None:
    song = make_midi(SONG)
    generate("--pitch", 60, "--seed", 5, "-o", "first.wav")
    generate("--recall", "first.json", "--midi", song, "-o", "clip.wav")
    latents = sidecar(Path("first.wav"))["latents"]
    assert sidecar(Path("clip.wav"))["latents"] == latents
    synth = load(toy_model)
    np.testing.assert_array_equal(
        samples(Path("clip.wav")), perform(song, synth, latents=np.float32(latents))
    )
    generate("--recall", "clip.json", "--midi", song, "-o", "again.wav")
    assert Path("again.wav").read_bytes() == Path("clip.wav").read_bytes()


def test_recall_of_another_model_is_refused(generate: Generate, tiny_model: Path) -> None:
    generate("--count", 1, "-o", "first.wav")
    err = generate("--recall", "first.json", "--model", tiny_model, "-o", "x.wav", code=2)
    made_with = sidecar(Path("first.wav"))["model"]["sha256"][:12]
    assert f"recall='first.json': was made with model {made_with}…, but {str(tiny_model)!r}" in err
    assert "give that model with --model." in err
    assert not Path("x.wav").exists()


def test_recall_of_a_clip_needs_pitches(generate: Generate, make_midi: MakeMidi) -> None:
    generate("--midi", make_midi(SONG), "-o", "clip.wav")
    err = generate("--recall", "clip.json", "-o", "x", code=2)
    assert err == ("error: --recall: no note made this .json; say --pitch, --pitches or --midi.\n")
    generate("--recall", "clip.json", "--pitch", 60, "-o", "x")
    assert len(list(Path("x").glob("*.wav"))) == len(sidecar(Path("clip.wav"))["latents"])


# --- formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extension", "bits", "form", "subtype"),
    [
        ("wav", None, "WAV", "FLOAT"),
        ("wav", "float", "WAV", "FLOAT"),
        ("wav", "16", "WAV", "PCM_16"),
        ("wav", "24", "WAV", "PCM_24"),
        ("flac", None, "FLAC", "PCM_16"),
        ("flac", "24", "FLAC", "PCM_24"),
        ("ogg", None, "OGG", "VORBIS"),
    ],
)
def test_the_format_is_chosen_by_option_or_by_name(
    generate: Generate, extension: str, bits: str | None, form: str, subtype: str
) -> None:
    more = ["--seed", 1, "--count", 1, *(["--bits", bits] if bits else [])]
    generate(*more, "--format", extension, "-o", "folder")
    generate(*more, "-o", f"note.{extension.upper()}")
    for name in (f"folder/generated_0.{extension}", f"note.{extension.upper()}"):
        info = soundfile.info(name)
        assert (info.format, info.subtype, info.frames) == (form, subtype, 28)


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_the_sample_rate_is_converted(generate: Generate, tiny_model: Path, rate: int) -> None:
    generate("--model", tiny_model, "--count", 1, "--sample-rate", rate, "-o", "note.wav")
    info = soundfile.info("note.wav")
    assert (info.samplerate, info.frames) == (rate, 4 * rate)
    assert sidecar(Path("note.wav"))["format"]["sample_rate"] == rate


def test_loud_notes_are_scaled_for_whole_numbers_and_this_is_said(
    generate: Generate, tiny_model: Path, tiny_synth: Synth
) -> None:
    same = ["--model", tiny_model, "--pitch", 60, "--seed", 0]
    assert "scaled" not in generate(*same, "-o", "float.wav")
    wave = samples(Path("float.wav"))
    peak = float(np.abs(wave).max())
    assert peak > 1  # an untrained model is loud
    for bits in ("16", "24"):
        out = generate(*same, "--bits", bits, "-o", f"whole{bits}.wav")
        assert f"pitch 60, peak {peak:.2f} scaled to fit this format" in out
        gain = sidecar(Path(f"whole{bits}.wav"))["gain"]
        assert gain == pytest.approx(0.999 / peak)
        np.testing.assert_allclose(samples(Path(f"whole{bits}.wav")), wave * gain, atol=2**-15)


def test_plots_lie_beside_the_sounds(
    generate: Generate, tiny_model: Path, make_midi: MakeMidi
) -> None:
    generate("--model", tiny_model, "--count", 1, "--plot")
    generate("--model", tiny_model, "--midi", make_midi(SONG), "--plot", "-o", "clip.wav")
    for path in (Path("generated/generated_0.png"), Path("clip.png")):
        assert path.read_bytes().startswith(b"\x89PNG")


# --- never by surprise --------------------------------------------------------------------------


@pytest.mark.parametrize("taken", ["generated_0.wav", "generated_1.json", "generated_1.png"])
def test_nothing_is_overwritten_without_force(generate: Generate, taken: str) -> None:
    Path("out").mkdir()
    Path("out", taken).write_text("mine")
    args = ["--count", 2, "--plot", "-o", "out"]
    err = generate(*args, code=2)
    assert err.startswith(f"error: path='out/{taken}': exists already; use --force")
    assert contents(Path("out")) == {taken: b"mine"}
    generate(*args, "--force")
    assert len(contents(Path("out"))) == 6
    assert Path("out", taken).read_bytes() != b"mine"


def test_dry_run_says_what_it_would_make_and_makes_nothing(
    generate: Generate, make_midi: MakeMidi
) -> None:
    song = make_midi(SONG)
    assert "would write generated/generated_0.wav" in generate("--dry-run")
    assert "would write song.flac" in generate("--midi", song, "-o", "song.flac", "--dry-run")
    assert list(contents(Path())) == ["song.mid"]
    Path("song.flac").touch()
    assert "exists already" in generate("--midi", song, "-o", "song.flac", "--dry-run", code=2)


# --- pieces -------------------------------------------------------------------------------------


def test_a_clip_is_what_perform_gives(
    generate: Generate, tiny_model: Path, tiny_synth: Synth, make_midi: MakeMidi
) -> None:
    song = make_midi(SONG)
    out = generate("--model", tiny_model, "--midi", song, "--seed", 2, "-o", "clip.wav")
    assert sorted(contents(Path())) == ["clip.json", "clip.wav", "song.mid"]
    np.testing.assert_array_equal(samples(Path("clip.wav")), perform(song, tiny_synth, seed=2))
    summary = make_plan(read_midi(song), tiny_synth, seed=2).summary()
    assert out.splitlines() == [f"{song}: {summary}, seed 2", "clip.wav  4.0 s"]
    assert "1 moved by octaves into range, 1 drum note left out" in summary
    side = sidecar(Path("clip.wav"))
    assert (len(side["latents"]), len(side["times"])) == (2, 2)
    assert side["pitches"] == [60, 64, 76]


def test_a_clip_in_a_folder_has_the_originals_name(generate: Generate, make_midi: MakeMidi) -> None:
    generate("--midi", make_midi(SONG), "-o", "out")
    assert sorted(contents(Path("out"))) == ["generated_clip.json", "generated_clip.wav"]


@pytest.mark.parametrize(
    ("options", "instruments"),
    [
        (["--single"], 1),
        (["--per-track"], 3),
        (["--secs-per-instrument", "0.3"], 4),
        (["--secs-per-instrument", "60"], 2),
    ],
)
def test_the_arrangement_is_chosen_by_options(
    generate: Generate, make_midi: MakeMidi, options: list[str], instruments: int
) -> None:
    song = make_midi([(60, 0, 1)], [(48, 0, 1)], [(52, 0, 1.2)])
    out = generate("--midi", song, *options, "-o", "clip.wav")
    assert f"{instruments} instrument{'s' if instruments > 1 else ''}," in out
    side = sidecar(Path("clip.wav"))
    assert len(side["latents"]) == instruments
    assert (side["times"] is None) == (options[0] in ("--single", "--per-track"))


@pytest.mark.parametrize(
    ("rule", "words"),
    [("octave", "1 moved by octaves into range"), ("drop", "1 out of range and dropped")],
)
def test_notes_out_of_range_are_counted(
    generate: Generate, make_midi: MakeMidi, rule: str, words: str
) -> None:
    song = make_midi([(60, 0, 5), (100, 0, 1), (36, 0, 1, 90, 9), (38, 0, 1, 90, 9)])
    out = generate("--midi", song, "--out-of-range", rule, "-o", "clip.wav")
    for part in (words, "2 drum notes left out", "held longer than 0 s and released then"):
        assert part in out


def test_stereo_and_modulation_are_played_and_recalled(
    generate: Generate, tiny_model: Path, tmp_path: Path
) -> None:
    track = control(0, 10, 10) + control(0, 1, 127) + bend(0, 4096) + on(0, 60) + off(480, 60)
    (tmp_path / "song.mid").write_bytes(smf(track))
    words = ["--model", tiny_model, "--midi", "song.mid", "--seed", 1]
    out = generate(*words, "-o", "plain.wav")
    assert "1 pan change left out, 1 modulation change left out" in out
    out = generate(*words, "--stereo", "--modulation", "vibrato", "-o", "clip.wav", "--plot")
    assert "left out" not in out
    assert soundfile.info("clip.wav").channels == 2
    generate("--recall", "clip.json", "--midi", "song.mid", "-o", "again.wav")
    assert Path("again.wav").read_bytes() == Path("clip.wav").read_bytes()
    err = generate("--model", tiny_model, "--stereo", code=2)
    assert "--stereo: can't be used here, it goes with --midi FILE; leave it out." in err


def test_one_warning_says_what_was_repaired(
    run_cli: RunCli, toy_model: Path, tmp_path: Path
) -> None:
    song = tmp_path / "song.mid"
    song.write_bytes(smf(on(0, 60, 200) + control(0, 7, 255) + off(480, 60), count=3))
    for command, words in (
        (None, ["generate", "--model", toy_model, "--midi", song, "-o", tmp_path / "a.wav"]),
        (gansynth_generate, ["--ckpt_dir", toy_model, "-midi_file", song, "-output_dir", tmp_path]),
    ):
        result = run_cli(*words, command=command)
        assert result.code == 0
        assert result.err.count("warning: ") == 1
        assert (
            f"={str(song)!r}: damaged, and repaired: 1 track in place of the header's 3; "
            "2 events with a data byte over 127 clamped or left out.\n"
        ) in result.err
    with pytest.warns(UserWarning, match="damaged, and repaired: 1 track in place of"):
        perform(song, load(toy_model))


def instrument_files(generate: Generate, *more: object) -> list[str]:
    for seed in (1, 2):
        generate("--pitch", 60, "--seed", seed, "-o", f"{seed}.wav", *more)
    return ["1.json", "2.json"]


def test_instruments_stand_at_their_times(generate: Generate, make_midi: MakeMidi) -> None:
    first, second = instrument_files(generate)
    song = make_midi([(60, start, start + 1) for start in range(8)])
    words = ["--midi", song, "--instruments", f"{first},{second},{first}"]
    out = generate(*words, "--times", "0,2,6.5", "--tempo", 0.8, "-o", "clip.wav")
    assert "8 notes over 10.0 s, 3 instruments" in out
    side = sidecar(Path("clip.wav"))
    assert (side["times"], side["options"]["tempo"]) == ([0.0, 2.0, 6.5], 0.8)
    one, two = (sidecar(Path(name))["latents"][0] for name in (first, second))
    assert side["latents"] == [one, two, one]
    generate("--recall", "clip.json", "--midi", song, "-o", "again.wav")
    assert Path("again.wav").read_bytes() == Path("clip.wav").read_bytes()
    for times, why in (
        ("0,5", "must be 3, one for each instrument."),
        ("0,5,5", "must be 0 or more seconds, and rising."),
        ("0,5,8.5", "the piece ends at 8.00 s; none may be later."),
    ):
        assert why in generate(*words, "--times", times, "-o", "none.wav", code=2)
    assert "must be seconds or bars with commas" in generate(*words, "--times", "a", code=2)
    assert "--times: can't be used here" in generate("--midi", song, "--times", "0,1", code=2)
    Path("other.json").write_text(Path(second).read_text().replace('"sha256": "', '"sha256": "0'))
    err = generate("--midi", song, "--instruments", f"{first},other.json", code=2)
    assert "instruments='other.json': is of another model than '1.json'; use one model." in err


def test_tracks_have_instruments_in_time_and_bars(generate: Generate, make_midi: MakeMidi) -> None:
    first, second = instrument_files(generate)
    song = make_midi([(60, start, start + 1) for start in range(8)])
    words = ["--midi", song, "--instruments", f"{first},{second}"]
    generate(*words, "--times", "0,bar3", "-o", "bars.wav")
    side = sidecar(Path("bars.wav"))
    assert side["options"]["times"] == [0.0, "bar3"]
    assert side["times"] == [0.0, 4.0]
    generate(*words, "--per-track", "--times", "0,bar3;", "-o", "none.wav", code=2)
    assert "per-track needs one list for each track" in generate(
        *words, "--per-track", "--times", "0,bar3", "-o", "none.wav", code=2
    )
    assert "times: 2 lists for 1 tracks" in generate(
        *words, "--per-track", "--times", "0;bar3", "-o", "none.wav", code=2
    )


# --- words that help ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("song.mid", "--midi"),
        ("Song.KAR", "--midi"),
        ("notes/generated_0.json", "--recall"),
        ("acoustic_only.zip", "--model"),
        ("m.safetensors", "--model"),
        ("out.wav", "-o"),
    ],
)
def test_a_word_without_its_option_is_told_which(
    generate: Generate, word: str, option: str
) -> None:
    err = generate(word, code=2)
    assert err == f"error: argument={word!r}: needs its option: `generate {option} {word}`.\n"


def test_any_other_word_points_to_the_help(generate: Generate) -> None:
    err = generate("loud", code=2)
    assert err == "error: argument='loud': belongs to no option; see `gansynth generate --help`.\n"


def test_pitches_out_of_range_are_named_before_torch_is_loaded(toy_model: Path) -> None:
    code = (
        "import sys\nfrom gansynth.cli.generate import generate\n"
        "try:\n    generate.main(sys.argv[1:], standalone_mode=False)\n"
        "except Exception as error:\n    print(error)\n"
        "print('torch' in sys.modules)"
    )
    for model in ([], ["--model", str(toy_model)]):
        words = [*model, "--pitches", "20,60,95-101", "-o", "none"]
        result = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
        )
        assert result.stdout == (
            "pitch=20 (G#0), 95 (B6), 96 (C7), 97 (C#7), 98 (D7) and 3 more: "
            "the model knows 24-84 (C1 to C6).\nFalse\n"
        )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("note.wav", b"RIFF0000WAVE", "it is a sound; give the .json beside a sound it made."),
        ("a.bin", bytes(range(256)), "it isn't JSON; give the .json beside a sound it made."),
        ("b.json", b'{"other": 1}', "it has no 'latents'; give the .json beside a sound it made."),
        ("c.json", b"[]", "its kind, latents, pitches or model aren't as they are written; give"),
    ],
)
def test_a_file_that_recalls_nothing_is_told(
    generate: Generate, name: str, content: bytes, words: str
) -> None:
    Path(name).write_bytes(content)
    err = generate("--recall", name, code=2)
    assert err.startswith(f"error: recall={name!r}: is no sidecar of gansynth generate: {words}")


def test_a_model_is_no_instrument(run_cli: RunCli, toy_model: Path, tmp_path: Path) -> None:
    export = ("export", "sfz", toy_model, "-o", tmp_path / "x")
    for words in (export, ("generate", "--recall", toy_model)):
        result = run_cli(*words)
        assert result.code == 2
        assert (
            f"is a model; an instrument of it is made by gansynth generate --model {toy_model}, "
            "which writes a .json beside each sound."
        ) in result.err


@pytest.mark.parametrize("name", ["dspreset", "sf2", ".SF2"])
def test_formats_without_a_command_say_where_they_are(run_cli: RunCli, name: str) -> None:
    result = run_cli("export", name, "x.json")
    assert result.code == 2
    assert f"format={name!r}: has no command of its own; gansynth export sfz writes" in result.err


# --- what a model can be told ---------------------------------------------------------------------


@pytest.fixture
def conditional(tmp_path: Path) -> Path:
    from frames_model import made
    from gansynth.model.file import save_model

    save_model(tmp_path / "conditional.safetensors", made())
    return tmp_path / "conditional.safetensors"


def test_family_and_velocity_shape_notes_and_are_recalled(
    run_cli: RunCli, conditional: Path, tmp_path: Path
) -> None:
    words = ["generate", "--model", conditional, "--pitch", "60", "--seed", "1"]
    for name, more in (("any", ()), ("brass", ("--family", "brass")), ("soft", ("--velocity", 40))):
        assert run_cli(*words, *more, "-o", tmp_path / name).code == 0
    sounds = {n: (tmp_path / n / "generated_0.wav").read_bytes() for n in ("any", "brass", "soft")}
    assert len(set(sounds.values())) == 3
    for name in ("brass", "soft"):
        sidecar = tmp_path / name / "generated_0.json"
        assert run_cli("generate", "--recall", sidecar, "-o", tmp_path / f"{name}-again").code == 0
        again = (tmp_path / f"{name}-again" / "generated_0.wav").read_bytes()
        assert again == sounds[name]


def test_what_a_model_cannot_be_told_is_refused(
    run_cli: RunCli, conditional: Path, toy_model: Path, tmp_path: Path
) -> None:
    def refused(*words: object) -> str:
        result = run_cli("generate", *words, "-o", tmp_path / "none")
        assert result.code == 2
        assert not (tmp_path / "none").exists()
        return str(result.err)

    assert "family='brasss': must be one of brass, organ. Did you mean brass?" in refused(
        "--model", conditional, "--pitch", "60", "--family", "brasss"
    )
    assert "family='brass': the model was trained without families" in refused(
        "--model", toy_model, "--family", "brass"
    )
    assert "velocities: the model was trained without them" in refused(
        "--model", toy_model, "--velocity", "40"
    )
    assert "--velocity: can't be used here, --midi brings notes" in refused(
        "--model", toy_model, "--midi", "x.mid", "--velocity", "40"
    )
