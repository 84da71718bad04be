"""Instruments for samplers: the folder, its presets, and how independent players play them."""

from __future__ import annotations

import math
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from export_sounds import RATE, SAMPLES, TonesSynth, instrument, joint_stands_out, tone
from gansynth.audio.pitch import estimate_pitch
from gansynth.data.soundfont.engines import Player, find_engine
from gansynth.data.soundfont.structure import read_soundfont
from gansynth.errors import InputError, OutputError
from gansynth.export.folder import Exported, export_instrument, safe_stem
from gansynth.export.samples import SAMPLE_PEAK, key_ranges, make_samples
from gansynth.export.sfz import VOLUME
from gansynth.performance.instrument import read_instruments

PLAYED = 44_100  # Hz


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Two octaves of tones, every third key sampled."""
    folder = tmp_path_factory.mktemp("export") / "a" / "b"
    return export_instrument(TonesSynth(), instrument(), folder, every=3)


def regions(sfz: Path) -> list[dict[str, str]]:
    """The regions of an SFZ file with its global opcodes, by the format's own rules."""
    text = re.sub(r"//.*", "", sfz.read_text())
    headers = re.findall(r"<(\w+)>([^<]*)", text)
    shared: dict[str, str] = {}
    found = []
    for header, body in headers:
        opcodes = dict(re.findall(r"(\w+)=(\S+)", body))
        if header == "region":
            found.append({**shared, **opcodes})
        else:
            shared |= opcodes
    return found


# -------------------------------------------------------------------------- keys and names


@given(
    st.sets(st.integers(0, 127), min_size=1).map(sorted),
    st.integers(1, 24),
)
def test_key_ranges_meet_and_cover_all_keys(pitches: list[int], every: int) -> None:
    ranges = key_ranges(pitches, every)
    keys = [key for _, low, high in ranges for key in range(low, high + 1)]
    assert keys == list(range(pitches[0], pitches[-1] + 1))
    assert all(low <= pitch <= high and pitch in pitches for pitch, low, high in ranges)


@given(st.integers(1, 61), st.integers(1, 24))
def test_no_key_is_moved_further_than_needed(count: int, every: int) -> None:
    for pitch, low, high in key_ranges(range(24, 24 + count), every):
        assert max(pitch - low, high - pitch) <= every // 2


@pytest.mark.parametrize("every", [0, 25])
def test_every_has_a_range(every: int) -> None:
    with pytest.raises(InputError, match=rf"^every={every}: must be 1 to 24"):
        key_ranges(range(24, 85), every)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Glass Órgan", "glass-organ"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\x $y #z", "c-x-y-z"),
        ("CON", "con-1"),
        ("com1", "com1-1"),
        ("日本", "instrument-1"),
    ],
)
def test_file_names_are_safe(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


@given(st.text(max_size=100))
def test_any_name_becomes_a_plain_one(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", safe_stem(name))


# ------------------------------------------------------------------------------ the folder


def test_the_folder_holds_presets_the_instrument_and_a_sample_for_every_region(
    exported: Exported,
) -> None:
    played = regions(exported.folder / "glass-organ.sfz")
    files = {region["sample"] for region in played}
    presets = {f"glass-organ.{kind}" for kind in ("sfz", "dspreset", "sf2", "multisample", "json")}
    assert {place.name for place in exported.folder.iterdir()} == files | presets
    assert len(played) == len(files) == 9  # 49, 52 … 70, 72
    [again] = read_instruments(exported.folder / "glass-organ.json")
    assert again.name == "Glass Organ"
    assert exported.bytes == sum(place.stat().st_size for place in exported.folder.iterdir())


def test_sfz_regions_say_what_the_samples_are(exported: Exported) -> None:
    for region, sample in zip(
        regions(exported.folder / "glass-organ.sfz"), exported.samples, strict=True
    ):
        info = soundfile.info(exported.folder / region["sample"])
        assert (info.samplerate, info.format) == (RATE, "FLAC")
        assert f"-{sample.pitch:03d}-" in region["sample"]
        keys = [int(region[name]) for name in ("lokey", "pitch_keycenter", "hikey")]
        assert keys == [sample.low_key, sample.pitch, sample.high_key]
        assert region["loop_mode"] == "loop_continuous"
        assert 0 < int(region["loop_start"]) < int(region["loop_end"]) < info.frames
        assert float(region["volume"]) == VOLUME
        assert float(region["amp_velcurve_1"]) == pytest.approx(1 / 127, abs=1e-6)
        assert float(region["ampeg_release"]) == 0.3


def test_the_decent_sampler_preset_says_the_same_as_the_sfz(exported: Exported) -> None:
    root = ElementTree.parse(exported.folder / "glass-organ.dspreset").getroot()
    assert root.tag == "DecentSampler"
    names = {
        "path": "sample",
        "rootNote": "pitch_keycenter",
        "loNote": "lokey",
        "hiNote": "hikey",
        "loVel": "lovel",
        "hiVel": "hivel",
        "loopStart": "loop_start",
        "loopEnd": "loop_end",
    }
    elements = root.findall("groups/group/sample")
    for element, region in zip(elements, regions(exported.folder / "glass-organ.sfz"), strict=True):
        assert {new: element.get(old) for old, new in names.items()} == {
            name: region[name] for name in names.values()
        }


def test_wav_files_hold_their_key_and_loop(tmp_path: Path) -> None:
    synth = TonesSynth([60, 61])
    export_instrument(synth, instrument(), tmp_path, extension=".wav", bits="24")
    for region in regions(tmp_path / "glass-organ.sfz"):
        data = (tmp_path / region["sample"]).read_bytes()
        assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
        at = data.index(b"smpl")
        fields = struct.unpack("<I9I6I", data[at + 4 :])
        assert fields[0] == 60
        assert fields[4] == int(region["pitch_keycenter"])
        assert fields[8] == 1
        assert fields[12:14] == (int(region["loop_start"]), int(region["loop_end"]))
        assert soundfile.info(tmp_path / region["sample"]).subtype == "PCM_24"


def test_samples_are_as_loud_as_files_allow() -> None:
    samples = make_samples(TonesSynth([60, 64]), np.zeros(3, np.float32))
    assert [float(np.abs(s.wave).max()) for s in samples] == pytest.approx(
        [SAMPLE_PEAK, SAMPLE_PEAK]
    )


def test_an_instrument_that_dies_away_plays_once(tmp_path: Path) -> None:
    synth = TonesSynth(range(60, 65), lambda pitch: tone(pitch, 8.0))
    done = export_instrument(synth, instrument(), tmp_path)
    assert done.lines()[1] == "no loops: the instrument dies away while a key is held"
    for region in regions(tmp_path / "glass-organ.sfz"):
        assert region["loop_mode"] == "no_loop"
        assert "loop_start" not in region
        assert soundfile.info(tmp_path / region["sample"]).frames == SAMPLES


def test_one_note_that_falls_does_not_take_the_loops_of_the_others() -> None:
    synth = TonesSynth(range(60, 65), lambda pitch: tone(pitch, 5.0 if pitch == 62 else 0.0))
    samples = make_samples(synth, np.zeros(3, np.float32))
    assert all(sample.loop for sample in samples)


def test_the_report_says_how_the_loops_close(exported: Exported) -> None:
    first, second = exported.lines()
    assert "9 samples, keys 48-72" in first
    assert re.match(r"9 looped, \d of them with a fade; .* at worst [+-]\d+\.\d dB", second)


# ---------------------------------------------------------------------------------- errors


def test_nothing_is_overwritten_silently(tmp_path: Path) -> None:
    synth = TonesSynth([60])
    (tmp_path / "glass-organ-060-C4.flac").write_text("mine")
    with pytest.raises(OutputError, match=r"glass-organ-060-C4.flac': exists already; use --force"):
        export_instrument(synth, instrument(), tmp_path)
    assert [place.name for place in tmp_path.iterdir()] == ["glass-organ-060-C4.flac"]
    export_instrument(synth, instrument(), tmp_path, overwrite=True)
    assert soundfile.info(tmp_path / "glass-organ-060-C4.flac").samplerate == RATE


def test_the_place_is_checked_before_any_note_is_played(tmp_path: Path) -> None:
    def play(pitch: int) -> np.ndarray:
        raise AssertionError("played")

    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        export_instrument(TonesSynth([60], play), instrument(), tmp_path / "file")
    with pytest.raises(InputError, match="sample_rate=7"):
        export_instrument(TonesSynth([60], play), instrument(), tmp_path / "x", sample_rate=7)


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gansynth.export.folder.dspreset_text", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        export_instrument(TonesSynth([60]), instrument(), tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("level", "words"), [(0.0, "silent at every pitch"), (math.nan, "gives NaN for it")]
)
def test_what_is_no_sound_is_refused(tmp_path: Path, level: float, words: str) -> None:
    synth = TonesSynth([60, 61], lambda pitch: np.full(SAMPLES, level, np.float32))
    with pytest.raises(InputError, match=words):
        export_instrument(synth, instrument(), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_instrument_of_another_model_is_refused(tmp_path: Path) -> None:
    synth = TonesSynth([60])
    synth.latent_size = 256
    with pytest.raises(InputError, match="has 3 numbers, the model's latents have 256"):
        export_instrument(synth, instrument(), tmp_path)


# --------------------------------------------------------------------- independent players


@pytest.fixture(scope="module")
def fluidsynth(exported: Exported) -> Iterator[Player]:
    yield from play_font(exported.folder / "glass-organ.sf2")


def play_font(font: Path) -> Iterator[Player]:
    """A font in FluidSynth; skips without it."""
    try:
        engine = find_engine("fluidsynth")
    except InputError as error:
        pytest.skip(str(error))
    preset = read_soundfont(font).presets[0]
    player = engine.open(font, preset.bank, preset.program, PLAYED)
    yield player
    player.close()


def held(player: Player, key: int, seconds: float, velocity: int = 100) -> np.ndarray:
    frames = round(seconds * PLAYED / 64) * 64
    return player.render(key, velocity, frames, frames)


def test_the_soundfont_covers_the_keys(exported: Exported) -> None:
    [preset] = read_soundfont(exported.folder / "glass-organ.sf2").presets
    assert preset.name == "Glass Organ"
    keys = [key for zone in preset.zones for key in range(zone.low_key, zone.high_key + 1)]
    assert keys == list(range(48, 73))


def test_fluidsynth_plays_every_key_in_tune(fluidsynth: Player) -> None:
    heard = [estimate_pitch(held(fluidsynth, key, 1.5), PLAYED).pitch for key in range(48, 73)]
    np.testing.assert_allclose(heard, range(48, 73), atol=0.05)


@pytest.mark.parametrize("key", [48, 61, 72])
def test_fluidsynth_holds_a_note_for_10_s_without_a_click(fluidsynth: Player, key: int) -> None:
    wave = held(fluidsynth, key, 10)
    assert joint_stands_out(wave, PLAYED) < 1
    levels = np.square(wave[2 * PLAYED : 9 * PLAYED]).reshape(-1, PLAYED // 4).mean(axis=1)
    assert 10 * np.log10(levels.max() / levels.min()) < 1


def test_the_soundfont_is_as_loud_as_its_velocity(fluidsynth: Player) -> None:
    loud, soft = (np.abs(held(fluidsynth, 60, 1, velocity)).max() for velocity in (120, 40))
    assert soft / loud == pytest.approx(40 / 120, rel=0.02)


def test_other_rates_keep_their_pitch(tmp_path: Path) -> None:
    export_instrument(TonesSynth([60, 67]), instrument(), tmp_path, sample_rate=44_100)
    assert soundfile.info(tmp_path / "glass-organ-067-G4.flac").samplerate == 44_100
    for player in play_font(tmp_path / "glass-organ.sf2"):
        for key in (60, 67):
            assert estimate_pitch(held(player, key, 1.5), PLAYED).pitch == pytest.approx(
                key, abs=0.05
            )


def run_headless(folder: Path, *command: str) -> None:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(folder)}
    environment |= {"XDG_DATA_HOME": str(folder / "data"), "XDG_RUNTIME_DIR": str(folder)}
    subprocess.run(command, env=environment, cwd=folder, timeout=60, check=True, text=True)


def test_polyphone_reads_the_sfz_as_we_mean_it(exported: Exported, tmp_path: Path) -> None:
    polyphone = shutil.which("polyphone")
    if polyphone is None:
        pytest.skip("Polyphone, which reads SFZ, isn't installed")
    sfz = str(exported.folder / "glass-organ.sfz")
    run_headless(tmp_path, polyphone, "-1", "-i", sfz, "-d", str(tmp_path), "-o", "read")
    for player in play_font(tmp_path / "read.sf2"):
        heard = [estimate_pitch(held(player, key, 1.5), PLAYED).pitch for key in range(48, 73, 2)]
        np.testing.assert_allclose(heard, range(48, 73, 2), atol=0.05)
        assert joint_stands_out(held(player, 61, 10), PLAYED) < 1


def test_zerberus_plays_the_sfz_in_tune_and_without_clicks(tmp_path: Path) -> None:
    """MuseScore 3 has an SFZ player of its own, which reads FLAC and loops.

    It moves keys by 256ths of a frame: samples of 16 kHz sound up to 17 cents flat in it.
    """
    musescore = shutil.which("mscore3") or shutil.which("musescore3")
    if musescore is None:
        pytest.skip("MuseScore 3, which plays SFZ, isn't installed")
    sounds = tmp_path / "Documents/MuseScore3/SoundFonts"
    export_instrument(TonesSynth(), instrument(), sounds, every=3, sample_rate=44_100)
    settings = tmp_path / "data/MuseScore/MuseScore3/synthesizer.xml"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        '<?xml version="1.0"?><Synthesizer><master><val id="0">NoEffect</val>'
        '<val id="1">NoEffect</val><val id="2">0.1</val><val id="3">440</val></master>'
        '<Zerberus><val id="0">glass-organ.sfz</val></Zerberus></Synthesizer>'
    )
    keys = [61, 49, 55, 66, 72]  # held for 10 s each
    (tmp_path / "scale.musicxml").write_text(musicxml(keys))
    run_headless(tmp_path, musescore, "-s", "-m", "scale.musicxml", "-o", "scale.mscx")
    score = (tmp_path / "scale.mscx").read_text()
    assert "<synti>Fluid</synti>" in score
    played = score.replace("<synti>Fluid</synti>", '<program value="0"/><synti>Zerberus</synti>')
    (tmp_path / "scale.mscx").write_text(played)
    run_headless(tmp_path, musescore, "-m", "scale.mscx", "-o", "scale.wav")
    sound, rate = soundfile.read(tmp_path / "scale.wav")
    for place, key in enumerate(keys):
        wave = sound[10 * place * rate : 10 * (place + 1) * rate].mean(axis=1)
        assert estimate_pitch(wave[: 2 * rate], rate).pitch == pytest.approx(key, abs=0.05)
        assert joint_stands_out(wave, rate) < 1


def musicxml(keys: list[int]) -> str:
    """Whole notes of 10 s."""
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    first = (
        "<attributes><divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time>"
        '</attributes><direction><sound tempo="24"/></direction>'
    )
    measures = ""
    for number, key in enumerate(keys, 1):
        step, alter = names[key % 12][0], len(names[key % 12]) - 1
        measures += (
            f'<measure number="{number}">{first if number == 1 else ""}<note><pitch>'
            f"<step>{step}</step><alter>{alter}</alter><octave>{key // 12 - 1}</octave></pitch>"
            "<duration>4</duration><type>whole</type></note></measure>"
        )
    return (
        '<?xml version="1.0"?><score-partwise version="3.1"><part-list><score-part id="P1">'
        '<part-name>Piano</part-name></score-part></part-list><part id="P1">'
        f"{measures}</part></score-partwise>"
    )
