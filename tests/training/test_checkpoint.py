"""A training's state on disk: bit for bit, whole or not at all, with something to fall back on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drawing import large_examples
from gansynth.errors import InputError, ModelError, OutputError
from gansynth.training.checkpoint import (
    Checkpoints,
    load_checkpoint,
    read_facts,
    save_checkpoint,
)  # fmt: skip

TYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64,
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes")


@st.composite
def tensors_of_any_kind(draw: st.DrawFn) -> Tensor:
    """Random bytes as a tensor of 0 to 3 dimensions, NaNs and denormal numbers among them."""
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    dtype = draw(st.sampled_from(TYPES))
    count = int(torch.tensor([1, *shape]).prod())
    data = draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
    if dtype == torch.bool:
        return torch.tensor([byte % 2 == 1 for byte in data], dtype=dtype).reshape(shape)
    raw = torch.tensor(list(data), dtype=torch.uint8)
    return raw.view(dtype).reshape(shape)


def same_bits(left: Tensor, right: Tensor) -> bool:
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and torch.equal(left.reshape(-1).view(torch.uint8), right.reshape(-1).view(torch.uint8))
    )


def save_some(folder: Path, *states: tuple[int, int], keep_last: int = 3) -> Checkpoints:
    """Checkpoints of these images seen and stages; each holds its number of images."""
    checkpoints = Checkpoints(folder, keep_last)
    for images, stage in states:
        checkpoints.save({"x": torch.tensor(images)}, {"images": images, "stage": stage})
    return checkpoints


def images_kept(folder: Path) -> list[int]:
    return [read_facts(path)["images"] for path in Checkpoints(folder).paths()]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


# One file


@given(
    tensors=st.dictionaries(st.text(st.characters(codec="utf-8")), tensors_of_any_kind()),
    facts=st.dictionaries(st.text(), JSON, max_size=4),
)
@large_examples(max_examples=60)
def test_what_is_saved_comes_back_bit_for_bit(
    tensors: dict[str, Tensor], facts: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        save_checkpoint(path, tensors, facts)
        found, found_facts = load_checkpoint(path)
    assert found_facts == facts
    assert found.keys() == tensors.keys()
    assert all(same_bits(found[name], tensors[name]) for name in tensors)


def test_shared_strided_and_tracked_tensors_are_saved_as_they_look(tmp_path: Path) -> None:
    whole = torch.arange(12.0, requires_grad=True)
    tensors = {
        "whole": whole, "again": whole, "rows": whole.reshape(3, 4).T, "part": whole[3:7],
        "wide": whole[:1].expand(5), "last": torch.ones(1, 2, 3, 3).to(
            memory_format=torch.channels_last),
    }  # fmt: skip
    save_checkpoint(tmp_path / "state", tensors, {})
    found, _ = load_checkpoint(tmp_path / "state")
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert not any(tensor.requires_grad for tensor in found.values())


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_one_flipped_bit_is_noticed(position: int, bit: int) -> None:
    tensors = {"a": torch.arange(9.0), "b": torch.ones(2, 3, dtype=torch.bfloat16)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        save_checkpoint(path, tensors, {"images": 7})
        data = bytearray(path.read_bytes())
        data[position % len(data)] ^= 1 << bit
        path.write_bytes(data)
        try:
            found, facts = load_checkpoint(path)
        except ModelError:
            return
        # Only padding of the header can change without a change of meaning.
        assert facts == {"images": 7}
        assert all(same_bits(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("length", [0, 4, 8, 60, -1])
def test_a_cut_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "state"
    save_checkpoint(path, {"x": torch.ones(4)}, {})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"checkpoint='.*state': is damaged"):
        load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"checkpoint='.*nothing': there is no such file"):
        load_checkpoint(tmp_path / "nothing")


def test_a_newer_format_asks_for_a_newer_program(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    metadata = {"format_version": "2", "facts": "{}", "sha256": ""}
    save_file({}, tmp_path / "state", metadata=metadata)
    with pytest.raises(ModelError, match=r"format_version='2': this gansynth reads 1; install a"):
        load_checkpoint(tmp_path / "state")


def test_a_checkpoint_is_never_overwritten_silently(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "state", {}, {"images": 1})
    with pytest.raises(OutputError, match="exists already"):
        save_checkpoint(tmp_path / "state", {}, {"images": 2})
    assert read_facts(tmp_path / "state") == {"images": 1}


@pytest.mark.parametrize(
    ("tensors", "facts", "text"),
    [
        ({"x": torch.ones(2, dtype=torch.complex128)}, {}, r"dtype=torch\.complex128: can't be"),
        ({"__metadata__": torch.ones(2)}, {}, r"tensor='__metadata__': can't be a tensor's name"),
        ({"\udc80": torch.ones(2)}, {}, r"tensor='\\udc80': can't be a tensor's name"),
        ({}, {"a": object()}, r"facts=.*: JSON can't hold them"),
    ],
)
def test_what_can_not_be_stored_is_refused(
    tmp_path: Path, tensors: dict[str, Tensor], facts: dict[str, Any], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        save_checkpoint(tmp_path / "state", tensors, facts)
    assert list(tmp_path.iterdir()) == []


# The checkpoints of a run


def test_the_last_ones_and_one_of_each_stage_are_kept(tmp_path: Path) -> None:
    save_some(tmp_path, (0, 0), (8, 0), (16, 1), (24, 1), (32, 2), (40, 2), (48, 2), keep_last=2)
    assert images_kept(tmp_path) == [8, 24, 40, 48]
    assert (tmp_path / "images_000000008.safetensors").is_file()


def test_names_sort_by_images_beyond_nine_digits(tmp_path: Path) -> None:
    checkpoints = save_some(tmp_path, (999_999_999, 0), (1_000_000_000, 0))
    assert checkpoints.latest().facts["images"] == 1_000_000_000


def test_a_second_save_of_as_many_images_replaces_the_first(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for stage in (3, 4):
        checkpoints.save({"x": torch.tensor(stage)}, {"images": 5, "stage": stage})
    assert images_kept(tmp_path) == [5]
    assert checkpoints.latest().tensors["x"] == 4


def test_a_damaged_newest_one_falls_back_loudly(tmp_path: Path) -> None:
    checkpoints = save_some(tmp_path, (8, 0), (16, 0), (24, 0), (32, 0))
    newest = checkpoints.paths()[-1]
    flip(newest, -3)
    checkpoints.paths()[-2].write_bytes(b"")
    before = newest.read_bytes()
    loaded = checkpoints.latest()
    assert (loaded.facts["images"], int(loaded.tensors["x"])) == (16, 16)
    first, second = loaded.warnings
    assert "images_000000032.safetensors': is damaged (its bytes don't match" in first
    assert "kept as 'images_000000032.safetensors.damaged'; going on from images_000000016" in first
    assert "the 16 images after it are trained on again" in first
    assert "images_000000024.safetensors': is damaged" in second
    assert (tmp_path / f"{newest.name}.damaged").read_bytes() == before
    assert checkpoints.latest().warnings == []


def test_a_name_that_is_damaged_twice_is_kept_twice(tmp_path: Path) -> None:
    checkpoints = save_some(tmp_path, (8, 0))
    for _ in range(2):
        save_some(tmp_path, (16, 0))
        flip(checkpoints.paths()[-1], -1)
        checkpoints.latest()
    assert sorted(path.name for path in tmp_path.glob("*.damaged*")) == [
        "images_000000016.safetensors.damaged",
        "images_000000016.safetensors.damaged-2",
    ]


def test_none_intact_is_an_error_that_renames_nothing(tmp_path: Path) -> None:
    checkpoints = save_some(tmp_path, (8, 0), (16, 0))
    for path in checkpoints.paths():
        flip(path, -1)
    with pytest.raises(ModelError, match=r"none of 2 can be read; restore one from a backup.*16"):
        checkpoints.latest()
    assert len(checkpoints.paths()) == 2


def test_no_checkpoint_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"checkpoints='.*': there is none; the run stopped"):
        Checkpoints(tmp_path).latest()


def test_a_checkpoint_of_a_newer_program_is_not_taken_for_damaged(tmp_path: Path) -> None:
    checkpoints = save_some(tmp_path, (8, 0), (16, 0))
    newest = checkpoints.paths()[-1]
    newest.write_bytes(newest.read_bytes().replace(b'format_version":"1"', b'format_version":"2"'))
    with pytest.raises(ModelError, match="install a newer gansynth"):
        checkpoints.latest()
    assert newest.exists()


def test_leftovers_of_killed_saves_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".0123456789abcdef.part").write_bytes(b"half")
    (tmp_path / "notes.part").write_text("mine")
    save_some(tmp_path, (8, 0))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "images_000000008.safetensors", "notes.part",
    ]  # fmt: skip


@pytest.mark.parametrize("facts", [{"images": 3}, {"images": 3.0, "stage": 0}, {"stage": 0}])
def test_facts_without_images_and_stage_are_refused(tmp_path: Path, facts: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"facts\['(images|stage)'\]=.*must be a whole number"):
        Checkpoints(tmp_path).save({}, facts)


@pytest.mark.parametrize("keep_last", [0, -1, True, 1.5])
def test_keeping_none_is_refused(tmp_path: Path, keep_last: Any) -> None:
    with pytest.raises(InputError, match=f"keep_last={keep_last}: must be a whole number of 1"):
        Checkpoints(tmp_path, keep_last)


# Real processes that die or run out of space

FILL = """
import sys, torch
from gansynth.errors import OutputError
from gansynth.training.checkpoint import Checkpoints
folder, limit = sys.argv[1], int(sys.argv[2])
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
checkpoints = Checkpoints(folder, keep_last=1)
checkpoints.save({"x": torch.ones(1000)}, {"images": 8, "stage": 0})
try:
    checkpoints.save({"x": torch.ones(1000_000)}, {"images": 16, "stage": 0})
except OutputError as error:
    print(error)
loaded = checkpoints.latest()
names = sorted(path.name for path in checkpoints.folder.iterdir())
print(loaded.facts["images"], loaded.warnings, names)
"""


def assert_kept_the_one_before(out: str, reason: str) -> None:
    message, state = out.strip().splitlines()
    assert "images_000000016.safetensors': can't be written" in message
    assert reason in message
    assert "nothing was left behind" in message
    assert state == "8 [] ['images_000000008.safetensors']"


@posix
def test_a_file_that_may_not_grow_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILL, str(tmp_path), "1000000"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert_kept_the_one_before(run.stdout, "the file is larger than the system allows")


@posix
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=2m tmpfs "$1" || exit 77; exec "$2" -c "$3" "$1" 0'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare, so no disk of our own to fill")
    run = subprocess.run(
        [*command, str(tmp_path), sys.executable, FILL], capture_output=True, text=True, check=False
    )
    if run.returncode in (1, 77) and not run.stdout:
        pytest.skip(f"no disk of our own to fill: {run.stderr.strip()}")
    assert_kept_the_one_before(run.stdout, "the disk is full; free some space")


KILL = """
import json, os, random, signal, sys, time, torch
from gansynth.training.checkpoint import Checkpoints
folder, rounds = sys.argv[1], int(sys.argv[2])
checkpoints = Checkpoints(folder, keep_last=2)
draw = random.Random(0)
image = 0
for _ in range(rounds):
    before = checkpoints.paths()
    child = os.fork()
    if child == 0:
        while True:
            image += 1
            checkpoints.save({"x": torch.full((50_000,), image)}, {"images": image, "stage": 0})
    while checkpoints.paths() == before:  # on a busy machine a save takes its time
        time.sleep(0.001)
    time.sleep(0.06 * draw.random())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    loaded = checkpoints.latest()
    intact = bool((loaded.tensors["x"] == loaded.facts["images"]).all())
    print(json.dumps([loaded.facts["images"], intact, loaded.warnings]))
    assert loaded.facts["images"] >= image
    image = loaded.facts["images"]
"""


@posix
def test_killed_at_any_moment_the_newest_is_readable(tmp_path: Path) -> None:
    rounds = 25
    command = [sys.executable, "-W", "ignore", "-c", KILL, str(tmp_path), str(rounds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    seen = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(seen) == rounds
    assert all(intact and not warnings for _, intact, warnings in seen)
    assert seen[-1][0] > rounds  # it got on between the kills
    save_some(tmp_path, (10**6, 0))
    assert not list(tmp_path.glob(".*"))
