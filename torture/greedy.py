"""Small files that decide large numbers: each is answered in words, soon, and in little memory."""

from __future__ import annotations

import gzip
import io
import json
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture.table import Options, Row

MOST_SECONDS, MOST_BYTES = 2.0, 500 << 20
# Of a start alone on this machine, which is taken off: a module that reads nothing.
_PLAIN = "generate --count 1 --dry-run"
# Linux counts what the starting process once had as the started one's, so a small one starts it.
_IN_BETWEEN = """
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss << 10]))
"""


@dataclass(frozen=True)
class Greedy:
    """A file, the command that reads it, and words of the answer."""

    what: str
    make: Callable[[Path], None]
    command: str
    words: str


def _variable(number: int) -> bytes:
    parts = [number & 127]
    while number := number >> 7:
        parts.append(number & 127 | 128)
    return bytes(reversed(parts))


def _midi(*tracks: bytes) -> bytes:
    head = b"MThd" + struct.pack(">IHHH", 6, 1, min(len(tracks), 65535), 480)
    return head + b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)


def many_notes(path: Path) -> None:
    """2.8 million notes on one track, by running status."""
    path.write_bytes(_midi(b"\0\x90" + b"<\x40\0" * 2_790_000 + b"\0\xff\x2f\0"))


def many_controllers(path: Path) -> None:
    """2.8 million controllers and one note."""
    path.write_bytes(_midi(b"\0\xb0" + b"\7\x40\0" * 2_790_000 + b"\x90<\x40\0\xff\x2f\0"))


def many_tracks(path: Path) -> None:
    """Every note on another track, channel and pitch."""
    tracks = [bytes([0, 0x90 | n % 9, n % 128, 64]) for n in range(690_000)]
    path.write_bytes(_midi(*tracks))


def many_devices(path: Path) -> None:
    """Every note at another device."""
    parts = (b"\0\xff\x09\3" + n.to_bytes(3, "big") + b"\0\x90<\x40" for n in range(700_000))
    path.write_bytes(_midi(b"".join(parts)))


def many_folders(path: Path) -> None:
    """A zip of 6,000 empty folders."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(6000):
            archive.writestr(f"{number}/", b"")


def zeros_in_zip(path: Path) -> None:
    """A gigabyte of zeros, as a tensor of a checkpoint."""
    name = "stage_00000/model.ckpt-1.data-00000-of-00001"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w") as member,
    ):
        for _ in range(1024):
            member.write(bytes(1 << 20))


def zeros_in_tar(path: Path) -> None:
    """8 GB of zeros: one member, or what stands before any member."""
    member = tarfile.TarInfo("stage_00000/checkpoint")
    member.size = 8 << 30
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        file.write(member.tobuf())
        for _ in range(64):
            file.write(bytes(1 << 24))
    path.write_bytes(packed.getvalue())


def large_image(path: Path) -> None:
    """A model file whose configuration asks for an image of 2^26 points."""
    from gansynth import config
    from gansynth.model.file import initial_model, save_model

    tiny = config.preset("tiny").replace(latent_vector_size=8)
    save_model(path, initial_model(tiny, [60], seed=0))
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    model = json.loads(header["__metadata__"]["gansynth"])
    model["config"] |= {"start_height": 1 << 14, "start_width": 1 << 12, "num_resolutions": 1}
    header["__metadata__"]["gansynth"] = json.dumps(model)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def loud_model(path: Path) -> None:
    """A model whose notes are some 90,000 times full scale."""
    from gansynth import config
    from gansynth.model.file import initial_model, save_model

    loud = config.preset("tiny").replace(latent_vector_size=8, mag_normalizer_b=-1.0)
    save_model(path, initial_model(loud, [60], seed=0))


def long_header(path: Path) -> None:
    """A model file whose first bytes promise a header of 90 MB."""
    path.write_bytes((90_000_000).to_bytes(8, "little") + b'{"a":' + b"[" * 1000)


def many_missing(folder: Path) -> None:
    """A manifest of three million sounds, which aren't there."""
    folder.mkdir()
    with open(folder / "manifest.csv", "w", encoding="ascii") as file:
        file.write("file,pitch\n")
        file.writelines(f"{number}.wav,60\n" for number in range(3_000_000))
    (folder / "a.wav").write_bytes(_wav(1, 16000, 1000))


def _wav(channels: int, rate: int, frames: int) -> bytes:
    data = bytes(2 * channels * frames)
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def many_channels(path: Path) -> None:
    """An Ogg file of 120 channels at 100 kHz."""
    import soundfile

    silence = np.zeros((1 << 14, 120), np.float32)
    with soundfile.SoundFile(path, "w", 100_000, 120, format="OGG", subtype="VORBIS") as file:
        for _ in range(100):
            file.write(silence)


def hours_of_silence(path: Path) -> None:
    """A FLAC file of five hours at 48 kHz, in some hundred kilobytes."""
    import soundfile

    with soundfile.SoundFile(path, "w", 48_000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(300):
            file.write(np.zeros(60 * 48_000, np.int16))


FILES = [
    Greedy("MIDI: 2.8 million notes", many_notes, "generate --midi {} --dry-run", "250,000 notes"),
    Greedy(
        "MIDI: 2.8 million controllers", many_controllers, "generate --midi {} --dry-run",
        "1,000,000 events",
    ),
    Greedy("MIDI: 690,000 tracks", many_tracks, "generate --midi {} --dry-run", "4,096 tracks"),
    Greedy("MIDI: 700,000 devices", many_devices, "generate --midi {} --dry-run", "more than"),
    Greedy("zip of 6,000 empty folders", many_folders, "info {}", "more than 500 files"),
    Greedy("zip that holds a gigabyte of zeros", zeros_in_zip, "info {}", "20 times its size"),
    Greedy(".tar.gz that holds 8 GB of zeros", zeros_in_tar, "info {}", "20 times its size"),
    Greedy("model of an image of 2^26 points", large_image, "info {}", "at most 8,388,608 points"),
    Greedy(
        "model of notes far beyond full scale", loud_model,
        "generate --model {} --count 1 --seed 1 -o {}.wav", "times full scale",
    ),
    Greedy("model with a header of 90 MB", long_header, "info {}", "is cut short"),
    Greedy(
        "manifest of 3 million missing sounds", many_missing, "dataset build {} -o x --dry-run",
        "more than 400,000 rows",
    ),
    Greedy("Ogg of 120 channels", many_channels, "match {} -o x.json", "channels=120: at most 32"),
    Greedy("FLAC of five hours", hours_of_silence, "match {} -o x.json", ""),
]  # fmt: skip


ENDINGS = {
    "MIDI:": ".mid", "zip": ".zip", ".tar.gz": ".tar.gz", "model": ".safetensors", "manifest": "",
    "Ogg": ".ogg", "FLAC": ".flac",
}  # fmt: skip


def measure(command: str, folder: Path) -> tuple[int, str, float, int]:
    """Exit code, words, seconds of processor time and bytes of memory of a command."""
    arguments = [sys.executable, "-m", "gansynth", *command.split()]
    done = subprocess.run(
        [sys.executable, "-IS", "-c", _IN_BETWEEN, *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, seconds, memory = json.loads(done.stdout)
    return code, done.stderr, seconds, memory


def run(options: Options) -> Iterator[Row]:
    """Give each greedy file to its command, beside a start of the program alone."""
    _, _, plain_seconds, plain_bytes = measure(_PLAIN, options.scratch)
    for number, greedy in enumerate(FILES):
        path = options.scratch / f"{number}{ENDINGS[greedy.what.split()[0]]}"
        greedy.make(path)
        yield judge(greedy, path, plain_seconds, plain_bytes)


def judge(greedy: Greedy, path: Path, plain_seconds: float, plain_bytes: int) -> Row:
    """The row of one file; what it costs is beyond a start of the program alone."""
    code, words, seconds, memory = measure(greedy.command.replace("{}", str(path)), path.parent)
    note = f"{seconds:.1f} s, {memory / 1e6:.0f} MB in all"
    seconds, memory = max(0.0, seconds - plain_seconds), max(0, memory - plain_bytes)
    failures = []
    if code != 2 or "Traceback" in words or greedy.words not in words:
        failures.append(f"exit code {code}: {words[-300:]}")
    if seconds > MOST_SECONDS:
        failures.append(f"took {seconds:.1f} s")
    if memory > MOST_BYTES:
        failures.append(f"took {memory >> 20} MB")
    return Row(greedy.what, 1, failures, note)
