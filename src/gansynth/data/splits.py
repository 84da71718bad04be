"""Which notes are kept for testing: whole groups, random notes, or as the notes were published.

The order in which groups are drawn is that of a hash of their name and the seed. So the same notes
give the same splits on every machine and in every release, whatever order they were read in.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from gansynth.data.note import Note
from gansynth.errors import InputError

SPLIT_KINDS = ("group", "random", "published", "none")


def assign_splits(
    notes: Sequence[Note], kind: str = "group", *, test_share: float = 0.2, seed: int = 0
) -> list[str]:
    """Return the split of every note: "train", "test", and "valid" where it was published.

    Parameters
    ----------
    notes : sequence
    kind : str
        "group": whole groups are tested, as near to `test_share` of the notes as groups allow,
        in every family that has several. "random": notes are drawn one by one, but all
        velocities of one pitch of one instrument stay together. "published": as the source says.
        "none": all are trained on.
    test_share : float
        Share of the notes to test on, 0..0.9; 0 leaves all to training.
    seed : int
        Draws other groups or notes.

    Raises
    ------
    InputError
        For an option out of range, a note without a published split, and notes that can't be
        divided because they are one group (or one note).
    """
    if kind not in SPLIT_KINDS:
        raise InputError(f"split={kind!r}: must be one of {', '.join(SPLIT_KINDS)}")
    if not 0 <= test_share <= 0.9:
        raise InputError(f"test_share={test_share!r}: must be a number in 0..0.9")
    if kind == "published":
        return _published(notes)
    if kind == "none" or test_share == 0:
        return ["train"] * len(notes)
    if kind == "group":
        keys: list[Hashable] = [note.group for note in notes]
        tested = _draw_groups(notes, test_share, seed)
    else:
        keys = [(note.instrument, note.pitch) for note in notes]
        tested = _draw_notes(keys, test_share, seed)
    return ["test" if key in tested else "train" for key in keys]


def _published(notes: Sequence[Note]) -> list[str]:
    without = [note.origin for note in notes if note.split is None]
    if without:
        raise InputError(
            f"--split=published: {len(without):,} of {len(notes):,} notes come without a split "
            f"(the first is {without[0]}); use --split group or --split random"
        )
    return [note.split or "train" for note in notes]


def _draw_notes(keys: Sequence[Hashable], share: float, seed: int) -> set[Hashable]:
    sizes = Counter(keys)
    if len(sizes) < 2:
        raise InputError(
            "--split=random: all notes are one pitch of one instrument, which can't be divided; "
            "add notes or use --test-share 0"
        )
    drawn = _nearest(_shuffled(sizes, seed), sizes, share * len(keys))
    return drawn or {_shuffled(sizes, seed)[0]}


def _draw_groups(notes: Sequence[Note], share: float, seed: int) -> set[Hashable]:
    sizes: Counter[Hashable] = Counter(note.group for note in notes)
    if len(sizes) < 2:
        raise InputError(
            f"--split=group: all {len(notes):,} notes belong to the group {notes[0].group!r}, "
            "which can't be divided; use --split random"
        )
    families = _families(notes)
    drawn: set[Hashable] = set()
    owed = 0.0  # what families of one group, and the grain of groups, left undone so far
    for family in sorted(families, key=lambda name: (len(families[name]), name)):
        groups = _shuffled(families[family], seed)
        if len(groups) > 1:
            total = sum(sizes[group] for group in groups)
            target = min(share * total + owed, max(share, 0.5) * total)
            taken = _nearest(groups, sizes, target)
            drawn |= taken
            owed -= sum(sizes[group] for group in taken)
        owed += share * sum(sizes[group] for group in groups)
    if not drawn:  # every family is one group, or all groups are too large for the share
        goal = share * len(notes)
        drawn = {min(_shuffled(sizes, seed), key=lambda group: abs(sizes[group] - goal))}
    return drawn


def _families(notes: Iterable[Note]) -> dict[str, list[Hashable]]:
    """The groups of every family; a group of several counts as the one most of its notes have."""
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for note in notes:
        votes[note.group][note.family] += 1
    families: defaultdict[str, list[Hashable]] = defaultdict(list)
    for group, count in votes.items():
        families[max(sorted(count), key=count.__getitem__)].append(group)
    return families


def _nearest(
    order: Sequence[Hashable], sizes: Mapping[Hashable, int], goal: float
) -> set[Hashable]:
    """Units from the front of `order` whose sizes add up near `goal`; never all of them."""
    taken: set[Hashable] = set()
    total = 0
    for unit in order:
        closer = abs(total + sizes[unit] - goal) < abs(total - goal)
        if closer and len(taken) < len(order) - 1:
            taken.add(unit)
            total += sizes[unit]
    return taken


def _shuffled(units: Iterable[Hashable], seed: int) -> list[Hashable]:
    def place(unit: Hashable) -> bytes:
        text = f"{seed}\0{unit!r}"
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()

    return sorted(set(units), key=place)
