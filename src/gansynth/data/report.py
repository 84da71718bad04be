"""What a build kept, what it left out and why: counted while it runs, shown and stored after."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gansynth.data.filters import FILTERS, BuildOptions
from gansynth.data.note import Broken, Dropped, Note
from gansynth.data.store import SPLITS, NoteRecord
from gansynth.errors import InputError
from gansynth.pitches import describe_pitches

_EXAMPLES = 5
_WARNINGS = 10
_SHOWN = 3  # examples in a warning
_NAMES = 8  # values named in an error


@dataclass
class _Reason:
    count: int = 0
    examples: list[str] = field(default_factory=list)
    remedy: str = ""

    def add(self, example: str, count: int = 1) -> None:
        self.count += count
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example)

    def to_dict(self) -> dict[str, Any]:
        return {"count": self.count, "examples": self.examples}


class Tally:
    """Counts of everything that isn't kept.

    Parameters
    ----------
    options : BuildOptions
    bound : int or None
        Notes that will come at most; None when unknown.
    warn : callable
        Gets a line for each of the first few broken notes.
    """

    def __init__(
        self, options: BuildOptions, bound: int | None, warn: Callable[[str], None]
    ) -> None:
        self.options = options
        self.bound = bound
        self.warn = warn
        self.came = 0  # everything the sources gave
        self.sounded = 0  # notes that passed the filters and could be read
        self.dropped: defaultdict[str, _Reason] = defaultdict(_Reason)
        self.broken: defaultdict[str, _Reason] = defaultdict(_Reason)
        self._tolerated = 0  # broken notes that stop no build
        self._warnings = 0
        self._estimated = False  # whether some of the broken ones are an estimate
        self._by_filter: Counter[str] = Counter()
        self._values: dict[str, Counter[str]] = {name: Counter() for name in FILTERS}

    @property
    def broken_count(self) -> int:
        """Broken notes so far, those counted that are lost with them."""
        return sum(reason.count for reason in self.broken.values())

    @property
    def _bad_count(self) -> int:
        """Broken notes so far that count against `max_bad`."""
        return self.broken_count - self._tolerated

    def leave_out(self, item: Dropped | Broken) -> None:
        """Count a note that its source left out, or that can't be read.

        Raises `InputError` once there are certainly too many of these.
        """
        if isinstance(item, Dropped):
            self.came += 1
            example = f"{item.origin}: {item.detail}" if item.detail else item.origin
            self.dropped[item.reason].add(example)
            self.dropped[item.reason].remedy = item.remedy
            return
        lost = 1 if item.lost is None else item.lost
        self.came += lost
        self.broken[item.reason].add(item.origin, lost)
        self._tolerated += 0 if item.stops else lost
        self._warnings += 1
        self._estimated |= lost > 1 and item.stops
        if self._warnings <= _WARNINGS:
            self.warn(f"{item.origin}: {item.reason}; left out")
        if item.lost is None and self.options.max_bad < 1:
            raise InputError(
                f"{item.origin}: {item.reason}, and the number of missing notes is unknown; "
                "download or copy the file again, or build without them with --max-bad 100%"
            )
        if self.bound is not None and self._bad_count > self.options.max_bad * self.bound:
            self._too_many(self.bound, "at most ")

    def filter(self, note: Note, pitch: int | None, verdict: tuple[str, str]) -> None:
        """Count a note that one of the filters dropped."""
        self._enter(note, pitch, verdict[0])
        self.came += 1
        self._by_filter[verdict[0]] += 1
        self.dropped[verdict[1]].add(note.origin)

    def keep(self, note: Note, pitch: int | None) -> None:
        """Count a note that is kept."""
        self._enter(note, pitch, None)
        self.came += 1
        self.sounded += 1

    def _enter(self, note: Note, pitch: int | None, last: str | None) -> None:
        """Count a note at every filter that it came to; `last` dropped it."""
        values = {
            "source": note.source,
            "family": note.family,
            "instrument": note.instrument,
            "velocity": str(note.velocity),
            "pitches": "" if pitch is None else str(pitch),
        }
        for name in FILTERS:
            self._values[name][values[name]] += 1
            if name == last:
                break

    def finish(self, kept: int) -> None:
        """Raise `InputError` if too much was broken, or if nothing is left."""
        more = self._warnings - _WARNINGS
        if more > 0:
            self.warn(f"{more:,} more notes can't be read; they are counted in the report")
        tried = self._bad_count + self.sounded
        if self._bad_count > self.options.max_bad * tried:
            self._too_many(tried, "")
        if not kept:
            self._nothing_left()
        for reason, part in sorted(self.dropped.items()):
            if part.remedy:
                shown = ", ".join(part.examples[:_SHOWN])
                self.warn(f"{reason}: {part.count:,} notes, such as {shown}; {part.remedy}")

    def _too_many(self, tried: int, bound: str) -> None:
        reason, most = max(self.broken.items(), key=lambda item: item[1].count)
        allowed = f"--max-bad={100 * self.options.max_bad:.4g}%"
        about = "about " if self._estimated else ""
        raise InputError(
            f"{allowed}: {about}{self._bad_count:,} of {bound}{tried:,} "
            f"notes can't be read, such as {most.examples[0]}: {reason}; repair the source, or "
            "allow more with a larger --max-bad"
        )

    def _nothing_left(self) -> None:
        if not self.came:
            raise InputError("notes=0: the source holds no notes; give one that does")
        for name in FILTERS:
            entered = self._values[name]
            if self._by_filter[name] and self._by_filter[name] == entered.total():
                before = [
                    f"--{other}"
                    for other in FILTERS[: FILTERS.index(name)]
                    if self._by_filter[other]
                ]
                after = f" left after {', '.join(before)}" if before else ""
                raise InputError(
                    f"{self.options.asked(name)}: removed all {entered.total():,} notes{after}; "
                    f"{_remedy(name, entered)}"
                )
        causes = {**self.broken, **self.dropped}
        reason, most = max(causes.items(), key=lambda item: item[1].count)
        raise InputError(
            f"notes=0: all {self.came:,} notes were left out, {most.count:,} of them because of "
            f"{reason!r} (such as {most.examples[0]}); "
            f"{most.remedy or 'choose other options or another source'}"
        )


def _remedy(name: str, entered: Counter[str]) -> str:
    if name == "source":
        return "use --source all"
    if name == "pitches":
        pitches = sorted(map(int, filter(None, entered)))
        return f"these notes have {describe_pitches(pitches)}"
    names = sorted(entered, key=lambda word: (-entered[word], word))
    more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return f"these notes have {', '.join(names[:_NAMES])}{more}"


@dataclass(frozen=True)
class Summary:
    """The report of a build: `data` is what summary.json says."""

    data: dict[str, Any]

    def lines(self) -> list[str]:
        """The report as a table for people."""
        kept, rows = self.data["kept"], []
        facts = [
            f"{len(kept['pitch'])} pitches {describe_pitches(list(map(int, kept['pitch'])))}",
            _number(len(kept["family"]), "family", "families"),
            _number(kept["instruments"], "instrument"),
            _number(kept["groups"], "group"),
        ]
        rows.append(("kept", kept["notes"], ", ".join(facts)))
        rows += [(f"  {name}", count, "") for name, count in kept.get("split", {}).items()]
        if kept.get("clipped_notes"):
            text = f"{kept['clipped_samples']:,} samples beyond full scale were cut off"
            rows.append(("  clipped", kept["clipped_notes"], text))
        for title in ("dropped", "broken"):
            reasons: dict[str, Any] = self.data[title]
            rows.append((title, sum(part["count"] for part in reasons.values()), ""))
            for reason, part in sorted(reasons.items(), key=lambda item: -item[1]["count"]):
                rows.append((f"  {reason}", part["count"], f"such as {part['examples'][0]}"))
        wide = min(max(len(name) for name, _, _ in rows), 48)
        return [f"{name:{wide}}  {count:>9,}  {text}".rstrip() for name, count, text in rows]


def summarize(
    records: Sequence[NoteRecord | Note],
    splits: Sequence[str] | None,
    tally: Tally,
    kinds: Iterable[tuple[str, Mapping[str, Any]]],
    clipped: tuple[int, int] = (0, 0),
) -> Summary:
    """Count what was kept; `clipped` are notes and samples, `splits` None where none are known."""
    kept: dict[str, Any] = {
        "notes": len(records),
        "instruments": len({record.instrument for record in records}),
        "groups": len({record.group for record in records}),
        "clipped_notes": clipped[0],
        "clipped_samples": clipped[1],
    }
    if splits is not None:
        kept["split"] = {name: splits.count(name) for name in SPLITS if name in splits}
    for name in ("family", "source", "velocity", "pitch"):
        kept[name] = _counts(
            value for value in (getattr(record, name) for record in records) if value is not None
        )
    sources = [{"kind": kind, **details} for kind, details in kinds]
    return Summary(
        {
            "kind": ", ".join(dict.fromkeys(str(source["kind"]) for source in sources)),
            "details": {"sources": sources},
            "options": tally.options.to_dict(),
            "kept": kept,
            "dropped": {reason: part.to_dict() for reason, part in sorted(tally.dropped.items())},
            "broken": {reason: part.to_dict() for reason, part in sorted(tally.broken.items())},
        }
    )


def _counts(values: Iterable[Any]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
