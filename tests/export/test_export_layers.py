"""Velocity layers: what each format says of them, and how independent players play them."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from test_export_sfz import regions

import gansynth
from conftest import RunCli
from export_sounds import RATE, TonesSynth, instrument
from gansynth.data.soundfont.engines import find_engine
from gansynth.data.soundfont.structure import read_soundfont
from gansynth.errors import InputError
from gansynth.export.folder import Exported, export_instrument
from gansynth.export.samples import SAMPLE_PEAK, choose_velocities, make_samples, sample_name
from gansynth.export.sfz import VOLUME

LEARNED = (32, 64, 100, 127)
PLAYED = 44_100  # Hz
Play = Callable[[int, int], np.ndarray]  # key, velocity: a second of it, at PLAYED


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """An octave of tones, two of its keys sampled, in four layers."""
    synth = TonesSynth(range(60, 73), velocities=LEARNED)
    return export_instrument(synth, instrument(), tmp_path_factory.mktemp("layers"), every=6)


# ------------------------------------------------------------------------- choosing velocities


def test_the_layers_are_those_that_the_model_learned() -> None:
    assert choose_velocities(TonesSynth(velocities=LEARNED)) == list(LEARNED)
    assert choose_velocities(TonesSynth()) == [None]
    assert choose_velocities(TonesSynth(velocities=tuple(range(1, 128)))) == [1, 33, 64, 95, 127]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([10, 64], r"^velocities=10,64: the model learned 32 to 127, .*; stay in that range\.$"),
        ([64, 64], r"^velocities=64,64: must be increasing whole numbers, as in 32,64,100,127\.$"),
        ([], r"^velocities=: must be 1 to 8 velocities\.$"),
        (list(range(40, 49)), "must be 1 to 8 velocities"),
    ],
)
def test_velocities_have_rules(given: list[int], words: str, tmp_path: Path) -> None:
    synth = TonesSynth(velocities=LEARNED)
    with pytest.raises(InputError, match=words):
        export_instrument(synth, instrument(), tmp_path / "new", velocities=given)
    assert not (tmp_path / "new").exists()


def test_a_model_without_velocities_has_no_layers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^velocities=100: the model was trained without"):
        export_instrument(TonesSynth(), instrument(), tmp_path, velocities=[100])


def test_the_command_says_what_is_no_velocity(
    run_cli: RunCli, toy_model: Path, tmp_path: Path
) -> None:
    command = ("export", "sfz", "organ.json", "-o", tmp_path, "--model", toy_model)
    result = run_cli(*command, "--velocities", "soft,hard")
    assert result.code == 2
    assert result.err == (
        "error: velocities='soft,hard': must be whole numbers with commas, as in 32,64,100,127.\n"
    )


# --------------------------------------------------------------------------------- the layers


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(32, 127), min_size=1, max_size=8).map(sorted))
def test_every_velocity_plays_one_layer(velocities: list[int]) -> None:
    synth = TonesSynth([60], lambda pitch: np.ones(8000, np.float32), velocities=LEARNED)
    layers = [s.layer for s in make_samples(synth, np.zeros(3, np.float32), velocities=velocities)]
    played = [v for layer in layers for v in range(layer.low, layer.high + 1)]
    assert played == list(range(1, 128))
    if len(layers) > 1:
        assert [layer.velocity for layer in layers] == velocities
        assert all(layer.low <= layer.velocity <= layer.high for layer in layers)


def test_layers_keep_the_levels_of_the_model_and_meet(exported: Exported) -> None:
    lowest = exported.samples[:4]
    pitch = lowest[0].pitch
    powers = [float(np.square(sample.wave[:RATE]).mean()) for sample in lowest]
    notes = TonesSynth(velocities=LEARNED).stream(np.zeros(3), [pitch] * 4, list(LEARNED))
    own = [np.square(wave[:RATE]).mean() for wave in notes]
    np.testing.assert_allclose(np.divide(powers, powers[0]), np.divide(own, own[0]), rtol=1e-3)
    assert max(float(np.abs(s.wave).max()) for s in exported.samples) == pytest.approx(SAMPLE_PEAK)
    for (soft, quiet), (hard, loud) in pairwise(zip(lowest, powers, strict=True)):
        below = quiet * soft.layer.gain(soft.layer.high) ** 2
        above = loud * hard.layer.gain(hard.layer.low) ** 2
        assert abs(10 * np.log10(above / below)) < 0.5


def test_one_layer_is_what_a_model_without_velocities_gives(tmp_path: Path) -> None:
    hard = TonesSynth([60], velocities=LEARNED)
    done = export_instrument(hard, instrument(), tmp_path, velocities=[100])
    [region] = regions(tmp_path / "glass-organ.sfz")
    assert region["sample"] == "glass-organ-060-C4.flac"
    assert (region["lovel"], region["hivel"]) == ("1", "127")
    assert float(region["amp_velcurve_1"]) == pytest.approx(1 / 127, abs=1e-6)
    assert float(np.abs(done.samples[0].wave).max()) == pytest.approx(SAMPLE_PEAK)


def test_the_report_names_the_layers(exported: Exported) -> None:
    assert "8 samples, keys 60-72, velocities 32, 64, 100, 127, " in exported.lines()[0]


class BentSynth(TonesSynth):
    """Tones whose level stands still from 32 to 41, then rises steeply, then slowly."""

    def stream(self, latent: Any, pitches: Any, velocities: Any = None) -> Iterator[np.ndarray]:
        for pitch, velocity in zip(pitches, velocities, strict=True):
            level = np.interp(velocity, [32, 41, 64, 90, 127], [-15, -15, -6, 0, 2.5])
            yield np.float32(10 ** (level / 20) / 2) * self.play(pitch)


def test_between_layers_the_level_is_the_models() -> None:
    synth = BentSynth([60, 72], velocities=LEARNED)
    layers = [one.layer for one in make_samples(synth, np.zeros(3, np.float32))][:4]
    # Each plays what is nearer to its own level than to its neighbour's.
    assert [layer.high for layer in layers] == [52, 78, 113, 127]
    for layer in layers:
        for velocity in range(max(layer.low, 32), layer.high + 1):
            notes = synth.stream(None, [60, 60], [velocity, layer.velocity])
            own, sampled = (level(note) for note in notes)
            assert 20 * np.log10(layer.gain(velocity)) == pytest.approx(own - sampled, abs=0.7)


# -------------------------------------------------------------------------------- the formats


def test_sfz_layers_have_their_velocities_and_only_the_rest_of_the_level(
    exported: Exported,
) -> None:
    by_file = {region["sample"]: region for region in regions(exported.folder / "glass-organ.sfz")}
    assert len(by_file) == 8
    for sample in exported.samples:
        layer = sample.layer
        region = by_file[sample_name("glass-organ", sample.pitch, ".flac", layer.velocity)]
        assert (int(region["lovel"]), int(region["hivel"])) == (layer.low, layer.high)
        curve = float(region[f"amp_velcurve_{layer.velocity}"])
        level = float(region["volume"]) - VOLUME + 20 * np.log10(curve)
        assert level == pytest.approx(0, abs=0.01)  # a note at its own velocity is as it is
        assert (region["bend_up"], region["bend_down"]) == ("200", "-200")
        assert (region["ampeg_attack"], region["ampeg_release"]) == ("0.01", "0.3")


def test_decent_sampler_groups_give_each_layer_its_level(exported: Exported) -> None:
    root = ElementTree.parse(exported.folder / "glass-organ.dspreset").getroot()
    groups = root.findall("groups/group")
    for group, sample in zip(groups, exported.samples[:4], strict=True):
        layer, track = sample.layer, float(group.get("ampVelTrack", ""))
        volume = float(group.get("volume", "").removesuffix("dB"))
        gain = 20 * np.log10(1 - track + track * layer.velocity / 127)
        assert gain + volume == pytest.approx(0, abs=0.01)
        ranges = {(s.get("loVel"), s.get("hiVel")) for s in group}
        assert ranges == {(str(layer.low), str(layer.high))}


def test_the_multisample_holds_its_sound_and_a_map_of_it(exported: Exported) -> None:
    with zipfile.ZipFile(exported.folder / "glass-organ.multisample") as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        root = ElementTree.fromstring(archive.read("multisample.xml"))
        assert (root.tag, root.get("name")) == ("multisample", "Glass Organ")
        tags = [element.tag for element in root]
        assert tags == ["generator", "category", "creator", *["group"] * 4, *["sample"] * 8]
        zones = root.findall("sample")
        for zone in zones:
            wave, rate = soundfile.read(io.BytesIO(archive.read(str(zone.get("file")))))
            assert rate == RATE
            assert len(wave) == int(zone.get("sample-stop", ""))
            key, velocity, loop = (zone.find(name) for name in ("key", "velocity", "loop"))
            [sample] = [
                s
                for s in exported.samples
                if str(s.pitch) == key.get("root") and str(s.layer.low) == velocity.get("low")
            ]
            np.testing.assert_allclose(wave, sample.wave, atol=1 / 32000)
            keys = [int(key.get(name, "")) for name in ("low", "high")]
            assert keys == [sample.low_key, sample.high_key]
            assert velocity.get("high") == str(sample.layer.high)
            assert (loop.get("mode"), loop.get("start")) == ("loop", str(sample.loop.start))
            assert loop.get("stop") == str(sample.loop.end)


def test_the_same_instrument_gives_the_same_files(exported: Exported, tmp_path: Path) -> None:
    export_instrument(
        TonesSynth(range(60, 73), velocities=LEARNED), instrument(), tmp_path, every=6
    )
    for place in exported.folder.iterdir():
        assert (tmp_path / place.name).read_bytes() == place.read_bytes()


# ------------------------------------------------------------------------ independent players


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instrument of the shipped model that is held, every twelfth key in its layers."""
    synth = gansynth.load(None, "cpu")
    folder = tmp_path_factory.mktemp("organ")
    latent = synth.sample_latents(1, seed=1)[0]
    gansynth.export_sfz(synth, latent, folder, every=12)
    return folder


def sfizz(folder: Path) -> Iterator[Play]:
    pysfizz = pytest.importorskip("pysfizz", reason="sfizz, which plays SFZ, isn't installed")

    synth = pysfizz.Synth(PLAYED, 1024)
    assert synth.load_sfz_file(folder / "instrument.sfz")

    def play(key: int, velocity: int) -> np.ndarray:
        for _ in range(100):  # files are read in the background; until then a note stops early
            wave: np.ndarray = synth.render_note(key, velocity, 1.0, 1.0).mean(axis=0)
            synth._synth.all_sound_off()
            if wave[-1000:].any():
                return wave
            time.sleep(0.05)
        raise AssertionError("sfizz never reads the file")

    yield play


def soundfont_engine(name: str) -> Callable[[Path], Iterator[Play]]:
    def players(folder: Path) -> Iterator[Play]:
        try:
            engine = find_engine(name)
        except InputError as error:
            pytest.skip(str(error))
        font = folder / "instrument.sf2"
        [preset] = read_soundfont(font).presets
        player = engine.open(font, preset.bank, preset.program, PLAYED)
        yield lambda key, velocity: player.render(key, velocity, PLAYED, PLAYED)
        player.close()

    return players


PLAYERS = {
    "sfizz": sfizz,
    "FluidSynth": soundfont_engine("fluidsynth"),
    "TinySoundFont": soundfont_engine("tinysoundfont"),
}


def level(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.square(wave, dtype=np.float64).mean()))


def centroid(wave: np.ndarray, rate: int) -> float:
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    return float((power * np.fft.rfftfreq(len(wave), 1 / rate)).sum() / power.sum())


@pytest.mark.parametrize("player", PLAYERS)
def test_soft_and_hard_keys_sound_as_the_model_plays_them(player: str, organ: Path) -> None:
    """One gain for the whole instrument apart: within 1 dB and 5 % of the spectral centroid."""
    synth = gansynth.load(None, "cpu")
    latent = synth.sample_latents(1, seed=1)[0]
    gains = []
    for play in PLAYERS[player](organ):
        for key in (42, 54, 66, 78):
            notes = synth.notes(latent, [key] * len(LEARNED), LEARNED)[:, : synth.sample_rate]
            for velocity, note in zip(LEARNED, notes, strict=True):
                own = soxr.resample(note, synth.sample_rate, PLAYED)
                heard = play(key, velocity)
                gains.append(level(heard) - level(own))
                assert centroid(heard, PLAYED) == pytest.approx(centroid(own, PLAYED), rel=0.05)
    assert np.ptp(gains) < 2  # so that all lie within 1 dB of one gain
    assert np.abs(np.array(gains) - np.mean(gains)).max() < 1


@pytest.mark.parametrize("player", ["sfizz", "FluidSynth"])
def test_between_layers_players_follow_the_model(player: str, tmp_path: Path) -> None:
    """TinySoundFont can't: it reads no modulators."""
    synth = BentSynth(range(60, 73), velocities=LEARNED)
    export_instrument(synth, instrument("Instrument"), tmp_path, every=6)
    struck = [32, 36, 44, 49, 52, 53, 60, 64, 75, 90, 100, 113, 114, 127]
    for play in PLAYERS[player](tmp_path):
        heard = [level(play(63, velocity)) for velocity in struck]
    own = [level(note[:RATE]) for note in synth.stream(None, [63] * len(struck), struck)]
    gains = np.subtract(heard, own)
    assert np.abs(gains - gains.mean()).max() < 1
