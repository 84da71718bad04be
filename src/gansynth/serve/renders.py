"""The two long jobs: a MIDI file with the page's instruments, and an instrument as SFZ."""

from __future__ import annotations

import itertools
import shutil
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.files import write_audio
from gansynth.export.folder import export_instrument, safe_stem
from gansynth.export.samples import choose_velocities
from gansynth.model.synth import Synth
from gansynth.performance.instrument import Instrument
from gansynth.performance.midi import Score
from gansynth.performance.perform import render
from gansynth.performance.plan import make_plan
from gansynth.serve.jobs import Download, Progress
from gansynth.serve.worker import Rank, Worker, each_in_turn

# Bytes of a download's name, and what none may hold.
LONGEST_STEM = 120
_FORBIDDEN = frozenset('<>:"/\\|?*')


class SharedSynth:
    """A synth whose every note waits for its turn; stands in for a `Synth` in a performance."""

    def __init__(self, synth: Synth, worker: Worker, progress: Progress, total: int) -> None:
        self._synth, self._worker, self._progress, self._total = synth, worker, progress, total
        self._made = itertools.count(1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._synth, name)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[NDArray[np.float32]]:
        """As `Synth.stream`."""
        notes, progress = self._synth.stream(*args, **kwargs), self._progress
        waves = each_in_turn(self._worker, Rank.PIECE, notes, progress.stopped, progress.client)
        for wave in waves:
            yield wave
            progress.tell(min(1.0, next(self._made) / self._total))


def download_stem(name: str) -> str:
    """A file's name without its extension, from any words: all letters stay that files may have.

    What Windows, macOS or Linux forbid in names becomes an underscore.
    """
    plain = unicodedata.normalize("NFC", name)
    kept = "".join(
        letter if letter.isprintable() and letter not in _FORBIDDEN else "_" for letter in plain
    )
    stem = kept.encode()[:LONGEST_STEM].decode(errors="ignore").strip(" .")
    # What such systems reserve, the exporter's rule knows.
    reserved = stem.isascii() and safe_stem(stem) == f"{stem.lower()}-1"
    return f"{stem}-1" if reserved else stem or "clip"


@dataclass(frozen=True)
class Piece:
    """A MIDI file to be played.

    Attributes
    ----------
    score : Score
    stem : str
        Of the files' names.
    latents : float32 [instruments, latent_size]
    arrangement : str
        One of `performance.choices.ARRANGEMENTS`; instruments are repeated where a piece has
        more tracks.
    times : list of float, or None
        Seconds at which each of the latents is heard unblended ("spaced"); None spaces them evenly.
    """

    score: Score
    stem: str
    latents: NDArray[np.float32]
    arrangement: str
    times: list[float] | None = None


def render_piece(
    piece: Piece, synth: Synth, worker: Worker, folder: Path, progress: Progress
) -> tuple[list[Download], dict[str, Any]]:
    """A job: the piece as WAV and as FLAC."""
    latents = piece.latents
    if piece.arrangement == "per-track":
        parts = {(note.track, note.channel, note.program) for note in piece.score.notes}
        repeats = -(-len(parts) // len(latents))
        latents = np.tile(latents, (repeats, 1))
    shared = SharedSynth(synth, worker, progress, len(piece.score.notes))
    plan = make_plan(
        piece.score,
        cast(Synth, shared),
        arrangement=piece.arrangement,
        latents=latents,
        times=piece.times,
    )
    files = [
        Download(folder / f"clip{extension}", f"{piece.stem}{extension}")
        for extension in (".wav", ".flac")
    ]
    with render(plan, cast(Synth, shared)) as clip:
        for file in files:
            write_audio(file.path, _wanted(clip.blocks(), progress), synth.sample_rate)
        seconds = clip.samples / synth.sample_rate
    summary = "; ".join([plan.summary(), *piece.score.warnings])
    return files, {"seconds": seconds, "summary": summary}


def _wanted(
    blocks: Iterator[NDArray[np.float32]], progress: Progress
) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        progress.tell(progress.share)
        yield block


def render_sfz(
    instrument: Instrument, synth: Synth, worker: Worker, folder: Path, progress: Progress
) -> tuple[list[Download], dict[str, Any]]:
    """A job: the instrument for samplers, as one zip."""
    notes = len(synth.pitches) * len(choose_velocities(synth))
    shared = SharedSynth(synth, worker, progress, notes)
    stem = safe_stem(instrument.name)
    exported = export_instrument(cast(Synth, shared), instrument, folder / stem)
    path = folder / "samples.zip"
    # FLAC doesn't get smaller.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for place in sorted(exported.folder.iterdir()):
            progress.tell(progress.share)
            archive.write(place, f"{stem}/{place.name}")
    shutil.rmtree(exported.folder)
    file = Download(path, f"{download_stem(instrument.name)}.zip")
    return [file], {"summary": f"{len(exported.samples)} samples, {exported.bytes / 1e6:.1f} MB"}
