"""SoundFonts as a source of notes: what is offered, how it sounds, what is dropped."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gansynth.audio.pitch import estimate_pitch
from gansynth.data.labels import wrong_labels
from gansynth.data.note import Dropped, Note, SourceSound
from gansynth.data.soundfont import engines
from gansynth.data.soundfont.engines import find_engine
from gansynth.data.soundfont.source import SoundFontSource, open_soundfont
from gansynth.errors import InputError
from soundfont_writer import Font, Preset, Zone, tone

RATE = 16_000
KEYS = range(58, 66)


def installed(name: str) -> bool:
    try:
        return bool(find_engine(name))
    except InputError:
        return False


@pytest.fixture(params=["fluidsynth", "tinysoundfont"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not installed(name):
        pytest.skip(f"engine={name!r} is not installed")
    return name


@pytest.fixture
def any_engine() -> None:
    if not installed("auto"):
        pytest.skip("neither FluidSynth nor tinysoundfont is installed")


@pytest.fixture
def font(tmp_path: Path) -> Path:
    """Two presets with samples of their own, a third that shares one, drums."""
    presets = [
        Preset(0, 40, "Violin", [Zone(0, keys=(58, 65))]),
        Preset(0, 19, "Organ", [Zone(1, keys=(58, 65), root=64)]),
        Preset(8, 40, "Fiddle", [Zone(0, keys=(60, 61))]),
        Preset(0, 81, "Saw", [Zone(0, keys=(60, 60))]),
        Preset(128, 0, "Drums", [Zone(1, keys=(36, 38))]),
    ]
    return Font([tone(60), tone(64, harmonics=3)], presets).write(tmp_path / "Small.sf2")


def notes_of(source: SoundFontSource) -> list[list[Note]]:
    chunks = [[item for item in chunk if isinstance(item, Note)] for chunk in source.chunks()]
    return [chunk for chunk in chunks if chunk]


def all_sounds(source: SoundFontSource) -> dict[str, SourceSound | Dropped]:
    found = {}
    for chunk in notes_of(source):
        for note, sound in zip(chunk, source.read(chunk), strict=True):
            assert isinstance(sound, SourceSound | Dropped)
            found[note.origin] = sound
    return found


def samples_of(sound: object) -> np.ndarray:
    assert isinstance(sound, SourceSound), sound
    return sound.samples


def digest(source: SoundFontSource, chunks: Sequence[Sequence[Note]], threads: int) -> str:
    def read(chunk: Sequence[Note]) -> bytes:
        return b"".join(samples_of(sound).tobytes() for sound in source.read(chunk))

    with ThreadPoolExecutor(threads) as pool:
        return hashlib.sha256(b"".join(pool.map(read, chunks))).hexdigest()


@pytest.mark.usefixtures("any_engine")
def test_notes_are_described_before_they_are_rendered(font: Path) -> None:
    source = open_soundfont(font)
    first = notes_of(source)[0]
    assert [note.pitch for note in first] == list(KEYS)
    assert first[2] == Note(
        origin="Small.sf2:0:19:60:100",
        pitch=60,
        velocity=100,
        instrument="Small/0:19 Organ",
        family="organ",
        source="acoustic",
        group="Small:g000",
    )
    assert source.count == 8 + 8 + 2 + 1 + 3
    assert source.details["melodic_presets"] == 4
    assert source.details["sample_groups"] == 2


@pytest.mark.usefixtures("any_engine")
def test_presets_that_share_samples_share_a_group(font: Path) -> None:
    groups = {chunk[0].instrument: chunk[0].group for chunk in notes_of(open_soundfont(font))}
    assert groups == {
        "Small/0:19 Organ": "Small:g000",
        "Small/0:40 Violin": "Small:g001",
        "Small/0:81 Saw": "Small:g001",
        "Small/8:40 Fiddle": "Small:g001",
    }


@pytest.mark.usefixtures("any_engine")
def test_drums_are_dropped_without_rendering(font: Path) -> None:
    items = [item for chunk in open_soundfont(font).chunks() for item in chunk]
    dropped = [item for item in items if isinstance(item, Dropped)]
    assert [item.origin for item in dropped] == [f"Small.sf2:128:0:{n}:100" for n in (36, 37, 38)]
    assert {item.reason for item in dropped} == {"no pitched instrument"}


def test_notes_sound_at_their_key(font: Path, engine: str) -> None:
    source = open_soundfont(font, engine=engine)
    for chunk in notes_of(source):
        for note, sound in zip(chunk, source.read(chunk), strict=True):
            wave = samples_of(sound)
            assert wave.shape == (64_000,)
            assert wave.dtype == np.float32
            assert estimate_pitch(wave, RATE).pitch == pytest.approx(note.pitch, abs=0.2)


def test_a_note_is_held_for_three_quarters(font: Path, engine: str) -> None:
    source = open_soundfont(font, engine=engine, seconds=1.0)
    wave = samples_of(next(source.read(notes_of(source)[0][:1])))
    level = np.sqrt(np.mean(wave.reshape(20, -1) ** 2, axis=1))  # blocks of 50 ms
    assert level[:15].min() > 0.5 * level.max()
    assert level[16:].max() < 0.05 * level.max()


@pytest.mark.parametrize(("rate", "rendered"), [(8000, 44100), (44100, 44100), (48000, 48000)])
def test_sounds_have_the_rate_asked_for(font: Path, engine: str, rate: int, rendered: int) -> None:
    source = open_soundfont(font, engine=engine, sample_rate=rate, seconds=0.5)
    sound = next(source.read(notes_of(source)[0][2:3]))
    assert source.details["rendered_at"] == rendered
    assert len(samples_of(sound)) == rate // 2
    assert estimate_pitch(samples_of(sound), rate).pitch == pytest.approx(60, abs=0.2)


def test_threads_dont_change_a_bit(font: Path, engine: str) -> None:
    source = open_soundfont(font, engine=engine, seconds=0.5, velocities=(50, 100))
    chunks = notes_of(source)
    assert digest(source, chunks, 1) == digest(source, chunks, 4)


def test_what_was_read_before_doesnt_change_a_bit(font: Path, engine: str) -> None:
    source = open_soundfont(font, engine=engine, seconds=0.5)
    chunks = notes_of(source)
    alone = digest(source, chunks[1:2], 1)
    digest(source, chunks, 1)
    assert digest(source, chunks[1:2], 1) == alone


def test_velocities_are_chunks_of_their_own_and_louder(font: Path, engine: str) -> None:
    source = open_soundfont(font, engine=engine, seconds=0.5, velocities=(127, 25))
    quiet, loud = notes_of(source)[:2]
    assert [quiet[0].velocity, loud[0].velocity] == [25, 127]
    assert quiet[0].group == loud[0].group
    levels = [np.abs(samples_of(next(source.read(chunk)))).max() for chunk in (quiet, loud)]
    assert levels[1] > 3 * levels[0]


def test_no_note_clips(tmp_path: Path, engine: str) -> None:
    zones = [Zone(0, keys=(60, 61))] * 8  # eight times as loud
    path = Font(presets=[Preset(zones=zones)]).write(tmp_path / "Loud.sf2")
    for sound in all_sounds(open_soundfont(path, engine=engine, seconds=0.5)).values():
        assert np.abs(samples_of(sound)).max() == pytest.approx(0.95, abs=1e-3)


def test_silent_keys_are_dropped(tmp_path: Path, engine: str) -> None:
    zones = [Zone(0, keys=(60, 62)), Zone(1, keys=(63, 64))]
    font = Font([tone(60), np.zeros(20_000, np.int16)], [Preset(zones=zones)])
    sounds = all_sounds(open_soundfont(font.write(tmp_path / "Gap.sf2"), engine=engine))
    reasons = [item.reason if isinstance(item, Dropped) else "" for item in sounds.values()]
    assert reasons == ["", "", "", "silent key", "silent key"]


@pytest.mark.parametrize("interval", [-12, 7, 12, 24])
def test_keys_that_sound_at_another_pitch_are_dropped(
    tmp_path: Path, engine: str, interval: int
) -> None:
    # The upper keys' zone says that the sample, a C4, is lower than it is, or higher.
    zones = [Zone(0, keys=(48, 59)), Zone(0, keys=(60, 72), root=60 - interval)]
    path = Font(presets=[Preset(zones=zones)]).write(tmp_path / "Off.sf2")
    sounds = all_sounds(open_soundfont(path, engine=engine))
    for origin, sound in sounds.items():
        key = int(origin.split(":")[3])
        if key < 60:
            assert isinstance(sound, SourceSound), origin
        else:
            heard = f"asks {key}, sounds {key + interval}"
            assert isinstance(sound, Dropped), origin
            assert sound.reason == "sounds at another pitch"
            assert float(sound.detail.split()[-1]) == pytest.approx(key + interval, abs=0.2), heard


def test_one_strange_note_among_good_ones_is_the_judges_error() -> None:
    keys = list(range(60, 69))
    waves = np.stack([sounding(key + 12 * (key == 64)) for key in keys])
    assert not wrong_labels(waves, RATE, keys)[0].any()


def test_a_weak_fundamental_is_no_other_pitch() -> None:
    keys = list(range(60, 69))
    waves = np.stack([sounding(key, weak_odd=0.14) for key in keys])
    assert not wrong_labels(waves, RATE, keys)[0].any()


def test_a_note_without_pitch_goes_with_its_neighbours() -> None:
    noise = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32) / 4
    keys = list(range(60, 69))
    for shift, expected in ((0, False), (5, True)):
        waves = np.stack([sounding(key + shift) if key != 64 else noise for key in keys])
        assert (wrong_labels(waves, RATE, keys)[0] == expected).all()


def sounding(pitch: float, weak_odd: float = 1.0) -> np.ndarray:
    """A decaying tone; `weak_odd` scales all odd harmonics."""
    time = np.arange(2 * RATE * 2) / RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    wave = sum(
        (weak_odd if n % 2 else 1.0) * np.sin(2 * np.pi * n * frequency * time) / n
        for n in range(1, 9)
    )
    return np.asarray(0.3 * wave * np.exp(-time), np.float32)


def test_engines_agree_in_pitch_and_level(font: Path) -> None:
    if not (installed("fluidsynth") and installed("tinysoundfont")):
        pytest.skip("needs FluidSynth and tinysoundfont")
    one, other = (
        all_sounds(open_soundfont(font, engine=name, seconds=1.0))
        for name in ("fluidsynth", "tinysoundfont")
    )
    assert one.keys() == other.keys()
    for origin in one:
        levels = [np.sqrt(np.mean(samples_of(side[origin]) ** 2)) for side in (one, other)]
        assert 0.4 < levels[0] / levels[1] < 2.5


@pytest.mark.usefixtures("any_engine")
def test_a_font_of_drums_alone_is_refused(tmp_path: Path) -> None:
    path = Font(presets=[Preset(128, 0, "Kit")]).write(tmp_path / "Kit.sf2")
    with pytest.raises(InputError, match=r"Kit.sf2': has 1 presets and no melodic one"):
        open_soundfont(path)


@pytest.mark.usefixtures("any_engine")
def test_a_font_without_keys_is_refused(tmp_path: Path) -> None:
    path = Font(presets=[Preset(zones=[Zone(keys=(0, 5))])]).write(tmp_path / "Low.sf2")
    with pytest.raises(InputError, match=r"no preset has a key in 21..108 at velocities=\[100\]"):
        open_soundfont(path)


def test_options_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"velocities=\[0\]: must be one or more of 1..127"):
        open_soundfont(tmp_path / "none.sf2", velocities=(0,))
    with pytest.raises(InputError, match="engine='piano': must be one of auto, fluidsynth"):
        find_engine("piano")


def test_without_an_engine_the_error_says_how_to_get_one(
    font: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_fluidsynth", lambda: None)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="no engine for SoundFonts is installed; install FluidS"):
        open_soundfont(font)
    with pytest.raises(InputError, match="pip install --no-deps tinysoundfont"):
        find_engine("tinysoundfont")


def test_an_engine_says_when_it_cant_play(
    font: Path, engine: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        InputError, match=rf"Small.sf2': {engine} can't play this SoundFont: .*preset"
    ):
        find_engine(engine).open(font, 8, 7, 44100)
    assert capfd.readouterr() == ("", "")


def test_a_player_that_failed_leaves_the_engine_usable(font: Path, engine: str) -> None:
    found = find_engine(engine)
    with pytest.raises(InputError, match="can't play"):
        found.open(font, 8, 7, 44100)
    player = found.open(font, 0, 40, 44100)
    assert np.abs(player.render(60, 100, 640, 1000)).max() > 0.01
    player.close()
