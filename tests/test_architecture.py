"""docs/architecture.md says what the code does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import gansynth

ROOT = Path(gansynth.__file__).parent
TEXT = (Path(__file__).parents[1] / "docs/architecture.md").read_text("utf-8")
TABLE = [re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| ((?:`\w+`,? ?)+)\|", TEXT, re.M)]
# What the last column of a row names as a room, its rooms don't import.
REFUSED = [
    (re.findall(r"`(\w+)`", rooms), re.findall(r"`(\w+)`", others))
    for rooms, others in re.findall(r"^\| ((?:`\w+`,? ?)+)\|.*\|(.*)\|$", TEXT, re.M)
]
ORDER = {room: place for place, row in enumerate(TABLE) for room in row}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Rooms that a file imports, at its top or in a function, and not for its types alone."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = [node for node in tree.body if isinstance(node, ast.If)]
    tree.body = [node for node in tree.body if node not in for_types]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("gansynth."))


def test_every_room_is_in_the_table() -> None:
    rooms = {room_of(path) for path in ROOT.rglob("*.py")}
    assert rooms - {"__init__", "__main__"} == ORDER.keys()


def test_rooms_import_only_rooms_above_them() -> None:
    upwards = {
        (str(path.relative_to(ROOT)), room)
        for path in ROOT.rglob("*.py")
        for room in imports(path)
        if ORDER.get(room, -1) > ORDER.get(room_of(path), len(TABLE))
    }
    # The three exceptions that the text names.
    named = {("config.py", "networks"), ("model/load.py", "convert"), ("sound.py", "audio")}
    assert upwards == named


def test_rooms_import_none_that_their_row_refuses() -> None:
    refused = {(room, other) for rooms, others in REFUSED for room in rooms for other in others}
    assert len(refused) > 10
    found = {(room_of(path), room) for path in ROOT.rglob("*.py") for room in imports(path)}
    assert not refused & found


def test_modules_that_the_text_names_exist() -> None:
    """Or their last word is a name inside: `networks.schedule.position`."""
    for name in re.findall(r"`((?:\w+\.)+\w+)`", TEXT):
        place = ROOT / name.replace(".", "/")
        found = (place.with_suffix(".py"), place.parent.with_suffix(".py"), place)
        assert name.split(".")[0] not in ORDER or any(path.exists() for path in found), name


def test_no_journey_has_more_than_eight_stations() -> None:
    journeys = re.findall(r"^```\n( 1 .*?)^```", TEXT, re.M | re.S)
    assert len(journeys) == 4  # and the two recipes side by side
    numbers = [
        int(number) for text in journeys for number in re.findall(r"(?<!\S)(\d+) [a-zS]", text)
    ]
    assert max(numbers) == 8
