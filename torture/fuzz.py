"""Damaged files for every reader: each is read, or refused in words."""

from __future__ import annotations

import itertools
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gansynth.errors import GansynthError
from torture.readers import READERS, Reader
from torture.table import Options, Row

CORPUS = Path(__file__).with_name("corpus")  # a folder for each reader: what once failed
SLOW = 10.0  # seconds of processor time that no damaged file may take
LARGE = 500 << 20  # bytes beyond what the process has that no damaged file may take
# Files lie in memory where there is a disk of it: some readers wait for the disk.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
_AT_ONCE = 200

_NUMBERS = (b"-1", b"0", b"1e999", b"-Infinity", b"NaN", b"1" * 40, b"1" * 5000, b"0.5", b"1e308")
_VALUES = (
    *_NUMBERS, b"null", b"[]", b"{}", b'"x"', b"true", b"[[[[]]]]", b'"' + b"x" * 5000 + b'"',
    b"\xff", b'"\\ud800"', b"[" * 2000, b"\0",
)  # fmt: skip
_SIZES = tuple(
    number.to_bytes(size, order, signed=True)
    for size in (1, 2, 4, 8)
    for order in ("little", "big")
    for number in (-1, 0, 1, 127, (1 << 8 * size - 1) - 1, -(1 << 8 * size - 1))
)
_TOKEN = re.compile(rb"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\"[^\"\\]*\"|null|true|false|[A-Za-z_./]+")


@dataclass(frozen=True)
class Damage:
    """One change of a file: what kind, where (a share of its length or tokens), and with what."""

    kind: str
    place: float
    length: int
    value: bytes


KINDS = ("flip", "set", "insert", "remove", "repeat", "cut", "token", "token")

_damages = st.builds(
    Damage,
    st.sampled_from(KINDS),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 64),
    st.one_of(st.sampled_from(_SIZES), st.sampled_from(_VALUES), st.binary(min_size=1, max_size=8)),
)


def drawn(draw: random.Random) -> list[Damage]:
    """What `_damages` gives, several times as fast."""
    values = (
        lambda: draw.choice(_SIZES), lambda: draw.choice(_VALUES),
        lambda: draw.randbytes(draw.randint(1, 8)),
    )  # fmt: skip
    return [
        Damage(draw.choice(KINDS), draw.random(), draw.randint(1, 64), draw.choice(values)())
        for _ in range(draw.randint(1, 4))
    ]


def damaged(data: bytes, damages: list[Damage]) -> bytes:
    """A file with some changes, one after the other."""
    for damage in damages:
        data = _changed(data, damage)
    return data


def _changed(data: bytes, damage: Damage) -> bytes:
    at, value, length = int(damage.place * len(data)), damage.value, damage.length
    match damage.kind:
        case "flip" if data:
            return data[:at] + bytes([data[at] ^ 1 << length % 8]) + data[at + 1 :]
        case "set":
            return data[:at] + value + data[at + len(value) :]
        case "insert":
            return data[:at] + value + data[at:]
        case "remove":
            return data[:at] + data[at + length :]
        case "repeat":
            return data[:at] + data[at : at + length] * (1 + length) + data[at + length :]
        case "cut":
            return data[:at]
        case "token":
            return _with_token(data, damage)
    return data


def _with_token(data: bytes, damage: Damage) -> bytes:
    """Another number or word in a text; the length of the text of a safetensors file goes along."""
    size = int.from_bytes(data[:8], "little") if data[8:9] == b"{" else 0
    text, rest = (data[8 : 8 + size], data[8 + size :]) if size else (data, b"")
    tokens = list(_TOKEN.finditer(text[: 1 << 16]))
    if not tokens:
        return data
    token = tokens[int(damage.place * len(tokens))]
    text = text[: token.start()] + damage.value + text[token.end() :]
    return (len(text).to_bytes(8, "little") if size else b"") + text + rest


class Target:
    """A reader with its file, which is damaged again and again."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.reader = reader
        self.path = reader.make(folder)
        if self.path.is_dir():
            raise ValueError(f"{reader.name}: damages a file, not a folder")
        self.whole = self.path.read_bytes()

    def failure(self, data: bytes) -> str | None:
        """What went wrong with these bytes; None where they were read, or refused in words."""
        self.path.write_bytes(self.reader.pack(data))
        began, before = time.process_time(), _memory_now()
        try:
            self.reader.read(self.path)
        except GansynthError as error:
            if not str(error).strip():
                return "refused without words"
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:200]
        if (took := time.process_time() - began) > SLOW:
            return f"took {took:.0f} s"
        if (grown := _most_memory() - before) > LARGE:  # since `_memory_now`
            return f"took {grown >> 20} MB"
        return None


def _memory_now() -> int:
    """Bytes that this process has, from which `_most_memory` then counts."""
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_bytes(b"5")  # see proc_pid_clear_refs(5)
    return _most_memory()


def _most_memory() -> int:
    """Bytes that this process had at most; 0 where the system doesn't tell."""
    if sys.platform != "linux":
        return 0
    status = Path("/proc/self/status").read_bytes()
    return int(status.split(b"VmHWM:")[1].split()[0]) << 10


def corpus(reader: Reader) -> list[Path]:
    """What once failed."""
    return sorted((CORPUS / reader.name).glob("*"))


class _Round:
    """Some examples of damage, until one fails; hypothesis then makes it as small as it can."""

    def __init__(self, target: Target, until: float) -> None:
        self.target, self.until = target, until
        self.tries, self.failing = 0, b""

    def check(self, damages: list[Damage]) -> None:
        if time.monotonic() > self.until:
            return
        self.tries += 1
        data = damaged(self.target.whole, damages)
        if fault := self.target.failure(data):
            self.failing = data
            raise AssertionError(fault)

    def go(self, number: int, count: int) -> None:
        def one(damages: list[Damage]) -> None:
            self.check(damages)

        chosen = settings(
            max_examples=count, deadline=None, database=None, derandomize=False,
            phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        seed(number)(chosen(given(st.lists(_damages, min_size=1, max_size=4))(one)))()


def fuzz(target: Target, *, seconds: float, count: int, first_seed: int) -> tuple[int, list[str]]:
    """Damage a file for so long, or so often; returns how often, and the failures.

    A file that fails is kept in the corpus, and ends the search.
    """
    tries, until = 0, time.monotonic() + seconds
    for number in itertools.count(first_seed):
        if tries >= count or time.monotonic() > until:
            break
        some = _Round(target, until)
        try:
            some.go(number, min(_AT_ONCE, count - tries))
        except AssertionError as error:
            place = CORPUS / target.reader.name / f"seed{number}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(some.failing)
            return tries + some.tries, [f"{error} (kept as {place})"]
        tries += some.tries
    return tries, []


def run(options: Options) -> Iterator[Row]:
    """Damage the file of every reader for a while."""
    for reader in READERS:
        with tempfile.TemporaryDirectory(prefix="gansynth-fuzz-", dir=MEMORY) as folder:
            yield _row(Target(reader, Path(folder) / reader.name), options)


def _row(target: Target, options: Options) -> Row:
    failures = [
        f"{path.name}: {fault}"
        for path in corpus(target.reader)
        if (fault := target.failure(path.read_bytes()))
    ]
    count = options.count(1 << 40, 40)
    tries, found = fuzz(target, seconds=options.seconds, count=count, first_seed=options.seed)
    note = f"{len(corpus(target.reader))} in the corpus"
    return Row(f"damaged files: {target.reader.name}", tries, failures + found, note)
