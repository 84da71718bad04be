"""An evaluation as one HTML page that needs nothing else: numbers, sounds and pictures inside it.

The page asks no other host for anything, and its own policy forbids it to. It is light or dark as
the reader's system is, and narrow on a phone.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.files import check_rate
from gansynth.errors import InputError
from gansynth.evaluation.report.document import Report
from gansynth.evaluation.report.measures import ARROWS, LEGEND
from gansynth.files import PathLike, write_text
from gansynth.pcm import FULL_SCALE
from gansynth.pitches import pitch_name

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f26; --soft: #5a6170; --line: #d9dce3;
  --paper: #fff; --band: #f3f4f7; --mark: #0a63a8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6eb; --soft: #9ba1ae; --line: #31343d;
  --paper: #0f1115; --band: #191c22; --mark: #6fc1f2 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; color: var(--ink);
  background: var(--paper); font: 16px/1.45 system-ui, sans-serif }
h1 { font-size: 1.5rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p, li { max-width: 48rem } .soft { color: var(--soft); font-size: .85rem }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
.wide table { table-layout: fixed; min-width: calc(var(--first) + var(--rows) * var(--each)) }
.wide thead th:first-child { width: var(--first) }
.numbers { --first: 15rem; --each: 8rem } .sounds { --first: 5rem; --each: 13rem }
th, td { padding: .3rem .5rem; text-align: left; vertical-align: top }
th { font-weight: 600 } thead th { border-bottom: 1px solid var(--line) }
.numbers td, .numbers thead th { text-align: right; font-variant-numeric: tabular-nums }
.numbers .name td { white-space: nowrap } thead th { overflow-wrap: anywhere }
.numbers thead .soft { display: block; font-weight: 400 }
.numbers tbody > tr:first-child th { background: var(--band); font-size: .85rem; color: var(--soft);
  text-transform: uppercase; letter-spacing: .05em }
.numbers .name th { font-weight: 400; padding-bottom: 0 } .numbers .name td { padding-bottom: 0 }
.numbers .name b { color: var(--mark); font-weight: 600 }
.numbers .why td { text-align: left; padding-top: 0; padding-bottom: .55rem }
.numbers .why span { display: block; position: sticky; left: 0; width: fit-content;
  max-width: min(44rem, calc(100vw - 2rem)) }
.sounds tbody tr { border-bottom: 1px solid var(--line) }
.sounds th small { display: block; font-weight: 400; color: var(--soft) }
.sounds .row { display: none }
audio { display: block; width: 100%; max-width: 20rem; height: 2.2rem }
figure { margin: 0 0 .4rem } figcaption { font-size: .8rem; color: var(--soft) }
.path { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .5rem }
img { display: block; max-width: 100%; height: auto; border-radius: .3rem }
.facts th { font-weight: 400; color: var(--soft); width: 14rem }
.facts td { overflow-wrap: anywhere }
details { margin-top: 2.2rem } summary { cursor: pointer; font-weight: 600 }
@media (max-width: 44rem) {
  body { padding: .7rem } .numbers { font-size: .85rem; --first: 6.5rem; --each: 4.9rem }
  .numbers th, .numbers td { padding-left: .25rem; padding-right: .25rem }
  .numbers .name td .soft { display: block }
  .wide .sounds { min-width: 0 } .sounds thead { display: none }
  .sounds tr, .sounds td, .sounds th { display: block }
  .sounds td:empty { display: none } .sounds .row { display: block } audio { max-width: none }
}
"""

# Two notes at once can't be compared: a sound that begins stops the others.
_SCRIPT = """
document.addEventListener("play", (event) => {
  for (const sound of document.querySelectorAll("audio")) {
    if (sound !== event.target) sound.pause();
  }
}, true);
"""


@dataclass(frozen=True)
class Clip:
    """A note to listen to.

    Attributes
    ----------
    title : str
        What it is, such as an instrument's name.
    row : str
        The name of the report's row that it belongs to.
    pitch : int
        MIDI.
    wave : float array [samples]
        Full scale 1. What lies beyond is cut off, and what isn't finite is silent.
    sample_rate : int or None
        Hz; None is the page's.
    """

    title: str
    row: str
    pitch: int
    wave: NDArray[np.floating]
    sample_rate: int | None = None


def write_page(
    path: PathLike,
    report: Report,
    pictures: Mapping[str, Path],
    sounds: Sequence[Clip],
    sample_rate: int,
    *,
    path_sounds: Sequence[Clip] = (),
    overwrite: bool = False,
) -> None:
    """Write the page.

    A sound is 16-bit FLAC, a third larger for being text: for 4 s at 16 kHz some 60 kB as a rule
    and 170 kB for noise, so that 60 of them weigh 4 to 10 MB. Pictures weigh a third more than
    their files.

    Parameters
    ----------
    path : an HTML file
    report : Report
    pictures : dict of caption to PNG file
    sounds : sequence of Clip
        Laid out with a line for each pitch and a column for each row.
    sample_rate : int
        Hz; of sounds that don't say their own.
    path_sounds : sequence of Clip
        Notes on the way between two latents, in order.

    Raises
    ------
    InputError
        If a sound isn't one wave, the rate is out of range, or a picture can't be read.
    OutputError
        If the file exists (unless `overwrite`) or can't be written.
    """
    check_rate("sample_rate", sample_rate)
    body = [f"<h1>{escape(report.title())}</h1>", _remarks(report), _numbers(report)]
    if sounds:
        body += ["<h2>Listen</h2>", _sound_grid(report, sounds, sample_rate)]
    if path_sounds:
        players = "".join(_player(sound, sample_rate) for sound in path_sounds)
        body += ["<h2>From one latent to another</h2>", f'<div class="path">{players}</div>']
    body += [_picture(caption, picture) for caption, picture in pictures.items()]
    write_text(path, _document(report.title(), [*body, _facts(report)]), overwrite=overwrite)


def _document(title: str, body: Sequence[str]) -> str:
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        *body,
        f"<script>{_SCRIPT}</script>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _remarks(report: Report) -> str:
    items = "".join(f"<li>{escape(remark)}" for remark in report.remarks)
    return f"<ul>{items}</ul>" if items else ""


def _numbers(report: Report) -> str:
    """The table: each measure has a line of numbers and a line that explains it."""
    names = "".join(
        f'<th scope="col">{escape(row.name)}<span class="soft">{escape(row.size())} notes</span>'
        for row in report.rows
    )
    span = len(report.rows) + 1
    lines = [f'<thead><tr><th scope="col">{names}</thead>']
    for group, measures in report.groups():
        lines.append(f'<tbody><tr><th colspan="{span}" scope="rowgroup">{escape(group)}')
        for measure in measures:
            unit = f'&nbsp;<span class="soft">{measure.unit}</span>' if measure.unit else ""
            name = f"{escape(measure.title)}{unit}&nbsp;<b>{ARROWS[measure.better]}</b>"
            cells = "".join(
                f'<td>{mean} <span class="soft">{spread}</span>'
                for mean, spread in (row.cell(measure) for row in report.rows)
            )
            why = f'<td colspan="{span}"><span class="soft">{escape(measure.explanation)}</span>'
            lines.append(f'<tr class="name"><th scope="row">{name}{cells}<tr class="why">{why}')
        lines.append("</tbody>")
    table = "\n".join(lines)
    return (
        f'<div class="wide"><table class="numbers" style="--rows: {span - 1}">{table}</table></div>'
        f'<p class="soft">{escape(LEGEND)}</p>'
    )


def _sound_grid(report: Report, sounds: Sequence[Clip], sample_rate: int) -> str:
    """Pitches down, the report's rows across; rows that the report doesn't have come last."""
    known = [row.name for row in report.rows]
    heard = dict.fromkeys(sound.row for sound in sounds)
    columns = [name for name in known if name in heard]
    columns += [name for name in heard if name not in known]
    head = "".join(f'<th scope="col">{escape(name)}' for name in columns)
    lines = [f'<thead><tr><th scope="col">pitch{head}</thead><tbody>']
    for pitch in sorted({sound.pitch for sound in sounds}):
        cells = []
        for name in columns:
            players = [
                _player(sound, sample_rate)
                for sound in sounds
                if (sound.row, sound.pitch) == (name, pitch)
            ]
            label = f'<span class="row">{escape(name)}</span>' if players else ""
            cells.append(f"<td>{label}{''.join(players)}</td>")
        note = f"{pitch_name(pitch)}<small>MIDI {pitch}</small>"
        lines.append(f'<tr><th scope="row">{note}{"".join(cells)}')
    table = f'<table class="sounds" style="--rows: {len(columns)}">{"".join(lines)}</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _player(sound: Clip, sample_rate: int) -> str:
    data = base64.b64encode(_flac(sound.wave, sound.sample_rate or sample_rate)).decode()
    label = escape(f"{sound.title}, {sound.row}, MIDI {sound.pitch}")
    return (
        f'<figure><audio controls preload="metadata" aria-label="{label}" '
        f'src="data:audio/flac;base64,{data}"></audio>'
        f"<figcaption>{escape(sound.title)}</figcaption></figure>"
    )


def _flac(wave: NDArray[np.floating], sample_rate: int) -> bytes:
    """A wave [samples] as a 16-bit FLAC file."""
    import soundfile

    if np.ndim(wave) != 1 or not len(wave):
        raise InputError(f"wave of shape {list(np.shape(wave))}: must be one note [samples].")
    clean = np.clip(np.nan_to_num(wave, nan=0.0, posinf=0.0, neginf=0.0), -1, 1)
    steps = np.minimum(np.rint(clean * FULL_SCALE), FULL_SCALE - 1).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, steps, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _picture(caption: str, path: Path) -> str:
    try:
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise InputError(
            f"picture={str(path)!r}: can't be read ({error.strerror}); draw it first."
        ) from None
    text = escape(caption)
    return f'<h2>{text}</h2><img alt="{text}" src="data:image/png;base64,{data}">'


def _facts(report: Report) -> str:
    """Settings, environment and times, folded."""
    tables = []
    for heading, facts in report.facts().items():
        lines = "".join(
            f'<tr><th scope="row">{escape(name)}<td>{escape(text)}' for name, text in facts.items()
        )
        tables.append(f'<h2>{escape(heading)}</h2><table class="facts">{lines}</table>')
    if not tables:
        return ""
    return f"<details><summary>How this was made</summary>{''.join(tables)}</details>"
