"""A report's folder: all its files appear together, or none does.

report.json       everything, to be read by programs
report.md         the table, the settings and what each number means
report.html       the same with pictures and sounds inside
NAME.png          the pictures
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gansynth.errors import InputError
from gansynth.evaluation.report.document import Report
from gansynth.evaluation.report.json_format import report_to_json
from gansynth.evaluation.report.page import Clip, write_page
from gansynth.evaluation.report.text import to_markdown
from gansynth.files import PathLike, as_path, check_entries, staged_folder, write_text

JSON, MARKDOWN, PAGE = "report.json", "report.md", "report.html"


@dataclass(frozen=True)
class Picture:
    """A picture to draw.

    Attributes
    ----------
    name : str
        File name without its ending: letters, digits, "-" and "_".
    caption : str
    draw : function of a path
        Writes the PNG file.
    """

    name: str
    caption: str
    draw: Callable[[Path], None]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise InputError(f"name={self.name!r}: must be letters, digits, '-' and '_' only.")


def check_report(folder: PathLike, names: Sequence[str] = (), *, overwrite: bool = False) -> None:
    """Refuse a folder that a report can't be written to; creates nothing.

    `names` are those of the pictures. Raises `OutputError` if the folder can't be made or written,
    is a file, or has one of the files already (unless `overwrite`).
    """
    files = (JSON, MARKDOWN, PAGE, *(f"{name}.png" for name in names))
    check_entries(as_path(folder), files, overwrite=overwrite)


def write_report(
    folder: PathLike,
    report: Report,
    *,
    pictures: Sequence[Picture] = (),
    sounds: Sequence[Clip] = (),
    path_sounds: Sequence[Clip] = (),
    sample_rate: int,
    overwrite: bool = False,
) -> None:
    """Write report.json, report.md, report.html and the pictures, all together or none.

    `sounds` and `path_sounds` are for the page: see `page.write_page`. The folder is made if it is
    missing. Raises `OutputError` as `check_report` does and for failed writes; what a picture's
    `draw` raises comes through, and leaves nothing behind.
    """
    check_report(folder, [picture.name for picture in pictures], overwrite=overwrite)
    with staged_folder(folder, name="report", overwrite=overwrite) as stage:
        write_text(stage / JSON, report_to_json(report))
        captions = {f"{picture.name}.png": picture.caption for picture in pictures}
        write_text(stage / MARKDOWN, to_markdown(report, captions))
        for picture in pictures:
            picture.draw(stage / f"{picture.name}.png")
        drawn = {picture.caption: stage / f"{picture.name}.png" for picture in pictures}
        write_page(stage / PAGE, report, drawn, sounds, sample_rate, path_sounds=path_sounds)
