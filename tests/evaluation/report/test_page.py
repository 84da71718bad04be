"""The page: one file with everything in it, that a browser opens and plays."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from gansynth.errors import InputError, OutputError
from gansynth.evaluation.report.document import Report, Row
from gansynth.evaluation.report.measures import MEASURES
from gansynth.evaluation.report.page import Clip, write_page

RATE = 16_000
REAL, MODEL = "held-out notes", "runs/a-long-name/model.safetensors"

# What a browser makes of the page, written into it.
PROBE = """
const problems = [];
addEventListener("error", (event) => problems.push(String(event.message || event.target)), true);
addEventListener("securitypolicyviolation", (event) => problems.push(event.violatedDirective));
addEventListener("load", async () => {
  const sounds = [...document.querySelectorAll("audio")];
  await Promise.all(sounds.map((sound) => sound.readyState || new Promise((done) => {
    sound.onloadedmetadata = sound.onerror = done;
  })));
  const found = document.body.appendChild(document.createElement("pre"));
  found.id = "found";
  found.textContent = JSON.stringify({
    problems, durations: sounds.map((sound) => sound.duration),
    pictures: [...document.images].map((image) => image.naturalWidth),
    beyond: document.documentElement.scrollWidth - innerWidth,
  });
});
"""


def tone(pitch: int, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time)).astype(np.float32)


def a_report(*names: str, **changes: Any) -> Report:
    rows = [Row(REAL, "real", 868, (), {measure.key: (0.5,) for measure in MEASURES})]
    for name in names or (MODEL,):
        values = {measure.key: (0.25, 0.5, 0.75) for measure in MEASURES}
        rows.append(Row(name, "model", 1000, (0, 1, 2), values))
    return Report(tuple(rows), **changes)


def some_sounds() -> list[Clip]:
    return [Clip("flute", row, pitch, tone(pitch)) for row in (MODEL, REAL) for pitch in (60, 36)]


def written(folder: Path, report: Report, sounds: list[Clip], **options: Any) -> str:
    write_page(folder / "a.html", report, {}, sounds, RATE, **options)
    return (folder / "a.html").read_text("utf-8")


def played(page: str) -> list[np.ndarray]:
    """The sounds of a page, decoded, as int16."""
    sounds = []
    for data in re.findall(r"data:audio/flac;base64,([^\"]*)", page):
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="int16")
        assert rate == RATE
        sounds.append(wave)
    return sounds


class Text(HTMLParser):
    """The text of a page, and the elements in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_all_numbers_and_explains_them(tmp_path: Path) -> None:
    report = a_report(remarks=("868 notes were judged.",), settings={"seeds": [0, 1, 2]})
    text = Text(written(tmp_path, report, [])).text
    for measure in MEASURES:
        assert measure.title in text
        assert measure.explanation in text
    assert "868 notes were judged." in text
    assert "0, 1, 2" in text
    assert text.count("± 25.0") == sum(measure.unit == "%" for measure in MEASURES)


def test_the_page_needs_no_other_host(tmp_path: Path) -> None:
    page = Text(written(tmp_path, a_report(), some_sounds()))
    addresses = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action")
    ]
    assert len(addresses) > 4
    assert [address[:40] for address in addresses if not str(address).startswith("data:")] == []
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a)
    assert str(policy).startswith("default-src 'none'; img-src data:; media-src data:;")


def test_sounds_are_laid_out_by_pitch_and_row(tmp_path: Path) -> None:
    page = written(tmp_path, a_report(), some_sounds())
    labels = [attributes["aria-label"] for tag, attributes in Text(page).tags if tag == "audio"]
    assert labels == [f"flute, {row}, MIDI {pitch}" for pitch in (36, 60) for row in (REAL, MODEL)]
    assert page.index("C2<small>MIDI 36") < page.index("C4<small>MIDI 60")


def test_sounds_are_the_waves_to_the_bit(tmp_path: Path) -> None:
    wave = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 3.0, np.nan, -np.inf] * 10)
    page = written(tmp_path, a_report(), [Clip("x", MODEL, 60, wave)])
    steps = [0, 16384, -16384, 32767, -32768, 32767, 0, 0]
    np.testing.assert_array_equal(played(page), [steps * 10])


def test_a_way_between_latents_is_played_in_order(tmp_path: Path) -> None:
    way = [Clip(f"{k}/3", MODEL, 60, tone(60, 0.1 * (k + 1))) for k in range(4)]
    page = written(tmp_path, a_report(), [], path_sounds=way)
    assert [len(wave) for wave in played(page)] == [1600, 3200, 4800, 6400]


def test_text_is_never_taken_for_markup(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>\"'&"
    report = a_report(nasty, remarks=(nasty,), settings={nasty: nasty})
    sounds = [Clip(nasty, nasty, 60, tone(60, 0.1))]
    plain = Text(written(tmp_path, report, sounds))
    clean = tmp_path / "clean"
    clean.mkdir()
    sounds = [Clip("x", "m", 60, tone(60, 0.1))]
    expected = Text(written(clean, a_report("m", remarks=("r",), settings={"s": "v"}), sounds))
    assert [tag for tag, _ in plain.tags] == [tag for tag, _ in expected.tags]
    assert plain.text.count(nasty) == 9


def test_sixty_notes_of_noise_stay_under_fifteen_megabytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, 4 * RATE)
    written(tmp_path, a_report(), [Clip("noise", MODEL, 60, noise)] * 60)
    assert (tmp_path / "a.html").stat().st_size < 11_000_000


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("precious")
    with pytest.raises(OutputError, match="exists already; use --force"):
        written(tmp_path, a_report(), [])
    with pytest.raises(InputError, match=r"^wave of shape \[2, 5\]: must be one note \[samples\]"):
        written(tmp_path, a_report(), [Clip("x", MODEL, 60, np.zeros((2, 5)))], overwrite=True)
    with pytest.raises(InputError, match=r"^sample_rate=0: must be a whole number of Hz"):
        write_page(tmp_path / "b.html", a_report(), {}, [], 0)
    with pytest.raises(InputError, match=r"c.png': can't be read \(No such file .*\); draw it"):
        write_page(tmp_path / "b.html", a_report(), {"C": tmp_path / "c.png"}, [], RATE)
    assert (tmp_path / "a.html").read_text() == "precious"


# In a browser


def browse(page: Path, width: int) -> dict[str, Any]:
    """What a browser finds in a copy of the page that has `PROBE` in it."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip(f"no browser to open the page in: none of {', '.join(names)}")
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    text = page.read_text("utf-8").replace("script-src '", f"script-src 'sha256-{digest}' '", 1)
    copy = page.with_name(f"probed-{width}.html")
    copy.write_text(text.replace("<style>", f"<script>{PROBE}</script><style>", 1), "utf-8")
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--mute-audio",
            f"--user-data-dir={page.parent / 'browser'}", f"--window-size={width},900",
            "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", copy.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match is not None, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    return found


@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_opens_the_page_and_decodes_its_sounds(tmp_path: Path, width: int) -> None:
    figure = pytest.importorskip("matplotlib.image")
    figure.imsave(tmp_path / "a.png", np.zeros((20, 1600)))
    way = [Clip("way", MODEL, 60, tone(60, 0.25))]
    write_page(
        tmp_path / "a.html", a_report(remarks=("a remark",)), {"A picture": tmp_path / "a.png"},
        some_sounds(), RATE, path_sounds=way,
    )  # fmt: skip
    found = browse(tmp_path / "a.html", width)
    assert found["problems"] == []
    assert found["durations"] == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.25], abs=0.01)
    assert found["pictures"] == [1600]
    assert found["beyond"] <= 0  # nothing but tables is scrolled sideways
