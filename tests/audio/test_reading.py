"""Sound files as other programs write them: read to their end, in one channel."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.audio import reading
from gansynth.audio.headers import with_length
from gansynth.audio.libsndfile import open_sound
from gansynth.audio.reading import mono, read_audio, sound_form
from gansynth.errors import InputError
from sound_writer import (
    RATE,
    encoded,
    flac_without_length,
    mp3_without_table,
    tone,
    wav,
    wav_with_sizes,
)


def put(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def shown(samples: np.ndarray) -> np.ndarray:
    return samples / 32768 if samples.dtype == np.int16 else samples


# Headers without a length


@pytest.mark.parametrize("riff", [0, 0xFFFFFFFF])
@pytest.mark.parametrize("data", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, riff: int, data: int) -> None:
    sound = read_audio(put(tmp_path, "a.wav", wav_with_sizes(tone(), riff, data)))
    assert sound.samples.dtype == np.int16
    assert np.array_equal(sound.samples, np.rint(tone() * 32767))


@pytest.mark.parametrize("count", [1, 300, 4096, 100_001])
def test_a_flac_from_a_pipe_is_read_to_its_end(tmp_path: Path, count: int) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, count)
    sound = read_audio(put(tmp_path, "a.flac", flac_without_length(samples)))
    whole, _ = soundfile.read(put(tmp_path, "b.flac", encoded(samples, "FLAC")), dtype="int16")
    assert np.array_equal(sound.samples, whole)


def test_a_flac_from_a_pipe_behind_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "has_pyav", lambda: False)
    tags = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
    for data in (flac_without_length(tone()), encoded(tone(), "FLAC", subtype="PCM_16")):
        path = put(tmp_path, "a.flac", tags + data)
        assert sound_form(path) == (RATE, len(tone()))
        assert np.allclose(shown(read_audio(path).samples), tone(), atol=1e-4)


@pytest.mark.parametrize("rate", [44_100, 22_050])
@pytest.mark.parametrize("tags", [False, True])
def test_an_mp3_of_variable_rate_without_a_table_is_read_to_its_end(
    tmp_path: Path, rate: int, tags: bool
) -> None:
    quiet, loud = tone(60, 1, rate) * 0.01, tone(60, 1, rate)
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 2 * rate)
    samples = np.concatenate([quiet, loud, noise])  # frames of very different sizes
    data = mp3_without_table(samples, rate)
    if tags:
        data = b"ID3\x04\0\0\0\0\x01\0" + bytes(128) + data + b"TAG" + bytes(125)
    path = put(tmp_path, "a.mp3", data)
    assert soundfile.info(path).frames < 0.8 * len(samples)  # what libsndfile makes of it alone
    sound = read_audio(path)
    assert 0 <= len(sound.samples) - len(samples) < 2 * 1152
    end = sound.samples[-3000:-1500]
    assert np.sqrt(np.mean(end**2)) > 0.05  # the noise, up to the end


def test_headers_that_say_their_length_are_left_alone(tmp_path: Path) -> None:
    for name, data in (
        ("a.wav", wav(tone())),
        ("a.flac", encoded(tone(), "FLAC")),
        ("a.mp3", encoded(tone(rate=44_100), "MP3", 44_100)),
        ("empty.wav", wav(np.zeros(0), b"LIST\4\0\0\0INFO")),
    ):
        with open(put(tmp_path, name, data), "rb") as file:
            assert with_length(file) is None


def test_a_wav_of_which_a_part_is_missing_is_cut_short(tmp_path: Path) -> None:
    path = put(tmp_path, "a.wav", wav(tone())[:10_000])
    with pytest.raises(
        InputError, match=r"^is cut short: 9956 of 16000 bytes of sound are there\.$"
    ):
        read_audio(path)
    last = read_audio(put(tmp_path, "b.wav", wav(tone())[:-1]))  # a byte is no harm
    assert len(last.samples) == len(tone()) - 1


# Channels


def test_the_mean_of_the_channels_is_taken() -> None:
    stereo = np.array([[0.5, -0.25], [0.25, 0.25], [0, 0.5]], np.float32)
    assert mono(stereo).tolist() == [0.125, 0.25, 0.25]
    assert mono(stereo[:, 0]).tolist() == stereo[:, 0].tolist()


@pytest.mark.parametrize("weaker", [-1.0, -0.95])
def test_channels_that_cancel_leave_the_louder_one(tmp_path: Path, weaker: float) -> None:
    stereo = np.stack([weaker * tone(), tone()], axis=1)
    sound = read_audio(put(tmp_path, "a.wav", encoded(stereo, subtype="FLOAT")))
    assert np.allclose(np.abs(sound.samples), np.abs(tone()), atol=1e-6)


def test_one_silent_channel_is_no_cancelling(tmp_path: Path) -> None:
    stereo = np.stack([tone(), np.zeros_like(tone())], axis=1)
    sound = read_audio(put(tmp_path, "a.wav", encoded(stereo, subtype="FLOAT")))
    assert np.allclose(sound.samples, tone() / 2, atol=1e-6)


# Other decoders


def with_pyav(path: Path, codec: str, samples: np.ndarray, rate: int) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format="adts" if path.suffix == ".aac" else None) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "mono", 128_000
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(stream.format.name, "mono", rate, stream.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.aac", "aac"),
        ("a.wma", "wmav2"),
        ("a.wv", "wavpack"),
        ("a.mp4", "alac"),
    ],
)
def test_pyav_reads_what_libsndfile_cant(tmp_path: Path, name: str, codec: str) -> None:
    samples = np.concatenate([tone(60, 0.5, 44_100), tone(67, 0.5, 44_100)])
    sound = read_audio(with_pyav(tmp_path / name, codec, samples, 44_100))
    assert sound.sample_rate == 44_100
    assert abs(len(sound.samples) - len(samples)) < 4096  # codecs begin and end in whole frames
    spectrum = np.abs(np.fft.rfft(shown(sound.samples[2048:20_000]) * np.hanning(17_952)))
    assert spectrum.argmax() * 44_100 / 17_952 == pytest.approx(261.6, abs=3)


def test_only_what_is_wanted_is_decoded(tmp_path: Path) -> None:
    path = with_pyav(tmp_path / "a.m4a", "aac", tone(60, 3, 44_100), 44_100)
    assert len(read_audio(path, 0.5).samples) == 22_050


def test_without_pyav_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "has_pyav", lambda: False)
    path = put(tmp_path, "a.m4a", b"\0\0\0\x20ftypM4A ")
    with pytest.raises(InputError, match=r"^can't be read here; convert it to WAV, or `pip"):
        read_audio(path)


def test_playlists_open_no_other_file(tmp_path: Path) -> None:
    pytest.importorskip("av")
    put(tmp_path, "secret.wav", wav(tone()))
    text = f"#EXTM3U\n#EXTINF:1,\nfile://{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n"
    with pytest.raises(InputError, match="can't be read as sound"):
        read_audio(put(tmp_path, "a.m4a", text.encode()))


@pytest.mark.parametrize(
    ("name", "data", "form"),
    [
        ("a.wav", wav_with_sizes(tone(), 0, 0), (RATE, 8000)),
        ("a.flac", flac_without_length(tone()), (RATE, 8000)),
        ("a.wav", wav(tone(rate=22_050), rate=22_050), (22_050, 11_025)),
    ],
)
def test_length_and_rate_are_told_without_decoding(
    tmp_path: Path, name: str, data: bytes, form: tuple[int, int]
) -> None:
    assert sound_form(put(tmp_path, name, data)) == form


def test_length_and_rate_of_other_formats(tmp_path: Path) -> None:
    path = with_pyav(tmp_path / "a.m4a", "aac", tone(60, 1, 44_100), 44_100)
    assert sound_form(path) == (44_100, len(read_audio(path).samples))


# Errors


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff\xfb\x90\x00", r"^can't be read as sound \(no sound is found in it\)\.$"),
        (b"no sound", r"^can't be read as sound \(Format not recognised\)\.$"),
        (wav(np.zeros(0)), r"^holds no samples\.$"),
        (
            encoded(np.full(9, np.nan), subtype="FLOAT"),
            r"^has samples that aren't finite numbers\.$",
        ),
        (encoded(np.zeros(9), rate=500), "^sample_rate=500: must be a whole number of Hz"),
    ],
)
def test_what_cant_be_used_says_why(tmp_path: Path, data: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        read_audio(put(tmp_path, "a.wav", data))


@pytest.mark.skipif(sys.platform != "linux", reason="C's stderr can be set in glibc alone")
def test_a_damaged_mp3_is_told_of_in_our_words_alone(tmp_path: Path) -> None:
    data = encoded(tone(seconds=2), "MP3")
    frame = data.index(data[:2], len(data) // 2)  # where one begins, in the middle
    path = put(tmp_path, "C4.mp3", data[:frame] + b"\0" + data[frame + 1 :])
    plain = [sys.executable, "-c", f"import soundfile; soundfile.read({str(path)!r})"]
    assert "Illegal Audio-MPEG-Header" in told(plain)
    (words,) = told([sys.executable, "-m", "gansynth", "match", str(path)]).splitlines()
    assert words.startswith(f"error: sound={str(path)!r}: is cut short: ")


def told(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.skipif(sys.platform != "linux", reason="C's stderr can be set in glibc alone")
def test_other_libraries_print_when_a_sound_is_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, "a.wav", wav(tone()))
    with open_sound(str(path)), open_sound(str(path)):
        ctypes.CDLL(None).perror(b"meanwhile")
    ctypes.CDLL(None).perror(b"afterwards")
    told = capfd.readouterr().err
    assert "afterwards" in told
    assert "meanwhile" not in told


STARTS = {
    ".wav": wav_with_sizes(tone(seconds=0.01), 0, 0), ".flac": flac_without_length(np.zeros(99)),
    ".mp3": mp3_without_table(tone(seconds=0.3, rate=44_100), 44_100),
}  # fmt: skip


@given(
    st.sampled_from(sorted(STARTS)),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
)
@settings(deadline=None, max_examples=100)
def test_damaged_headers_are_read_or_refused(extension: str, changes: Any, keep: int) -> None:
    data = bytearray(STARTS[extension])
    for place, value in changes:
        data[place % len(data)] = value
    with tempfile.TemporaryDirectory() as name:
        path = put(Path(name), f"a{extension}", bytes(data[:keep] if keep % 3 == 0 else data))
        try:
            assert len(read_audio(path, 10).samples)
        except InputError as error:
            assert str(error)
