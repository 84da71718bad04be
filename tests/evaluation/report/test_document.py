"""The report: numbers with their spread, tables that fit, files that come back as they went."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawing import large_examples
from evaluation_data import read_report
from gansynth.errors import InputError, OutputError
from gansynth.evaluation.report.document import Report, Row, mean_and_spread
from gansynth.evaluation.report.folder import Picture, check_report, write_report
from gansynth.evaluation.report.json_format import report_to_json
from gansynth.evaluation.report.measures import ABSENT, ARROWS, KEYS, MEASURES
from gansynth.evaluation.report.page import Clip
from gansynth.evaluation.report.text import plain, shorten, to_markdown, to_table

TIMES = "\N{MULTIPLICATION SIGN}"
BY_KEY = {measure.key: measure for measure in MEASURES}

floats = st.floats(allow_infinity=False)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, width=32) | st.text()
)
facts = st.dictionaries(
    st.text(), scalars.filter(lambda x: not (isinstance(x, float) and math.isinf(x)))
)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    seeds = draw(st.lists(st.integers(0, 99), max_size=3))
    count = st.just(1) if not seeds else st.sampled_from([1, len(seeds)])
    lists = count.flatmap(lambda n: st.lists(floats, min_size=n, max_size=n).map(tuple))
    values = draw(st.dictionaries(st.sampled_from(KEYS), lists))
    kind = draw(st.sampled_from(["real", "representation", "model", "wavs"]))
    return Row(draw(st.text()), kind, draw(st.integers(0)), tuple(seeds), values)


reports = st.builds(
    Report,
    rows=st.lists(rows(), max_size=5).map(tuple),
    settings=facts,
    environment=facts,
    seconds=st.dictionaries(st.text(), st.floats(0, 1e9)),
    remarks=st.lists(st.text(), max_size=3).map(tuple),
)


def three_rows() -> Report:
    """Held-out notes, those through the representation, and a model of three seeds."""
    values = {measure.key: (0.5,) for measure in MEASURES}
    drawn = {measure.key: (0.25, 0.5, 0.75) for measure in MEASURES}
    return Report(
        (
            Row("held-out notes", "real", 868, (), {**values, "interpolation_step": (math.nan,)}),
            Row("held-out notes through mel", "representation", 868, (), values),
            Row("runs/a-very-long-name/model.safetensors", "model", 1000, (0, 1, 2), drawn),
        ),
        settings={"model": "runs/x", "seeds": [0, 1, 2], "crepe": False},
        environment={"gansynth": "0.1.0"},
        seconds={"judges": 61.04},
        remarks=("868 notes were judged.",),
    )


def same(left: Report, right: Report) -> bool:
    """Equal, where NaN equals NaN."""
    return repr(left) == repr(right)


# Measures


def test_measures_have_keys_of_their_own_and_groups_hang_together() -> None:
    assert len(set(KEYS)) == len(MEASURES)
    groups = [measure.group for measure in MEASURES]
    assert groups == sorted(groups, key=groups.index)
    assert {measure.better for measure in MEASURES} == set(ARROWS)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("pitch_accuracy", 0.98249, "98.2"),
        ("pitch_entropy", 0.225, "0.23"),
        ("frechet_distance", 12345.678, "12,345.68"),
        ("frechet_distance", 1.5e9, "1.5e+09"),
        ("frechet_distance_infinite", -0.001, "0.00"),
        ("ndb", math.nan, ABSENT),
        ("ndb", math.inf, ABSENT),
    ],
)
def test_values_are_shown_in_their_unit(key: str, value: float, text: str) -> None:
    assert BY_KEY[key].text(value) == text


def test_the_documentation_explains_every_measure_in_the_same_words() -> None:
    text = (Path(__file__).parents[3] / "docs/evaluation.md").read_text("utf-8")
    flat = " ".join(text.split())
    missing = [m.title for m in MEASURES if m.title not in flat or m.explanation not in flat]
    assert missing == []


# Numbers


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=5))
def test_spread_is_the_standard_deviation_of_a_sample(values: list[float]) -> None:
    mean, spread = mean_and_spread(values)
    assert mean == pytest.approx(np.mean(values))
    assert spread == pytest.approx(statistics.stdev(values))


@pytest.mark.parametrize("values", [(), (math.nan,), (1.0, math.inf), (1.0, math.nan, 2.0)])
def test_what_is_not_measured_in_every_seed_has_no_mean(values: tuple[float, ...]) -> None:
    mean, spread = mean_and_spread(values)
    assert math.isnan(mean)
    assert spread is None


def test_one_seed_has_no_spread() -> None:
    assert mean_and_spread([3.5]) == (3.5, None)


# The table


def test_the_table_has_means_spreads_arrows_and_dashes() -> None:
    lines = to_table(three_rows(), 100).splitlines()
    assert lines[0].split("  ")[-1] == "runs/a-ve…fetensors"
    assert lines[1].split()[-3:] == ["1,000", TIMES, "3"]
    by_name = {line.split("   ")[0].strip(): line for line in lines}
    assert by_name["pitch accuracy"].split() == [
        "pitch", "accuracy", "%", "↑", "50.0", "50.0", "50.0", "±", "25.0",
    ]  # fmt: skip
    assert by_name["interpolation step"].split()[2:] == [
        "↓",
        ABSENT,
        "0.500",
        "0.500",
        "±",
        "0.250",
    ]
    assert by_name["magnitude step"].split()[2:4] == ["nats", "≈"]
    assert lines[-1] == "868 notes were judged."


@pytest.mark.parametrize("width", [80, 100, 120])
def test_three_rows_stand_side_by_side(width: int) -> None:
    text = to_table(three_rows(), width)
    assert text.count("pitch accuracy") == 1
    assert max(map(len, text.splitlines())) <= width


def test_rows_that_do_not_fit_follow_in_another_table() -> None:
    report = three_rows()
    text = to_table(Report(report.rows[:2] * 4), 80)
    assert text.count("pitch accuracy") == 3
    assert text.count("868") == 8


def test_measures_that_no_row_has_are_left_out() -> None:
    text = to_table(Report((Row("a", "model", 5, (0,), {"yin": (0.5,)}),)))
    assert "in tune (YIN)" in text
    assert "CREPE" not in text
    assert "sanity" not in text


@large_examples(max_examples=50)
@given(report=reports, width=st.integers(0, 130))
def test_any_report_fits_its_width(report: Report, width: int) -> None:
    text = to_table(report, width)
    assert max(map(len, text.splitlines())) <= max(width, 60)
    assert text.replace("\n", "").isprintable()
    assert "# Evaluation of" in to_markdown(report)


@given(st.text(), st.integers(1, 20))
def test_long_names_lose_their_middle(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) == min(len(text), width)
    head, found, tail = short.partition("…") if len(text) > width else (text, "", "")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert bool(found) == (len(text) > width)


def test_names_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[2Jb\n c") == "a\N{REPLACEMENT CHARACTER}[2Jb c"


# Markdown


def test_markdown_has_table_meanings_settings_and_pictures() -> None:
    report = three_rows()
    text = to_markdown(report, {"ndb.png": "Kinds of sound"})
    lines = text.splitlines()
    assert lines[0] == "# Evaluation of runs/a-very-long-name/model.safetensors"
    assert "| pitch accuracy [%] | ↑ | 50.0 | 50.0 | 50.0 ± 25.0 |" in lines
    assert f"| notes |  | 868 | 868 | 1,000 {TIMES} 3 |" in lines
    assert "![Kinds of sound](ndb.png)" in lines
    assert "- 868 notes were judged." in lines
    assert "| seeds | 0, 1, 2 |" in lines
    assert "| crepe | no |" in lines
    assert "| judges | 61.0 s |" in lines
    for measure in MEASURES:
        assert f"- **{measure.title}**: {measure.explanation}" in lines
    bars = {line.count("|") for line in lines[2:6]}
    assert bars == {6}


def test_names_cannot_break_the_markdown() -> None:
    text = to_markdown(Report((Row("a|b <i> `c`\n*d*", "model", 1, (), {"yin": (1.0,)}),)))
    assert text.splitlines()[2] == r"|  |  | a\|b \<i\> \`c\` \*d\* |"


# JSON


@large_examples(max_examples=100)
@given(reports)
def test_json_comes_back_as_it_went(report: Report) -> None:
    text = report_to_json(report)
    assert same(read_report(text), report)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} isn't JSON"))


def test_not_a_number_is_null_in_json() -> None:
    row = Row("a", "model", 5, (0, 1), {"yin": (math.nan, 0.5), "ndb": (math.inf,)})
    text = report_to_json(Report((row,)))
    assert json.loads(text)["rows"][0]["values"] == {"yin": [None, 0.5], "ndb": [None]}
    back = read_report(text).rows[0].values
    assert math.isnan(back["yin"][0])
    assert math.isnan(back["ndb"][0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "band"}, r"^kind='band': must be one of real, representation"),
        ({"values": {"tempo": (1.0,)}}, r"^values: 'tempo': there is no such"),
        (
            {"values": {"yin": (1.0, 2.0)}},
            r"^values: 'yin': 2 numbers for 0 seeds; give one for each seed, or a single one\.$",
        ),
    ],
)
def test_rows_that_break_a_rule_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Row(**{"name": "a", "kind": "real", "notes": 5, **changes})


@pytest.mark.parametrize("value", [math.nan, {1, 2}, np.float32(1)])
def test_settings_that_json_cannot_hold_are_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"^report: JSON can't hold it \(.*\); use plain, finite"):
        report_to_json(Report((), settings={"a": value}))


# On disk


def draw(path: Path) -> None:
    """The smallest PNG file, as far as its reader looks."""
    path.write_bytes(b"\x89PNG\r\n\x1a\n")


def test_a_report_is_written_with_its_page_and_pictures(tmp_path: Path) -> None:
    report = three_rows()
    sound = Clip("flute", "held-out notes", 60, np.zeros(100, np.float32))
    folder = tmp_path / "new" / "report"
    write_report(
        folder, report, pictures=[Picture("ndb", "Kinds of sound", draw)], sounds=[sound],
        sample_rate=16000,
    )  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == [
        "ndb.png", "report.html", "report.json", "report.md",
    ]  # fmt: skip
    assert same(read_report((folder / "report.json").read_bytes()), report)
    assert (folder / "report.md").read_text("utf-8") == to_markdown(
        report, {"ndb.png": "Kinds of sound"}
    )
    page = (folder / "report.html").read_text("utf-8")
    assert page.count("data:audio/flac") == page.count("data:image/png") == 1


def test_a_report_is_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("precious")
    with pytest.raises(OutputError, match=r"report.md': exists already; use --force"):
        write_report(tmp_path, three_rows(), sample_rate=16000)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]
    assert (tmp_path / "report.md").read_text() == "precious"
    write_report(tmp_path, three_rows(), sample_rate=16000, overwrite=True)
    assert (tmp_path / "report.md").read_text("utf-8").startswith("# Evaluation")


def test_a_report_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        draw(path)
        raise InputError("wave: is broken")

    with pytest.raises(InputError, match="wave: is broken"):
        write_report(
            tmp_path / "a", three_rows(), pictures=[Picture("x", "X", fail)], sample_rate=16000
        )
    assert list(tmp_path.iterdir()) == []


def test_places_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "ndb.png").write_text("")
    check_report(tmp_path / "new" / "deep")
    check_report(tmp_path, ["other"])
    assert not (tmp_path / "new").exists()
    with pytest.raises(OutputError, match=r"ndb.png': exists already"):
        check_report(tmp_path, ["ndb"])
    check_report(tmp_path, ["ndb"], overwrite=True)
    with pytest.raises(OutputError, match=r"is a file, not a folder; choose another place"):
        check_report(tmp_path / "file")


@pytest.mark.parametrize("name", ["", "../x", "a.png", "a b"])
def test_pictures_have_plain_names(name: str) -> None:
    with pytest.raises(InputError, match=r"must be letters, digits, '-' and '_' only"):
        Picture(name, "X", draw)
