"""From sources of notes to a prepared folder.

    sources ── data.pipeline ──> waveforms on disk ──> records ──> splits ──> summary

The result is the same, byte for byte, whatever the number of threads.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from gansynth import __version__
from gansynth.data.filters import BuildOptions, Filters, default_workers
from gansynth.data.note import Note, Source
from gansynth.data.nsynth.source import open_nsynth
from gansynth.data.pipeline import Ready, ready_notes
from gansynth.data.report import Summary, Tally, summarize
from gansynth.data.sources import SourceOptions, open_sources
from gansynth.data.splits import assign_splits
from gansynth.data.store import NoteRecord
from gansynth.data.writer import NotesWriter, check_target
from gansynth.errors import InputError, OutputError
from gansynth.files import PathLike
from gansynth.progress import notes_bar

_MAX_WORKERS = 256


def prepare(
    paths: Sequence[PathLike],
    output: PathLike,
    options: BuildOptions | None = None,
    extra: SourceOptions | None = None,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
    warn: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Open the sources at `paths` and build a data set of them, as `gansynth dataset build` does.

    Raises what `open_sources` and `build_dataset` raise; `extra` is for some kinds of sources.
    """
    options = options or BuildOptions()
    check_target(output, overwrite=overwrite)
    with ExitStack() as stack:
        return build_dataset(
            open_sources(paths, options, extra, stack, warn),
            output,
            options,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
            warn=warn,
        )


def prepare_nsynth(
    path: PathLike,
    output: PathLike,
    *,
    sample_rate: int = 16_000,
    samples: int = 64_000,
    say: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Build what the original trains on: NSynth's acoustic notes of the pitches 24 to 84.

    All notes of a TFRecord go to "train". A folder of TensorFlow Datasets (or one that holds
    nsynth/gansynth_subset) keeps the splits that it came with, of which the original takes "train".
    `say` gets the report and the warnings, line by line. Raises as `prepare` does.
    """
    source = open_nsynth(path)
    if source is None:
        raise InputError(
            f"path={str(path)!r}: is not NSynth data (a TFRecord file, or a folder of TensorFlow "
            "Datasets); check the path"
        )
    options = BuildOptions(
        sample_rate=sample_rate,
        seconds=samples / sample_rate,
        source=("acoustic",),
        pad="both",
        split="published" if source.kind == "NSynth TFDS" else "none",
    )
    with closing(source):
        summary = build_dataset([source], output, options, progress=True, warn=say)
    for line in summary.lines():
        say(line)
    return summary


def build_dataset(
    sources: Sequence[Source],
    output: PathLike,
    options: BuildOptions | None = None,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
    warn: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Read all notes of `sources`, in order, and write those wanted to the folder `output`.

    Parameters
    ----------
    sources : sequence of Source
        They stay open.
    output : path
        A folder that is missing or empty; see `NotesWriter` for `overwrite`.
    options : BuildOptions
    workers : int
        Threads that read and resample, 1..256; by default one for each processor.
    progress : bool
        Show a progress bar on the error stream.
    warn : callable
        Gets lines on notes that can't be read, and on what else should be known.

    Raises
    ------
    InputError
        Nothing is left (the text names the filter), more than `max_bad` of the notes are broken,
        or the notes can't be divided as `split` says.
    OutputError
        The folder is taken, or the disk is full. Nothing is left behind then.
    """
    options = options or BuildOptions()
    workers = _checked_workers(workers)
    check_target(output, overwrite=overwrite)
    bound = _bound(sources)
    _check_room(Path(output), bound, options, warn)
    tally = Tally(options, bound, warn)
    kept: list[Note] = []
    clipped_notes = clipped_samples = 0
    with NotesWriter(
        output,
        sample_rate=options.sample_rate,
        samples=options.samples,
        overwrite=overwrite,
    ) as writer:
        with (
            notes_bar(bound, progress) as bar,
            closing(ready_notes(sources, options, workers, tally, bar)) as notes,
        ):
            for ready in notes:
                writer.add(_record(ready), ready.waveform, ready.note.facts)
                kept.append(replace(ready.note, pitch=ready.pitch, payload=None))
                clipped_notes += ready.clipped > 0
                clipped_samples += ready.clipped
        tally.finish(len(kept))
        splits = assign_splits(
            kept, options.split, test_share=options.test_share, seed=options.seed
        )
        kinds = [(source.kind, source.details) for source in sources]
        summary = summarize(writer.records, splits, tally, kinds, (clipped_notes, clipped_samples))
        summary.data["made_by"] = f"gansynth {__version__}"
        writer.publish(summary.data, splits)
    return summary


def survey_sources(
    sources: Sequence[Source],
    options: BuildOptions | None = None,
    *,
    progress: bool = False,
    warn: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Count what the filters would keep by what the sources say; no sound is read.

    Reading may drop more: silence, notes that can't be read, pitches found by listening. Raises
    `InputError` as `build_dataset` does, as far as it can be known.
    """
    options = options or BuildOptions()
    tally = Tally(options, _bound(sources), warn)
    filters, kept = Filters(options), []
    with notes_bar(tally.bound, progress) as bar:
        for source in sources:
            for chunk in source.chunks():
                for item in chunk:
                    if not isinstance(item, Note):
                        tally.leave_out(item)
                    elif verdict := filters.dropping(item, item.pitch):
                        tally.filter(item, item.pitch, verdict)
                    else:
                        tally.keep(item, item.pitch)
                        kept.append(item)
                bar.update(tally.came - bar.n)
    tally.finish(len(kept))
    splits = None
    if all(note.pitch is not None for note in kept):
        splits = assign_splits(
            kept, options.split, test_share=options.test_share, seed=options.seed
        )
    kinds = [(source.kind, source.details) for source in sources]
    return summarize(kept, splits, tally, kinds)


def _checked_workers(workers: int | None) -> int:
    if workers is None:
        return min(default_workers(), _MAX_WORKERS)
    if not 1 <= workers <= _MAX_WORKERS:
        raise InputError(f"workers={workers!r}: must be a whole number in 1..{_MAX_WORKERS}")
    return workers


def _bound(sources: Sequence[Source]) -> int | None:
    """Notes that will come at most; None where a source can't tell."""
    total = 0
    for source in sources:
        if source.count is None:
            return None
        total += source.count
    return total


def _check_room(
    output: Path, bound: int | None, options: BuildOptions, warn: Callable[[str], None]
) -> None:
    """Say beforehand when the disk may be too small; filters may still make the notes fit."""
    place = next((folder for folder in (output, *output.parents) if folder.exists()), Path())
    disk, note = shutil.disk_usage(place), 2 * options.samples
    free = disk.free
    if disk.total and free < note:  # a place that is no disk has no size
        raise OutputError(
            f"folder={str(output)!r}: the disk is full; free some space or choose another place"
        )
    if bound is not None and bound * note > free:
        warn(
            f"folder={str(output)!r}: all {bound:,} notes would need {_size(bound * note)} and "
            f"{_size(free)} are free; a full disk stops the build and leaves nothing"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _record(ready: Ready) -> NoteRecord:
    note = ready.note
    return NoteRecord(
        pitch=ready.pitch,
        velocity=note.velocity,
        instrument=note.instrument,
        family=note.family,
        source=note.source,
        group=note.group,
        split="train",  # until all notes are known
        origin=note.origin,
    )
