"""Notes held longer: pitch, level, decay and release are those of the note, and nothing clicks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gansynth.audio.pitch import estimate_pitches
from gansynth.errors import InputError
from gansynth.model.synth import Synth
from gansynth.performance.perform import perform
from gansynth.spectral.sustain import can_extend, extend

RATE, HELD = 16_000, 3.0
STEADY = slice(RATE, int(2.9 * RATE))
Wave = NDArray[np.float32]


def released(sound: NDArray[Any], rate: int = RATE, held: float = HELD) -> Wave:
    """A sound that begins within 10 ms and fades in 0.2 s once it is let go."""
    time = np.arange(len(sound)) / rate
    return (sound * np.minimum(1, time / 0.01) * np.clip(1 - (time - held) / 0.2, 0, 1)).astype(
        np.float32
    )


def tone(
    pitch: float, vibrato: float = 0.0, tremolo: float = 0.0, rate: int = RATE, seconds: float = 4.0
) -> NDArray[np.float64]:
    """Partials up to 6 kHz; vibrato in cents, tremolo in dB, both to either side."""
    time = np.arange(int(seconds * rate)) / rate
    bent = 440 * 2 ** ((pitch - 69 + vibrato / 100 * np.sin(2 * np.pi * 5.3 * time)) / 12)
    phase = 2 * np.pi * np.cumsum(bent) / rate
    partials = range(1, 1 + min(30, int(min(6000, 0.4 * rate) / bent.max())))
    sound = sum(np.sin(n * phase + n * n) / n for n in partials)
    return 0.2 * sound * 10 ** (tremolo / 20 * np.sin(2 * np.pi * 4.1 * time))


def noise() -> NDArray[np.float64]:
    return 0.1 * np.random.default_rng(1).standard_normal(4 * RATE)


SOUNDS: dict[str, Callable[[], NDArray[np.float64]]] = {
    "sine": lambda: 0.3 * np.sin(2 * np.pi * 333.3 * np.arange(4 * RATE) / RATE),
    "lowest pitch": lambda: tone(24),
    "highest pitch": lambda: tone(84),
    "vibrato": lambda: tone(57.3, vibrato=30),
    "vibrato and tremolo": lambda: tone(69, vibrato=20, tremolo=2),
    "chorus": lambda: tone(60) + tone(60.2),
    "breath": lambda: tone(64) + 0.1 * noise(),
    "noise": noise,
}
PITCHED = [name for name in SOUNDS if name != "noise"]


def decibels(wave: NDArray[Any], seconds: float = 0.25) -> NDArray[np.float64]:
    size = int(seconds * RATE)
    windows = wave[: len(wave) // size * size].reshape(-1, size).astype(np.float64)
    return 10 * np.log10(np.square(windows).mean(axis=1) + 1e-20)


def held_longer(sound: NDArray[Any], seconds: float = 13.0) -> tuple[Wave, Wave]:
    """The steady part of a sound held for 3 s, and what is heard of it later."""
    wave = released(sound)
    longer = extend(wave, RATE, HELD, seconds)
    return wave[STEADY], longer[int(2.9 * RATE) : int((seconds - 0.1) * RATE)]


# --- what stays ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PITCHED)
def test_ten_seconds_more_have_the_same_pitch_within_5_cents(name: str) -> None:
    def each_second(wave: Wave) -> NDArray[np.float64]:
        windows = np.lib.stride_tricks.sliding_window_view(wave, RATE // 5)[:: RATE // 10]
        pitches = estimate_pitches(windows, RATE)[0]
        return pitches[: len(pitches) // 8 * 8].reshape(-1, 8).mean(axis=1)

    steady, later = held_longer(SOUNDS[name]())
    np.testing.assert_allclose(each_second(later), each_second(steady).mean(), atol=0.05)


@pytest.mark.parametrize("name", SOUNDS)
def test_ten_seconds_more_have_the_same_level_within_1_decibel(name: str) -> None:
    steady, later = held_longer(SOUNDS[name]())
    assert decibels(later).max() < decibels(steady).max() + 1
    assert decibels(later).min() > decibels(steady).min() - 1
    assert decibels(later, 10.0) == pytest.approx(decibels(steady, 1.9), abs=1)


@pytest.mark.parametrize("name", [name for name in PITCHED if name != "breath"])
def test_nothing_clicks(name: str) -> None:
    _, later = held_longer(SOUNDS[name]())
    window = np.blackman(1024) ** 2
    frames = np.lib.stride_tricks.sliding_window_view(later, 1024)[::256] * window
    spectra = np.abs(np.fft.rfft(frames))
    above = spectra[:, np.fft.rfftfreq(1024, 1 / RATE) > 6800]  # where the sounds have nothing
    assert above.max() < 1e-6 * spectra.max()


def test_vibrato_stays_as_wide_and_as_fast() -> None:
    _, later = held_longer(tone(69, vibrato=30))
    away = np.fft.fftfreq(len(later), 1 / RATE) - 440
    fundamental = np.fft.ifft(np.fft.fft(later) * np.exp(-((away / 50) ** 4)))
    frequency = np.diff(np.unwrap(np.angle(fundamental)))[RATE:-RATE] * RATE / (2 * np.pi)
    cents = 1200 * np.log2(frequency / 440)
    assert np.sqrt(2) * cents.std() == pytest.approx(30, abs=1.5)
    strength = np.abs(np.fft.rfft(cents * np.hanning(len(cents))))
    assert strength.argmax() * RATE / len(cents) == pytest.approx(5.3, abs=0.2)


@settings(deadline=None, max_examples=15)
@given(seconds=st.floats(3.001, 20), pitch=st.floats(24, 84))
def test_attack_length_and_release_are_kept_for_any_hold(seconds: float, pitch: float) -> None:
    wave = released(tone(pitch))
    longer = extend(wave, RATE, HELD, seconds)
    more = round((seconds - HELD) * RATE)
    assert longer.dtype == np.float32
    assert longer.shape == (len(wave) + more,)
    np.testing.assert_array_equal(longer[: 2 * RATE - 2048], wave[: 2 * RATE - 2048])
    moved, end = (
        np.maximum(decibels(w[int(2.8 * RATE) :], 0.1), -40) for w in (longer[more:], wave)
    )
    np.testing.assert_allclose(moved, end, atol=1)
    np.testing.assert_array_equal(longer, extend(wave, RATE, HELD, seconds))


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1.0, 3.0])
def test_a_hold_that_is_no_longer_changes_nothing(seconds: float) -> None:
    wave = released(tone(60))
    np.testing.assert_array_equal(extend(wave, RATE, HELD, seconds), wave)


def test_level_makes_no_difference() -> None:
    wave = released(tone(62, vibrato=10))
    for factor in (2.0**-12, 2.0**6):
        scaled = extend(wave * np.float32(factor), RATE, HELD, 6.0)
        np.testing.assert_allclose(scaled / factor, extend(wave, RATE, HELD, 6.0), atol=1e-5)


def test_silence_stays_silence() -> None:
    assert not extend(np.zeros(4 * RATE), RATE, HELD, 9.0).any()


# --- what goes on changing ----------------------------------------------------------------------


def test_each_partial_goes_on_decaying_at_its_own_rate() -> None:
    time = np.arange(4 * RATE) / RATE
    partials = {300.0: -4.0, 900.0: -9.0, 2000.0: -15.0}  # Hz, dB/s
    sound = np.zeros(4 * RATE)
    for frequency, fall in partials.items():
        sound += 10 ** (fall * time / 20) * np.sin(2 * np.pi * frequency * time)
    _, later = held_longer(sound, 6.0)
    frames = later[: len(later) // 1600 * 1600].reshape(-1, 1600) * np.hanning(1600)
    spectra = 20 * np.log10(np.abs(np.fft.rfft(frames)))
    at = np.arange(len(frames)) / 10
    for frequency, fall in partials.items():
        level = spectra[:, round(frequency / 10)]
        assert np.polyfit(at, level, 1)[0] == pytest.approx(fall, abs=0.3)


@pytest.mark.parametrize("fall", [-0.6, -2.0, -6.0, -20.0])
def test_a_straight_fall_goes_on(fall: float) -> None:
    sound = tone(48) * 10 ** (fall * np.arange(4 * RATE) / RATE / 20)
    _, later = held_longer(sound, 5.0)
    level = decibels(later)
    assert np.polyfit(np.arange(len(level)) / 4, level, 1)[0] == pytest.approx(fall, abs=0.3)


def test_a_swell_ends_where_it_was() -> None:
    swell = tone(60) * 10 ** (5 * np.arange(4 * RATE) / RATE / 20)
    steady, later = held_longer(swell)
    assert np.ptp(decibels(later)) < 1.5
    assert decibels(steady).max() - 2.5 < decibels(later).mean() < decibels(steady).max() + 0.5


# --- other notes --------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "held"), [(8000, 3.0), (22_050, 1.7), (48_000, 3.0)])
def test_other_rates_and_shorter_notes_are_extended_too(rate: int, held: float) -> None:
    wave = released(tone(57, rate=rate, seconds=held + 1), rate, held)
    longer = extend(wave, rate, held, held + 5)
    assert len(longer) == len(wave) + 5 * rate
    windows = longer[: int((held + 4.9) * rate)].reshape(1, -1)[:, rate:]
    pieces = windows[:, : windows.shape[1] // rate * rate].reshape(-1, rate)
    np.testing.assert_allclose(estimate_pitches(pieces, rate)[0], 57, atol=0.05)
    np.testing.assert_allclose(
        np.sqrt(np.square(pieces).mean(axis=1)),
        np.sqrt(np.square(wave[rate // 2 : rate]).mean()),
        rtol=0.1,
    )


def test_an_untrained_models_note_is_held_longer(tiny_synth: Synth) -> None:
    z = tiny_synth.sample_latents(2, 0)
    short, long = tiny_synth.held(z, [60, 64], [2.0, 5.5])
    first, second = tiny_synth.notes(z, [60, 64])
    np.testing.assert_array_equal(short, first)
    np.testing.assert_array_equal(long, extend(second, RATE, HELD, 5.5))
    assert np.isfinite(long).all()
    assert len(list(tiny_synth.held(z[0], [60, 61], 4.0))) == 2
    with pytest.raises(InputError, match=r"^seconds: 3 for 2 pitches: give one for each\.$"):
        tiny_synth.held(z, [60, 64], [1.0, 2.0, 3.0])


NOTE = released(tone(60))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NOTE[None], RATE, 3.0, 5.0), "wave of shape [1, 64000]: must be one note [samples]."),
        ((NOTE * np.nan, RATE, 3.0, 5.0), "wave: holds NaN or infinite values"),
        ((NOTE, 0, 3.0, 5.0), "sample_rate=0: must be a positive number of Hz."),
        ((NOTE, RATE, 3.0, np.inf), "seconds=inf: must be a number of seconds."),
        ((NOTE, RATE, 4.5, 5.0), "held=4.5: must be within the wave, which lasts 4 s."),
        ((NOTE, RATE, -1.0, 5.0), "held=-1.0: must be within the wave, which lasts 4 s."),
        ((NOTE, RATE, np.nan, 5.0), "held=nan: must be within the wave, which lasts 4 s."),
        ((NOTE, RATE, 1.3, 5.0), "held=1.3: has no steady part long enough to extend"),
    ],
)
def test_what_can_not_be_extended_is_told(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        extend(*arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("rate", [1000, 8000, 16_000, 44_100, 48_000])
def test_one_and_a_half_seconds_are_enough_to_go_on_with(rate: int) -> None:
    assert can_extend(1.5, rate)
    assert not can_extend(1.3, rate)
    wave = released(tone(40, rate=rate, seconds=2), rate, 1.5)
    for seconds in np.linspace(1.5 + 1 / rate, 3.0, 23):
        assert len(extend(wave, rate, 1.5, seconds)) == 2 * rate + round((seconds - 1.5) * rate)


# --- in a performance ---------------------------------------------------------------------------


def test_the_command_line_extends_or_cuts_and_recalls_which(
    run_cli: Callable[..., Any], make_midi: Callable[..., Path], tiny_model: Path,
    tiny_synth: Synth, tmp_path: Path,
) -> None:  # fmt: skip
    from gansynth.cli.magenta import gansynth_generate

    song = make_midi([(60, 0.0, 4.5)])
    extended, cut = (perform(song, tiny_synth, seed=1, sustain=s) for s in ("extend", "cut"))
    assert np.abs(extended[4 * RATE : int(4.4 * RATE)]).max() > 0.01
    assert not cut[int(3.3 * RATE) :].any()

    def made(name: str, *options: object) -> NDArray[np.float32]:
        result = run_cli("generate", "--midi", song, "-o", tmp_path / f"{name}.wav", *options)
        assert result.code == 0, result.err
        return soundfile.read(tmp_path / f"{name}.wav", dtype="float32")[0]

    model = ("--model", tiny_model, "--seed", 1)
    np.testing.assert_array_equal(made("default", *model), extended)
    np.testing.assert_array_equal(made("cut", *model, "--sustain", "cut"), cut)
    assert json.loads((tmp_path / "cut.json").read_text())["options"]["sustain"] == "cut"
    np.testing.assert_array_equal(made("again", "--recall", tmp_path / "cut.json"), cut)
    recall = ("--recall", tmp_path / "cut.json", "--sustain", "extend")
    np.testing.assert_array_equal(made("other", *recall), extended)

    flags = {"ckpt_dir": tiny_model, "output_dir": tmp_path / "o", "midi_file": song, "seed": 1}
    result = run_cli(*(f"--{k}={v}" for k, v in flags.items()), command=gansynth_generate)
    assert result.code == 0, result.err
    clip = tmp_path / "o" / "generated_clip"
    np.testing.assert_array_equal(soundfile.read(f"{clip}.wav", dtype="float32")[0], cut)
    np.testing.assert_array_equal(made("theirs", "--recall", f"{clip}.json"), cut)


def test_sustain_goes_with_midi(run_cli: Callable[..., Any], toy_model: Path) -> None:
    result = run_cli("generate", "--model", toy_model, "--sustain", "cut")
    assert result.code == 2
    assert "--sustain: can't be used here, it goes with --midi FILE; leave it out." in result.err


def test_the_tables_in_the_docs_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench import sustain
    from gansynth.data.store import NoteRecord
    from gansynth.data.writer import NotesWriter

    with NotesWriter(tmp_path / "notes", sample_rate=RATE, samples=4 * RATE) as writer:
        for name, fall in (("Church Organ", 0.0), ("Yamaha Grand", -8.0)):
            sound = tone(60) * 10 ** (fall * np.arange(4 * RATE) / RATE / 20)
            record = NoteRecord(
                pitch=60, velocity=100, instrument=name, family="keyboard", source="acoustic",
                group=name, split="test", origin=name,
            )  # fmt: skip
            writer.add(record, np.round(released(sound) * 32767).astype(np.int16))
        writer.publish({"kind": "synthetic"})
    for options in ([], ["--through"]):
        monkeypatch.setattr("sys.argv", ["bench.sustain", str(tmp_path / "notes"), *options])
        sustain.main()
        lines = capsys.readouterr().out.splitlines()
        rows = [line.split(" | ") for line in lines if line.startswith("| keyboard")]
        assert rows[0][1:6] == ["1", "100 %", "100 %", "100 %", "100 %"]
        assert [float(number) for number in rows[1][2:4]] == pytest.approx([-8, -8], abs=0.5)
