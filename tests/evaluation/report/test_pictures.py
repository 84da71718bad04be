"""Pictures of an evaluation: what they show is where it belongs, and they can be opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansynth.errors import InputError, OutputError
from gansynth.evaluation.report.pictures import (
    interpolation_strip,
    ndb_bins,
    pitch_confusion,
    rainbowgram_grid,
)

RATE = 16_000
PITCHES = list(range(24, 85))
ORANGE, BLUE = (230, 159, 0), (86, 180, 233)


def tone(pitch: float, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time).astype(np.float32)


def pixels(path: Path) -> np.ndarray:
    """Colours [height, width, 3], 0..255."""
    image = pytest.importorskip("matplotlib.image")
    values = np.round(255 * image.imread(path)[..., :3]).astype(int)
    assert values.shape[1] == 1600
    return values


def colourful(picture: np.ndarray) -> np.ndarray:
    return picture.max(axis=2) - picture.min(axis=2) > 60


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture - np.array(colour)).max(axis=2) < 12


def test_notes_stand_in_their_row_and_column(tmp_path: Path) -> None:
    silence = np.zeros(RATE // 2, np.float32)
    columns = [("real", [tone(60), silence]), ("model", [silence, tone(60)])]
    rainbowgram_grid(tmp_path / "a.png", columns, ["C4", "C5"], RATE)
    bright = colourful(pixels(tmp_path / "a.png"))
    height = len(bright)
    quarters = [
        [part[:, :760].sum(), part[:, 900:].sum()]
        for part in (bright[: height // 2 - 40], bright[height // 2 + 40 :])
    ]
    assert min(quarters[0][0], quarters[1][1]) > 1000
    assert max(quarters[0][1], quarters[1][0]) == 0


def test_a_note_that_is_not_finite_is_drawn_and_named(tmp_path: Path) -> None:
    broken = tone(60)
    broken[100] = np.nan
    for name, wave in (("whole", tone(60)), ("broken", broken)):
        rainbowgram_grid(tmp_path / f"{name}.png", [("a", [wave])], ["C4"], RATE)
    white = [
        (pixels(tmp_path / f"{name}.png").min(axis=2) > 250).sum() for name in ("whole", "broken")
    ]
    assert white[1] > white[0] + 50  # the words


@pytest.mark.parametrize("count", [2, 9])
def test_a_strip_draws_every_note(tmp_path: Path, count: int) -> None:
    interpolation_strip(tmp_path / "a.png", [tone(60)] * count, RATE)
    bright = colourful(pixels(tmp_path / "a.png"))
    rows = 1 if count == 2 else 2
    cells = 0
    for band in np.split(bright[: len(bright) // rows * rows], rows):
        line = band.any(axis=0)
        cells += np.count_nonzero(np.diff(line.astype(int)) == 1)
    assert cells == count


def test_right_pitches_are_the_diagonal_and_octaves_lie_off_it(tmp_path: Path) -> None:
    labels = np.repeat(PITCHES, 3)
    pitch_confusion(tmp_path / "right.png", labels, labels, PITCHES)
    off = np.where(labels <= 54, labels + 12, labels - 12)
    pitch_confusion(tmp_path / "octaves.png", labels, off, PITCHES)
    yellow = [
        near(pixels(tmp_path / f"{name}.png"), (253, 231, 37)) for name in ("right", "octaves")
    ]
    right, octaves = (mask[:, :1400] for mask in yellow)  # without the scale of colours
    down, along = np.nonzero(right)
    assert np.polyfit(along, down, 1)[0] == pytest.approx(-1, abs=0.02)
    assert not (right & octaves).any()
    assert octaves.sum() == pytest.approx(right.sum(), rel=0.05)
    low, high = (np.nonzero(mask[down.min() + 800 :])[1].mean() for mask in (right, octaves))
    pitch = np.ptp(along) / len(PITCHES)
    assert high - low == pytest.approx(12 * pitch, abs=pitch / 2)


def test_cells_that_differ_are_orange_and_others_blue(tmp_path: Path) -> None:
    counts = np.array([50, 30, 20, 10])
    for name, different in (("same", [0, 0, 0, 0]), ("other", [1, 1, 1, 1])):
        ndb_bins(
            tmp_path / f"{name}.png", counts, {"model": counts}, {"model": np.array(different) > 0}
        )
    same, other = pixels(tmp_path / "same.png"), pixels(tmp_path / "other.png")
    assert (near(same, ORANGE).sum(), near(other, BLUE).sum()) == (0, 0)
    assert min(near(same, BLUE).sum(), near(other, ORANGE).sum()) > 20_000


def test_cells_are_sorted_by_the_reference(tmp_path: Path) -> None:
    reference, counts = np.array([1, 100, 10]), np.array([0, 100, 0])
    ndb_bins(tmp_path / "a.png", reference, {"m": counts}, {"m": np.zeros(3, bool)})
    along = np.nonzero(near(pixels(tmp_path / "a.png"), BLUE))[1]
    assert along.max() < 650  # the fullest bin comes first


DRAW: dict[str, Callable[..., None]] = {
    "grid": partial(
        rainbowgram_grid, columns=[("a", [tone(60)])], row_labels=["C4"], sample_rate=RATE
    ),
    "strip": partial(interpolation_strip, waves=[tone(60)] * 2, sample_rate=RATE),
    "confusion": partial(pitch_confusion, labels=[60], predictions=[60], pitches=PITCHES),
    "bins": partial(
        ndb_bins, reference_counts=[1, 2], counts={"a": [1, 2]}, different={"a": [False, False]}
    ),
}


@pytest.mark.parametrize("name", DRAW)
def test_pictures_are_kept_and_names_checked(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "a.png").write_text("precious")
    with pytest.raises(OutputError, match="exists already; use --force / overwrite=True"):
        DRAW[name](tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a.jpg': a picture is a PNG file; end the name in"):
        DRAW[name](tmp_path / "a.jpg")
    assert (tmp_path / "a.png").read_text() == "precious"
    DRAW[name](tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grid", {"row_labels": ["a", "b"]}, r"^columns: 'a': 1 waves for 2 rows; give one each"),
        ("grid", {"columns": []}, r"^columns=0 notes: there is nothing to draw"),
        ("strip", {"waves": [tone(60)]}, r"^waves=1 notes: a path has two ends; give two notes"),
        ("confusion", {"predictions": [60, 61]}, r"^labels of shape \[1\], predictions of \[2\]: "),
        ("confusion", {"labels": [], "predictions": []}, r"one pitch for each note, and not empty"),
        ("confusion", {"predictions": [85]}, r"^predictions: 85: isn't one of pitches; list all"),
        ("bins", {"counts": {"a": [1, 2, 3]}}, r"^a: counts of shape \[3\], 6 notes: must be one"),
        ("bins", {"counts": {"a": [0, 0]}}, r"^a: .* each of 2 bins, and not all 0\.$"),
        ("bins", {"counts": {}}, r"^counts=0 rows: there is nothing to draw"),
        ("bins", {"different": {}}, r"^different: 'a': must say for each of 2 bins"),
        ("bins", {"different": {"a": [True]}}, r"^different: 'a': must say for each of 2 bins"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match=message):
        DRAW[name](tmp_path / "a.png", **options)
    assert list(tmp_path.iterdir()) == []
