"""Sound files: what is written is what was meant, whole or not at all."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gansynth.audio import files
from gansynth.audio.files import ENCODINGS, choose_encoding, write_audio
from gansynth.errors import InputError, OutputError
from gansynth.files import atomic_path, check_writable, write_text


def noise(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    wave = np.random.default_rng(seed).uniform(-0.9, 0.9, (frames, channels)).astype(np.float32)
    return wave[:, 0] if channels == 1 else wave


def tone(frequency: float, seconds: float, rate: int) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def spectrum_db(wave: np.ndarray) -> np.ndarray:
    """Blackman-Harris spectrum of `wave` `[samples]` in dB relative to its peak, without edges."""
    wave = wave[len(wave) // 8 : -len(wave) // 8]
    angle = 2 * np.pi * np.arange(len(wave)) / len(wave)
    terms = (0.35875, -0.48829, 0.14128, -0.01168)
    window = sum(term * np.cos(k * angle) for k, term in enumerate(terms))
    power = np.abs(np.fft.rfft(wave * window)) + 1e-12
    return 20 * np.log10(power / power.max())


@pytest.mark.parametrize(
    ("name", "bits", "container", "subtype", "error"),
    [
        ("a.wav", None, "WAV", "FLOAT", 0),
        ("a.wav", "16", "WAV", "PCM_16", 2**-16),
        ("a.WAV", 24, "WAV", "PCM_24", 2**-24),
        ("a.flac", None, "FLAC", "PCM_16", 2**-16),
        ("a.flac", "24", "FLAC", "PCM_24", 2**-24),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossless_formats_hold_every_sample_to_half_a_step(
    tmp_path: Path, name: str, bits: Any, container: str, subtype: str, error: float, channels: int
) -> None:
    wave = noise(20_000, channels)
    written = write_audio(tmp_path / name, wave, 16_000, bits=bits)
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype, info.samplerate) == (container, subtype, 16_000)
    back, _ = soundfile.read(tmp_path / name, dtype="float64")
    assert back.shape == wave.shape
    assert np.abs(back - wave).max() <= error
    assert written == files.WrittenAudio(tmp_path / name, 20_000, 16_000, 0)


def test_vorbis_keeps_length_rate_and_tone_of_a_long_sound(tmp_path: Path) -> None:
    wave = tone(440, 150, 16_000)  # written at once, this length crashes libsndfile's Vorbis
    assert write_audio(tmp_path / "a.ogg", wave, 16_000).frames == len(wave)
    back, rate = soundfile.read(tmp_path / "a.ogg", dtype="float32")
    assert (soundfile.info(tmp_path / "a.ogg").subtype, rate, len(back)) == (
        "VORBIS",
        16_000,
        len(wave),
    )
    assert np.corrcoef(back, wave)[0, 1] > 0.999


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_equal_sound_gives_equal_bytes(tmp_path: Path, name: str) -> None:
    write_audio(tmp_path / f"1{name}", noise(3000), 16_000)
    first = (tmp_path / f"1{name}").read_bytes()
    peak = first.find(b"PEAK")
    assert name != "a.wav" or first[peak + 12 : peak + 16] == bytes(4)
    write_audio(tmp_path / f"2{name}", [noise(3000)[:1000], noise(3000)[1000:]], 16_000)
    assert (tmp_path / f"2{name}").read_bytes() == first


def test_clipping_is_counted_and_cut_in_integer_files_only(tmp_path: Path) -> None:
    wave = np.array([0.5, 1.0, -1.0, 1.5, -2.0, 3.4e38], np.float32)
    assert write_audio(tmp_path / "a.wav", wave, 16_000).clipped == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="float32")[0], wave)
    assert write_audio(tmp_path / "b.wav", wave, 16_000, bits="16").clipped == 3
    back = soundfile.read(tmp_path / "b.wav", dtype="int16")[0]
    assert back.tolist() == [16384, 32767, -32768, 32767, -32768, 32767]
    assert write_audio(tmp_path / "c.ogg", np.full(5000, 1.1, np.float32), 16_000).clipped == 5000


@pytest.mark.parametrize("rate_out", [8000, 22_050, 44_100, 48_000])
def test_resampling_moves_no_pitch_and_adds_no_images(tmp_path: Path, rate_out: int) -> None:
    written = write_audio(tmp_path / "a.wav", tone(1000, 2, 16_000), 16_000, output_rate=rate_out)
    back, rate = soundfile.read(tmp_path / "a.wav")
    assert (rate, written.sample_rate, written.frames) == (rate_out, rate_out, 2 * rate_out)
    assert len(back) == 2 * rate_out
    level = spectrum_db(back)
    hertz = np.arange(len(level)) * rate_out / (2 * (len(level) - 1))
    assert abs(hertz[level.argmax()] - 1000) < 1
    assert level[np.abs(hertz - 1000) > 20].max() < -80


def test_resampling_down_removes_what_would_alias(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tone(7000, 1, 16_000), 16_000, output_rate=8000)
    assert np.abs(soundfile.read(tmp_path / "a.wav")[0][500:-500]).max() < 0.5e-4


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cuts=st.lists(st.integers(0, 40_000), max_size=6),
    channels=st.integers(1, 3),
    rate_out=st.sampled_from([8000, 16_000, 44_100]),
)
def test_blocks_give_the_same_file_as_the_whole(
    tmp_path: Path, cuts: list[int], channels: int, rate_out: int
) -> None:
    wave = noise(40_000, channels)
    blocks = np.split(wave, sorted(cuts))
    whole = write_audio(tmp_path / "w.wav", wave, 16_000, output_rate=rate_out, overwrite=True)
    split = write_audio(
        tmp_path / "s.wav", iter(blocks), 16_000, output_rate=rate_out, overwrite=True
    )
    assert split.frames == whole.frames
    assert abs(split.frames - round(40_000 * rate_out / 16_000)) <= 1
    assert (tmp_path / "s.wav").read_bytes() == (tmp_path / "w.wav").read_bytes()


def test_streams_are_drawn_block_by_block(tmp_path: Path) -> None:
    sizes: list[int] = []

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(20):
            yield noise(16_000)
            sizes.append(sum(entry.stat().st_size for entry in tmp_path.rglob("*.wav")))

    write_audio(tmp_path / "a.wav", blocks(), 16_000)
    assert sizes[-2] > 17 * 16_000 * 4  # earlier blocks are on the disk while later ones are made


@pytest.mark.parametrize(
    ("name", "rate", "options", "message"),
    [
        ("a.mp3", 16_000, {}, r"the extension '.mp3' isn't .* use one of .wav, .flac, .ogg"),
        ("a", 16_000, {}, r"the extension '' isn't a known sound format"),
        ("a.wav", 16_000, {"bits": "32"}, r"^bits='32': .wav can hold float, 16, 24\.$"),
        ("a.flac", 16_000, {"bits": "float"}, r"^bits='float': .flac can hold 16, 24\.$"),
        ("a.ogg", 16_000, {"bits": 16}, r"^bits=16: .ogg can hold no bit depth; leave bits out\.$"),
        ("a.wav", 999, {}, r"^sample_rate=999: must be a whole number of Hz, 1000..384000\.$"),
        ("a.wav", 16e3, {}, r"^sample_rate=16000.0: must be a whole number"),
        ("a.wav", 16_000, {"output_rate": 384_001}, r"^output_rate=384001: must be"),
        ("a.ogg", 16_000, {"output_rate": 384_000}, r"rate=384000: .ogg .* at most 200000 Hz"),
        ("a.flac", 16_000, {"output_rate": 96_001}, r"rate=96001: .* in steps of 10 Hz; choose"),
    ],
)
def test_options_out_of_range_are_refused_before_any_block(
    tmp_path: Path, name: str, rate: Any, options: dict[str, Any], message: str
) -> None:
    def blocks() -> Iterator[np.ndarray]:
        pytest.fail("drew a block")
        yield

    with pytest.raises(InputError, match=message):
        write_audio(tmp_path / name, blocks(), rate, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            np.array([0, 0, np.nan], np.float32),
            r"^samples\[2\]=nan: every sample must be a finite float32",
        ),
        ([np.zeros(5), np.array([0, -np.inf])], r"^samples\[6\]=-inf: "),
        (np.array([1e300]), r"^samples\[0\]=inf: "),
        (np.zeros(4, np.int16), r"^samples=int16 of shape \[4\]: must be a floating array"),
        (np.zeros((2, 2, 2)), r"^samples=float64 of shape \[2, 2, 2\]: "),
        ([0.5, 0.25], r"^samples=float64 of shape \[\]: "),
        (np.zeros((9, 2000)), r"^samples: channels=2000: this format holds 1..1024"),
        ([np.zeros(4), np.zeros((4, 2))], r"^samples: channels=2: .* the same in every block"),
        (np.zeros((4, 0)), r"^samples: channels=0: "),
        ([[[1.0], [1.0, 2.0]]], r"^samples=list: must be a floating array"),
        (np.zeros(0, np.float32), r"^samples=0 frames: there is no sound to write"),
        ([], r"^samples=0 frames: "),
        (7, r"^samples=7: must be an array or an iterable of arrays"),
        ("text", r"^samples=<U1 of shape \[\]: "),
    ],
)
def test_samples_that_are_no_sound_are_refused(tmp_path: Path, samples: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_audio(tmp_path / "a.wav", samples, 16_000)
    assert list(tmp_path.iterdir()) == []


def test_a_sound_shorter_than_one_output_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^output_rate=1000: the sound is shorter than one frame"):
        write_audio(tmp_path / "a.wav", np.ones(1, np.float32), 16_000, output_rate=1000)
    assert list(tmp_path.iterdir()) == []


def test_a_file_too_big_for_its_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(ENCODINGS[".wav"], max_bytes=100_000)
    monkeypatch.setitem(ENCODINGS, ".wav", small)
    with pytest.raises(OutputError, match=r"bytes: this format holds at most 100000; use .flac"):
        write_audio(tmp_path / "a.wav", noise(50_000), 16_000)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_libsndfile_writes_ends_without_its_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write = files._Sink.write

    def interrupted(sink: Any, data: bytes) -> int:
        signal.raise_signal(signal.SIGINT)
        return write(sink, data)

    monkeypatch.setattr(files._Sink, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_audio(tmp_path / "x.flac", np.zeros(100_000, np.float32), 16000)
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_failing_stream_leaves_nothing_and_keeps_its_own_error(tmp_path: Path) -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield noise(50_000)
        raise KeyError("from the caller")

    (tmp_path / "a.flac").write_text("old")
    with pytest.raises(KeyError, match="from the caller"):
        write_audio(tmp_path / "a.flac", blocks(), 16_000, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.flac"]
    assert (tmp_path / "a.flac").read_text() == "old"


FULL_DISK = """
import resource, signal, sys
import numpy as np
from gansynth.audio.files import write_audio
from gansynth.errors import OutputError
from gansynth.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
wave = np.random.default_rng(0).uniform(-1, 1, 100_000).astype("f4")
for limit in (20, 3000, 70_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for name in ("a.wav", "a.flac", "a.ogg", "a.json"):
        try:
            if name == "a.json":
                write_text(f"{sys.argv[1]}/{name}", "x" * 80_000)
            else:
                write_audio(f"{sys.argv[1]}/{name}", wave, 16_000, output_rate=44_100)
        except OutputError as error:
            print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file size limit of the system")
def test_a_disk_that_fills_up_half_way_is_told_in_plain_words(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[2])},
    )
    lines = result.stdout.splitlines()
    assert result.stderr == ""
    assert len(lines) == 12  # three limits, four kinds of file
    assert all("the file is larger than the system allows" in line for line in lines)
    assert all(line.endswith("nothing was left behind.") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_stay_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("precious")
    rule = r"a.wav': exists already; use --force / overwrite=True"
    with pytest.raises(OutputError, match=rule):
        check_writable(path)
    with pytest.raises(OutputError, match=rule):
        write_audio(path, iter(()), 16_000)
    with pytest.raises(OutputError, match=rule):
        write_text(path, "new")
    assert path.read_text() == "precious"
    assert check_writable(path, overwrite=True) == path
    write_audio(path, noise(100), 16_000, overwrite=True)
    assert soundfile.info(path).frames == 100


def test_a_name_taken_during_the_work_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write_while_another_does() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(OutputError, match="exists already"):
        write_while_another_does()
    assert path.read_text() == "theirs"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a folder; add a file name"),
        ("missing/a.wav", r"missing' is missing; create it first"),
        ("file/a.wav", r"file' is missing; create it first"),
        ("a\0.wav", r"can't be written: .*null"),
        ("a" * 300 + ".wav", "the name is too long; choose a shorter one"),
        ("loop.wav", "can't be written: .*symbolic links"),
        ("pipe.wav", "is a device or a pipe, not a plain file"),
    ],
)
def test_places_that_hold_no_file_are_refused(
    tmp_path: Path, name: str, message: str, overwrite: bool
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    before = sorted(tmp_path.iterdir())
    for action in (check_writable, lambda path, **options: write_text(path, "x", **options)):
        with pytest.raises(OutputError, match=message) as caught:
            action(f"{tmp_path}/{name}", overwrite=overwrite)
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # also true for root
    with pytest.raises(OutputError, match=r"the folder .* is not writable; choose another one"):
        write_text(tmp_path / "a.txt", "x")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_a_folder_that_takes_no_files_is_told_in_plain_words() -> None:
    with pytest.raises(OutputError, match=r"^path='/proc/a.txt': (can't be written|the folder)"):
        write_text("/proc/a.txt", "x")


@pytest.mark.parametrize("path", [None, 3, b"a.wav"])
def test_paths_of_another_type_are_refused(path: Any) -> None:
    with pytest.raises(InputError, match=r"^path=.*: must be a str or a pathlib.Path\.$"):
        check_writable(path)
    with pytest.raises(InputError, match=r"^path=.*: must be a str or a pathlib.Path\.$"):
        choose_encoding(path, 16_000)


def test_text_goes_through_a_link_as_utf8(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("real.json")
    write_text(tmp_path / "link.json", "ä\n")
    assert (tmp_path / "real.json").read_bytes() == b"\xc3\xa4\n"
    assert (tmp_path / "link.json").is_symlink()
    with pytest.raises(InputError, match="UTF-8 has no lone surrogates"):
        write_text(tmp_path / "b.json", "\ud800")
