"""Bad input on the command line: one plain line, exit code 2, and not a byte changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click
import pytest
import torch
from safetensors.torch import save_file

import gansynth
from gansynth.cli.magenta import gansynth_generate

RunCli = Callable[..., Any]
MakeMidi = Callable[..., Path]
Prepare = Callable[[], object]
INDEX = Path("run/stage_00002/model.ckpt-1024.index")
DATA = Path("run/stage_00002/model.ckpt-1024.data-00000-of-00001")
TOY, SONG, NOTE, EXPERIMENT = map(
    Path, ("toy.safetensors", "song.mid", "note.json", "run/experiment.json")
)
INFO, TOY_INFO = "info run", "info toy.safetensors"
TOY_NOTES = "generate --model toy.safetensors"
TOY_SONG = f"{TOY_NOTES} --midi song.mid"


@pytest.fixture(autouse=True)
def place(
    toy_model: Path,
    toy_checkpoint: Path,
    tmp_path: Path,
    make_midi: MakeMidi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder with good input of every kind, which a case then spoils."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(toy_model, TOY)
    shutil.copytree(toy_checkpoint, "run")
    make_midi([(60, 0, 1), (64, 1, 2)])
    model = {"path": str(TOY), "sha256": gansynth.load(TOY).model.digest()}
    note = {"kind": "note", "model": model, "latents": [[0.1, 0.2, 0.3]], "pitches": [60]}
    NOTE.write_text(json.dumps(note))


@pytest.fixture(autouse=True)
def never_hang() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        pytest.fail("this input hangs")  # no Exception: nothing on the way catches it

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)  # of a busy machine
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def listing() -> dict[str, bytes | None]:
    """Every path below the working folder with its content."""
    paths = sorted(Path().rglob("*"))
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def error_line(err: str) -> str:
    """The one line of an error; click's own come with two lines of usage in front."""
    lines = err.splitlines()
    if lines[0].startswith("Usage: "):
        lines = [f"error: {lines[-1].removeprefix('Error: ')}"]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    return lines[0]


def check_refused(run_cli: RunCli, args: list[str], text: str) -> None:
    """Run a command and check that it fails as it should."""
    command: click.Command | None = None
    if args[0] == "gansynth_generate":
        command, args = gansynth_generate, args[1:]
    before = listing()
    result = run_cli(*args, command=command)
    assert result.code == 2, result
    assert text in error_line(result.err)
    assert "Traceback" not in result.err + result.out
    assert "=True" not in result.err, "what is only for Python"
    assert listing() == before


# --- ways to spoil a file -----------------------------------------------------------------------


def nothing() -> None:
    pass


def bytes_of(name: str | Path, content: bytes) -> Prepare:
    return lambda: Path(name).write_bytes(content)


def cut(path: Path, keep: int) -> Prepare:
    return lambda: path.write_bytes(path.read_bytes()[:keep])


def flip(path: Path, at: int) -> Prepare:
    def prepare() -> None:
        data = bytearray(path.read_bytes())
        data[at] ^= 0x10
        path.write_bytes(data)

    return prepare


def edited(path: Path, **changes: Any) -> Prepare:
    return lambda: path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def recall(**changes: Any) -> Prepare:
    return edited(NOTE, **changes)


def metadata(**changes: Any) -> Prepare:
    """Change the description inside the model file and leave its tensors alone."""

    def prepare() -> None:
        data = TOY.read_bytes()
        (size,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + size])
        description = json.loads(header["__metadata__"]["gansynth"])
        for name, value in changes.items():
            into = description if name in description else description["config"]
            into[name] = value
        header["__metadata__"]["gansynth"] = json.dumps(description)
        new = json.dumps(header).encode()
        TOY.write_bytes(struct.pack("<Q", len(new)) + new + data[8 + size :])

    return prepare


def renamed_stage() -> None:
    Path("run/stage_00002").rename("run/stage_00004")
    edited(EXPERIMENT, num_resolutions=3)()


def empty_stage() -> None:
    INDEX.unlink()
    DATA.unlink()


def two_models() -> None:
    shutil.copytree("run", "both/a")
    shutil.copytree("run", "both/b")


def torch_pickle(zipped: bool) -> Prepare:
    return lambda: torch.save(
        {"a": torch.ones(2)}, "model.pt", _use_new_zipfile_serialization=zipped
    )


def foreign(metadata: dict[str, str] | None) -> Prepare:
    return lambda: save_file({"a": torch.ones(2)}, "model.pt", metadata=metadata)


LONG = "x" * 300
MIDI = {
    "no file": (nothing, f"{TOY_NOTES} --midi no.mid", "path='no.mid': can't be read (No"),
    "a folder": (
        nothing,
        f"{TOY_NOTES} --midi run",
        "path='run': can't be read (is not a regular file)",
    ),
    "a pipe": (
        lambda: os.mkfifo("p"),
        f"{TOY_NOTES} --midi p",
        "path='p': can't be read (is not a reg",
    ),
    "no midi": (bytes_of("song.mid", b"RIFF1234"), TOY_SONG, "not a MIDI file, it begins with"),
    "empty": (bytes_of("song.mid", b""), TOY_SONG, "not a MIDI file, it is empty"),
    "cut": (
        cut(SONG, 24),
        TOY_SONG,
        "note; the file is damaged (track 1 played up to where the file",
    ),
    "no notes": (
        bytes_of(SONG, b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0"),
        TOY_SONG,
        "notes=0: holds no notes at all",
    ),
    "all out of range": (
        metadata(pitch_counts=[[p, 1] for p in range(67, 128)]),
        f"{TOY_SONG} --out-of-range drop",
        "out_of_range='drop': all 2 notes lie outside the model's pitches (67-127)",
    ),
    "one out of range": (
        metadata(pitch_counts=[[p, 1] for p in range(67, 128)]),
        f"{TOY_SONG} --out-of-range error",
        "pitch=60 (C4), 64 (E4), first at 0.00 s: the model knows 67-127; use --out-of",
    ),
    "not spaced": (nothing, f"{TOY_SONG} --secs-per-instrument 0", "must be above 0 seconds"),
    "spaced nan": (nothing, f"{TOY_SONG} --secs-per-instrument nan", "must be above 0 seconds"),
    "spaced 1e-300": (nothing, f"{TOY_SONG} --secs-per-instrument 1e-300", "secs_per_instrument="),
}

CHECKPOINT = {
    "flipped index": (flip(INDEX, 40), INFO, "doesn't match its checksum"),
    "flipped data": (
        flip(DATA, 40),
        "convert run --with-discriminator -o x.safetensors",
        "doesn't match its checksum",
    ),
    "cut index": (cut(INDEX, 200), INFO, f"file={INDEX} "),
    "cut data": (cut(DATA, 40), INFO, f"file={DATA} is cut short; download or copy it again"),
    "no data": (DATA.unlink, INFO, f"file={DATA} is missing; put a checkpoint's .index and"),
    "shapes": (edited(EXPERIMENT, fmap_max=1), INFO, "has shape (2, 4, 64, 2), which as blocks.0."),
    "more stages": (
        edited(EXPERIMENT, num_resolutions=1, audio_length=8),
        INFO,
        "stage_00002: num_resolutions=1 has only stages 0 to 0; experiment.json is of another",
    ),
    "missing tensor": (renamed_stage, INFO, "is missing (6 in all); experiment.json and"),
    "no stage": (lambda: shutil.rmtree("run/stage_00002"), INFO, "model='run': is not a model;"),
    "no stage to convert": (
        lambda: shutil.rmtree("run/stage_00002"),
        "convert run -o x.safetensors",
        "model='run': holds no stage_000NN folder; give the folder (or zip) around them.",
    ),
    "empty stage": (empty_stage, INFO, "model='run': no stage folder holds a"),
    "two models": (two_models, "info both", "model='both': holds several models (a, b); give"),
    "no json": (bytes_of(EXPERIMENT, b"{flux"), INFO, "is not JSON (Expecting property"),
    "deep json": (bytes_of(EXPERIMENT, b"[" * 99_999), INFO, "is not JSON"),
    "a list": (bytes_of(EXPERIMENT, b"[1]"), INFO, "must be one JSON object"),
    "no text": (bytes_of(EXPERIMENT, b"\xff\xfe"), INFO, "experiment.json is not text; copy"),
    "bad value": (edited(EXPERIMENT, fmap_max="8"), INFO, "experiment.json: fmap_max='8': must"),
    "no experiment": (EXPERIMENT.unlink, INFO, "model='run': experiment.json is missing"),
    "huge json": (bytes_of(EXPERIMENT, b" " * 2**21), INFO, "experiment.json is larger than"),
    "bad zip": (bytes_of("a.zip", b"PK\3\4" + bytes(99)), "info a.zip", "is cut short; download"),
}

MODEL = {
    "no file": (nothing, "info no", "model='no': there is no such file or folder."),
    "empty": (bytes_of(TOY, b""), TOY_INFO, "is cut short; download or copy it again."),
    "first bytes": (cut(TOY, 5), TOY_INFO, "is cut short; download or copy it again."),
    "cut": (cut(TOY, 3000), TOY_INFO, "is cut short; download or copy it again."),
    "cut late": (cut(TOY, -1), TOY_INFO, "is cut short; download or copy it again."),
    "cut header": (cut(TOY, 100), TOY_INFO, "is cut short; download or copy it again."),
    "huge header": (bytes_of(TOY, b"\xff" * 64), TOY_INFO, "is damaged or no safetensors file"),
    "foreign": (foreign(None), "info model.pt", "is a safetensors file of something"),
    "foreign too": (foreign({"format": "pt"}), "info model.pt", "file of something else (no gansy"),
    "no description": (foreign({"gansynth": "{"}), "info model.pt", "has broken metadata; make th"),
    "newer": (metadata(format_version=2), TOY_INFO, "format_version=2: this gansynth reads 1;"),
    "bad config": (metadata(fmap_max=-1), TOY_INFO, "model='toy.safetensors': fmap_max=-1: must"),
    "other config": (metadata(fmap_max=1), TOY_INFO, "the config says (64, 1, 2, 4)."),
    "nan progress": (
        metadata(progress=float("nan")),
        TOY_INFO,
        "progress=nan: must be from 0 to 1",
    ),
    "progress": (
        metadata(num_resolutions=3, progress=2.0),
        TOY_INFO,
        "progress=2.0: must be from 0 to 1, ",
    ),
    "pitches": (metadata(pitch_counts=[[200, 1]]), TOY_INFO, "pitch_counts=[(200, 1)]: must be"),
    "zip pickle": (torch_pickle(True), "info model.pt", "A PyTorch pickle is never loaded; give"),
    "old pickle": (torch_pickle(False), "info model.pt", "is a pickle, which is never loaded"),
    "a pipe": (lambda: os.mkfifo("p"), "info p", "model='p': "),
    "a long name": (nothing, f"info {LONG}", "can't be read"),
}

RECALL = "generate --recall note.json -o new"
SIDECAR = {
    "no file": (NOTE.unlink, RECALL, "recall='note.json': can't be read (No such file or"),
    "a folder": (
        nothing,
        "generate --recall run",
        "can't be read (is not a regular file).",
    ),
    "a pipe": (lambda: os.mkfifo("p"), "generate --recall p", "recall='p': "),
    "no json": (
        bytes_of(NOTE, b"{"),
        RECALL,
        "of gansynth generate: it isn't JSON; give",
    ),
    "no text": (
        bytes_of(NOTE, b"\xff\xfe\xfd"),
        RECALL,
        "of gansynth generate: it isn't JSON; give",
    ),
    "a list": (bytes_of(NOTE, b"[1, 2]"), RECALL, "its kind, latents, pitches or model aren't as"),
    "deep": (
        bytes_of(NOTE, b"[" * 99_999),
        RECALL,
        "of gansynth generate: it isn't JSON; give",
    ),
    "no latents": (bytes_of(NOTE, b"{}"), RECALL, "generate: it has no 'latents'; give the .json"),
    "wrong size": (
        recall(latents=[[1.0]]),
        RECALL,
        "latents: shape (1, 1): the model needs [n, 3].",
    ),
    "no rows": (recall(latents=[]), RECALL, "latents have shape (0,), not [n, latent_size]."),
    "ragged": (
        recall(latents=[[1, 2, 3], [1]]),
        RECALL,
        "pitches or model aren't as they",
    ),
    "nan": (recall(latents=[[float("nan"), 1, 2]]), RECALL, "latents hold NaN or infinite values."),
    "1e300": (recall(latents=[[1e300, 1, 2]]), RECALL, "latents hold NaN or infinite values."),
    "10^400": (
        recall(latents=[[10**400, 1, 2]]),
        RECALL,
        "pitches or model aren't as they",
    ),
    "words": (
        recall(latents=[["a", "b", "c"]]),
        RECALL,
        "pitches or model aren't as they",
    ),
    "pitch": (recall(pitches=[200]), RECALL, "pitch=200: the model knows 24-84."),
    "pitch nan": (
        recall(pitches=[float("nan")]),
        RECALL,
        "pitches or model aren't as they",
    ),
    "model": (recall(model="toy"), RECALL, "its kind, latents, pitches or model aren't as"),
    "hash": (
        recall(model={"path": "toy.safetensors", "sha256": "0"}),
        RECALL,
        "was made with mode",
    ),
    "gone": (recall(model={"path": "gone", "sha256": "0"}), RECALL, "model='gone': there is no su"),
    "zero": (recall(model={"path": "a\0b", "sha256": "0"}), RECALL, "model='a\\x00b': can't be re"),
    "half": (recall(model={"path": "\ud800", "sha256": "0"}), RECALL, "model='\\ud800': can't be"),
    "long": (recall(model={"path": LONG, "sha256": "0"}), RECALL, "can't be read"),
}

OUTPUT = {
    "seed": (nothing, f"{RECALL} --seed 2", "--seed: can't be used here, --recall brings"),
    "format": (nothing, f"{TOY_SONG} -o x.wav --format flac", "--format: can't be used here, the"),
    "secs": (nothing, f"{TOY_NOTES} --secs-per-instrument 1", "--secs-per-instrument: can't be us"),
    "under a file": (nothing, f"{TOY_NOTES} -o song.mid/out", "path='song.mid/out': the folder '"),
    "is a file": (
        bytes_of("out", b"x"),
        f"{TOY_NOTES} -o out",
        "path='out': is a file, not a folder",
    ),
    "converted under a file": (
        nothing,
        "convert run -o song.mid/x.safetensors",
        "path='song.mid/x",
    ),
    "converted nowhere": (nothing, "convert run -o no/x.safetensors", "the folder '"),
    "no model name": (nothing, "init --preset tiny -o m.zip", "name ends in .safetensors."),
    "dot": (nothing, f"{TOY_NOTES} -o take.2", "output='take.2': the extension '.2' isn't a"),
    "extension": (nothing, f"{TOY_NOTES} -o a.mp3", "the extension '.mp3' isn't a known sound"),
    "long name": (nothing, f"{TOY_NOTES} -o {LONG}", "the name is too long"),
    "bits": (nothing, f"{TOY_NOTES} --format flac --bits float", "bits='float': .flac can hold 16"),
    "ogg bits": (nothing, f"{TOY_NOTES} -o a.ogg --bits 16", "bits='16': .ogg can hold no bit dep"),
    "rate": (nothing, f"{TOY_NOTES} --sample-rate 999", "=999: must be a whole number of Hz,"),
    "rate 0": (nothing, f"{TOY_NOTES} --sample-rate 0", "=0: must be a whole number of Hz, 1000.."),
    "high rate": (nothing, f"{TOY_NOTES} --sample-rate 400000", "=400000: must be a whole number"),
}

OPTIONS = {
    "pitch": (nothing, f"{TOY_NOTES} --pitch H4", "pitch='H4': must be a MIDI number from 0 to"),
    "unknown pitch": (
        nothing,
        f"{TOY_NOTES} --pitch 20",
        "pitch=20 (G#0): the model knows",
    ),
    "downwards": (nothing, f"{TOY_NOTES} --pitches 60-50", "pitches='60-50': a range must ascend"),
    "count 0": (
        nothing,
        f"{TOY_NOTES} --count 0",
        "'--count': 0 is not in the range 1<=x<=100000.",
    ),
    "count 1e15": (nothing, f"{TOY_NOTES} --count {10**15} --dry-run", "count"),
    "seed": (nothing, f"{TOY_NOTES} --seed -1", "'--seed': -1 is not in the range x>=0."),
    "device": (nothing, f"{TOY_NOTES} --device warp", "device='warp': there is no such device;"),
    "99 devices": (nothing, f"{TOY_NOTES} --device cuda:99", "device='cuda:99': there is no such"),
    "precision": (nothing, f"{TOY_NOTES} --precision int8", "'int8' is not one of 'auto',"),
    "option": (nothing, f"{TOY_NOTES} --cuont 3", "No such option"),
    "command": (nothing, "genrate", "command='genrate': there is no such command. Did you mean"),
    "both": (
        nothing,
        f"{TOY_SONG} --single --per-track",
        "--per-track: can't be used here, --single is",
    ),
    "single": (
        nothing,
        f"{TOY_NOTES} --single",
        "--single: can't be used here, it goes with --midi",
    ),
    "per track": (
        nothing,
        f"{TOY_NOTES} --per-track",
        "--per-track: can't be used here, it goes with",
    ),
    "midi count": (nothing, f"{TOY_SONG} --count 2", "--count: can't be used here, --midi brings"),
    "recall count": (
        nothing,
        f"{RECALL} --count 2",
        "--count: can't be used here, --recall brings",
    ),
    "preset": (nothing, "init --preset tinny -o x", "preset='tinny': must be one of"),
    "hparam": (
        nothing,
        'init --preset tiny -o x --hparams {"fmap_mx":1}',
        "fmap_mx=1: there is no such hyperparameter. Did you mean fmap_max?",
    ),
    "hparams": (nothing, "init --preset tiny -o x --hparams {x", "--hparams: is not JSON ("),
    "geometry": (
        nothing,
        'init --preset tiny -o x --hparams {"num_resolutions":2}',
        "audio_length=64000: the final image of 4 x 32 covers only 112 samples",
    ),
    "the original's model": (
        nothing,
        "gansynth_generate --ckpt_dir no --output_dir out",
        "model='no': there is no such file or folder.",
    ),
    "the original's new folders": (
        nothing,
        "gansynth_generate --ckpt_dir no --output_dir a/b/c",
        "model='no': there is no such file or folder.",
    ),
    "the original's place": (
        nothing,
        "gansynth_generate --ckpt_dir toy.safetensors --output_dir song.mid/a/b",
        "song.mid",
    ),
    "the original's home": (
        nothing,
        "gansynth_generate --ckpt_dir ~nobody-here/x --output_dir out",
        "~nobody-here",
    ),
}

TABLES: dict[str, dict[str, Any]] = {
    "midi": MIDI,
    "checkpoint": CHECKPOINT,
    "model": MODEL,
    "sidecar": SIDECAR,
    "output": OUTPUT,
    "options": OPTIONS,
}
CASES = [
    pytest.param(*case, id=f"{kind}-{name}".replace(" ", "_"))
    for kind, table in TABLES.items()
    for name, case in table.items()
]


@pytest.mark.filterwarnings("error")  # a warning would be a second line
@pytest.mark.parametrize(("prepare", "line", "text"), CASES)
def test_bad_input_is_one_line_and_changes_nothing(
    run_cli: RunCli, prepare: Prepare, line: str, text: str
) -> None:
    prepare()
    check_refused(run_cli, line.split(" "), text)


def test_pictures_without_matplotlib_are_refused(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = f"{TOY_NOTES} --plot -o out"
    check_refused(run_cli, line.split(), "--plot: needs matplotlib; run `pip install matplotlib`")


FULL_DISK = """
import resource, signal, sys
from gansynth.cli.main import cli
from gansynth.cli.runner import run
import gansynth.performance.recording, safetensors.torch
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
for line in sys.argv[1:]:
    sys.argv = ["gansynth", *line.split()]
    try:
        run(cli)
    except SystemExit as stop:
        print(stop.code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file size limit of the system")
def test_a_disk_that_fills_up_half_way_leaves_nothing(tiny_model: Path) -> None:
    before = listing()
    lines = [
        f"generate --model {tiny_model} --count 2 -o notes",
        f"generate --model {tiny_model} --count 1 -o one.flac",
        f"{TOY_SONG} -o clip.wav",
        "init --preset tiny -o new.safetensors",
    ]
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *lines],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(Path(gansynth.__file__).parents[1])},
    )
    codes = [line for line in result.stdout.splitlines() if line.isdigit()]
    assert codes == ["2"] * len(lines), result.stderr
    errors = result.stderr.splitlines()
    assert len(errors) == len(lines), result.stderr
    assert "the file is larger than the system allows" in errors[0]
    assert errors[0].endswith("nothing was left behind.")
    assert "the file is larger than the system allows" in errors[1]
    assert "the clip can't be stored there" in errors[2]
    assert errors[3].startswith("error: path='new.safetensors': can't be written")
    assert listing() == before
