"""Training the pitch classifier: that it learns, goes on where it stopped, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gansynth.data.store import NoteRecord, PreparedNotes, open_notes
from gansynth.data.writer import NotesWriter
from gansynth.errors import InputError, ModelError, OutputError
from gansynth.evaluation.listeners import train_classifier as module
from gansynth.evaluation.listeners.classifier import load_classifier
from gansynth.evaluation.listeners.degraded import degraded
from gansynth.evaluation.listeners.train_classifier import measure_accuracy, train_classifier
from training_data import write_notes

PITCHES = (50, 55, 62, 67)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> PreparedNotes:
    """Four pitches of five instruments and one held out; half a second each."""
    folder = tmp_path_factory.mktemp("notes") / "notes"
    return open_notes(write_notes(folder, pitches=PITCHES, sample_rate=4000, samples=2000))


def some_notes(folder: Path, *instruments: tuple[str, str, tuple[int, ...]]) -> PreparedNotes:
    """Notes of instruments given as name, split and pitches."""
    with NotesWriter(folder, sample_rate=4000, samples=2000) as writer:
        for name, split, pitches in instruments:
            for pitch in pitches:
                record = NoteRecord(
                    pitch=pitch, velocity=100, instrument=name, family="keyboard",
                    source="acoustic", group=name, split=split, origin=f"{name}:{pitch}",
                )  # fmt: skip
                writer.add(record, np.full(2000, pitch, np.int16))
        writer.publish({})
    return open_notes(folder)


def train(notes: PreparedNotes, output: Path, **options: Any) -> dict[str, Any] | None:
    """Train for three epochs, on the CPU."""
    return train_classifier(notes, output, **{"epochs": 3, "device": "cpu", **options})


def state_of(output: Path) -> Path:
    return output.with_name(output.name + ".training")


# Learning


def test_learns_pitches_of_an_instrument_not_heard_before(
    notes: PreparedNotes, tmp_path: Path
) -> None:
    """All four of them, after 30 batches."""
    record = train(notes, tmp_path / "c.safetensors", epochs=30)
    assert record is not None
    assert record["held_out"]["accuracy"] == 1.0


def test_record_says_what_it_was_trained_on(notes: PreparedNotes, tmp_path: Path) -> None:
    """And is in the file; the held-out instrument has no other to be compared with."""
    record = train(notes, tmp_path / "c.safetensors", seed=3)
    classifier = load_classifier(tmp_path / "c.safetensors")
    assert record == classifier.record
    chosen = {name: record[name] for name in ("data", "notes", "instruments", "epochs", "seed")}
    assert chosen == {"data": "notes", "notes": 20, "instruments": 5, "epochs": 3, "seed": 3}
    assert record["held_out"]["notes"] == 4
    assert record["held_out"]["timbre"] is None
    assert measure_accuracy(classifier, notes, notes.rows("test")) == record["held_out"]
    assert classifier.config.pitches == PITCHES
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def test_measure_compares_octaves_of_instruments(notes: PreparedNotes, tmp_path: Path) -> None:
    """A probability where several instruments have octaves; the lowest octave on its own."""
    train(notes, tmp_path / "c.safetensors")
    found = measure_accuracy(
        load_classifier(tmp_path / "c.safetensors"), notes, notes.rows("train")
    )
    assert found["notes"] == 20
    assert 0 <= found["timbre"] <= 1
    assert 0 <= found["lowest_octave_accuracy"] <= 1


def test_same_seed_same_file(notes: PreparedNotes, tmp_path: Path) -> None:
    """And another one from another seed."""
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        train(notes, tmp_path / name, seed=seed)
    one, same, other = ((tmp_path / name).read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert (
        load_classifier(tmp_path / "other").digest() != load_classifier(tmp_path / "one").digest()
    )
    assert len(other) == len(one)


# Going on


def test_goes_on_after_its_minutes_as_if_it_had_not_stopped(
    notes: PreparedNotes, tmp_path: Path
) -> None:
    """One epoch a call; the same file in the end, and nothing beside it."""
    train(notes, tmp_path / "whole")
    output = tmp_path / "pieces"
    for _ in range(2):
        assert train(notes, output, minutes=1e-6) is None
        assert state_of(output).exists()
        assert not output.exists()
    assert train(notes, output, minutes=1e-6) is not None
    assert output.read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pieces", "whole"]


def test_interrupted_in_an_epoch_it_goes_on_from_the_last_one(
    notes: PreparedNotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the second epoch leaves the first one's state, and the same end."""
    train(notes, tmp_path / "whole")
    output = tmp_path / "pieces"
    calls = []

    def interrupted(*args: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return degraded(*args)

    monkeypatch.setattr(module, "degraded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(notes, output)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pieces.training", "whole"]
    train(notes, output)
    assert output.read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize(
    ("options", "text"),
    [({"seed": 1}, "seed=1: state="), ({"epochs": 4}, "epochs=4: state=")],
)
def test_state_of_other_options_is_refused(
    notes: PreparedNotes, tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    """It is named, and kept."""
    output = tmp_path / "c"
    train(notes, output, minutes=1e-6)
    before = state_of(output).read_bytes()
    with pytest.raises(InputError) as caught:
        train(notes, output, **options)
    assert str(caught.value).startswith(f"{text}{str(state_of(output))!r} was begun with ")
    assert "give the same notes and options to go on, or remove it" in str(caught.value)
    assert state_of(output).read_bytes() == before


def test_state_of_other_notes_is_refused(notes: PreparedNotes, tmp_path: Path) -> None:
    """Even where only the sounds differ."""
    train(notes, tmp_path / "c", minutes=1e-6)
    folder = write_notes(
        tmp_path / "notes", pitches=PITCHES, sample_rate=4000, samples=2000, seed=1
    )
    with pytest.raises(InputError, match=r"data_sha256=.* was begun with"):
        train(open_notes(folder), tmp_path / "c")


def test_damaged_state_is_refused(notes: PreparedNotes, tmp_path: Path) -> None:
    """Cut short, of something else, or without some of its tensors."""
    output = tmp_path / "c"
    train(notes, output, minutes=1e-6)
    state = state_of(output)
    whole = state.read_bytes()
    state.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=r"is cut short; remove it to begin again\."):
        train(notes, output)
    train(notes, tmp_path / "other")
    state.write_bytes((tmp_path / "other").read_bytes())
    with pytest.raises(ModelError, match="not a training's state; remove it to begin again"):
        train(notes, output)
    state.write_bytes(whole)
    with safe_open(state, framework="pt") as file:
        metadata = file.metadata()
    save_file({"weights.kinds": torch.zeros(1)}, state, metadata)
    with pytest.raises(ModelError, match=r"is damaged \(.*; remove it to begin again"):
        train(notes, output)


# Refusals


def test_existing_output_is_refused_before_anything_is_done(
    notes: PreparedNotes, tmp_path: Path
) -> None:
    """Unless it may be overwritten."""
    output = tmp_path / "c"
    output.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        train(notes, output)
    assert output.read_bytes() == b"mine"
    assert not state_of(output).exists()
    train(notes, output, overwrite=True)
    assert load_classifier(output).config.pitches == PITCHES


@pytest.mark.parametrize(
    ("instruments", "text"),
    [
        (
            [("a", "train", (60, 62)), ("b", "train", (60,))],
            "has no held-out notes to measure on; build it with --split group --test-share 0.2.",
        ),
        (
            [("a", "train", (60,)), ("b", "train", (60,)), ("c", "test", (60, 62))],
            "has 1 pitches to train on; a pitch classifier needs two.",
        ),
        (
            [("a", "train", (60, 62)), ("c", "test", (60, 62))],
            "has one instrument to train on, 'a'; telling timbres apart takes two or more",
        ),
        ([("c", "test", (60, 62))], "has 0 pitches to train on"),
    ],
)
def test_notes_that_lack_something_are_refused(
    tmp_path: Path, instruments: list[Any], text: str
) -> None:
    """With the folder and what is missing."""
    lacking = some_notes(tmp_path / "notes", *instruments)
    with pytest.raises(InputError) as caught:
        train(lacking, tmp_path / "c")
    assert str(caught.value).startswith(f"data={str(lacking.path)!r}: ")
    assert text in str(caught.value)


def test_short_notes_are_refused(small_notes: Path, tmp_path: Path) -> None:
    """Notes of 80 ms have no pitch to speak of."""
    with pytest.raises(InputError, match=r"samples=320: .* 0.25 s or more"):
        train(open_notes(small_notes), tmp_path / "c")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epochs": 0}, "epochs=0: must be a whole number of 1 or more."),
        ({"seed": -1}, "seed=-1: must be a whole number of 0 or more."),
        ({"minutes": 0}, "minutes=0: must be more than 0, or None for no limit."),
        ({"device": "abacus"}, "device='abacus': there is no such device"),
    ],
)
def test_impossible_options_are_refused(
    notes: PreparedNotes, tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    """With the value and the rule."""
    with pytest.raises(InputError) as caught:
        train(notes, tmp_path / "c", **options)
    assert text in str(caught.value)


# Degradations


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_degraded_maps_are_maps_again() -> None:
    """From 0 to 1, as many bins, frames or fewer; another draw is another map."""
    maps = torch.rand(8, 16, 100, generator=generator(0)).half()
    for seed in range(20):
        found = degraded(maps, generator(seed))
        assert found.shape[0] == 8
        assert 3 <= found.shape[1] <= 16
        assert found.shape[2] == 100
        assert float(found.min()) >= 0
        torch.testing.assert_close(found.amax((1, 2)), torch.ones(8))
        assert torch.equal(found, degraded(maps, generator(seed)))
    assert not torch.equal(degraded(maps, generator(22)), degraded(maps, generator(23)))


def test_degraded_notes_keep_their_pitch() -> None:
    """The loudest line stays where it was, in all but a few notes."""
    lines = torch.arange(10, 90, 10)
    maps = torch.zeros(len(lines), 16, 100)
    maps[torch.arange(len(lines)), :, lines] = 1
    same = [degraded(maps, generator(seed)).mean(1).argmax(1) == lines for seed in range(30)]
    assert float(torch.stack(same).float().mean()) > 0.95


def test_silence_can_be_degraded() -> None:
    """What has no loudest band stays finite."""
    found = degraded(torch.zeros(4, 16, 100), generator(0))
    assert torch.isfinite(found).all()
