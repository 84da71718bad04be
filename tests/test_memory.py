"""Memory that a process keeps, in processes of their own: the choice holds for a whole process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GLIBC = sys.platform.startswith("linux") and bool(list(Path("/lib").rglob("libc.so.6")))
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled").exists()

pytestmark = pytest.mark.skipif(not GLIBC, reason="glibc's memory is what is tuned")

# Pages that are cleared anew while 64 MiB are made and dropped a second time.
CLEARED = """
import resource, sys
from gansynth.memory import keep_freed_memory
if sys.argv[1] != "no":
    assert keep_freed_memory(large_pages=sys.argv[1] == "large")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytes(range(256)) * (1 << 18)
before = faults()
bytes(range(256)) * (1 << 18)
print(faults() - before)
"""

HEAP = """
from gansynth.memory import keep_freed_memory
{limit}
assert keep_freed_memory(large_pages=True)
inside = False
for line in open("/proc/self/smaps"):
    if "-" in line.split()[0]:
        inside = "[heap]" in line
        first, last = (int(end, 16) for end in line.split()[0].split("-")) if inside else (0, 0)
    elif inside and line.startswith("VmFlags"):
        print(last - first, "hg" in line.split())
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def heap(limit: str = "") -> list[tuple[int, bool]]:
    """Bytes of each part of the heap, and whether it asks for large pages."""
    lines = run(HEAP.replace("{limit}", limit)).splitlines()
    return [(int(size), flag == "True") for size, flag in map(str.split, lines)]


def test_freed_blocks_are_not_cleared_again() -> None:
    assert int(run(CLEARED, "no")) > 10_000
    assert int(run(CLEARED, "yes")) < 100
    assert int(run(CLEARED, "large")) < 100


@pytest.mark.skipif(not LARGE_PAGES, reason="this system has no large pages")
def test_the_heap_asks_for_large_pages() -> None:
    assert sum(size for size, large in heap() if large) > 256 << 20


def test_where_addresses_are_limited_none_are_reserved() -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))"
    parts = heap(limit)
    assert parts
    assert not any(large for _, large in parts)
    assert sum(size for size, _ in parts) < 256 << 20
