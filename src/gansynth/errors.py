"""Every error this package raises on purpose.

One root, a few kinds. A message names the thing and its value (`name=value`), states the rule
that was broken and says what to do. The command line prints the message alone and exits with 2.
"""


class GansynthError(Exception):
    """Root of all errors raised on purpose; its text is meant for the user as it stands.

    That text ends as a sentence does, whether it was given so or not.
    """

    def __str__(self) -> str:
        text = super().__str__()
        return text if not text or text.endswith((".", "?", "…")) else f"{text}."

    @property
    def reason(self) -> str:
        """The text without its full stop, to stand inside another one."""
        return super().__str__().removesuffix(".")


class ConfigError(GansynthError, ValueError):
    """A hyperparameter has an unknown name, a wrong type or a value out of range."""


class InputError(GansynthError, ValueError):
    """An argument (pitch, latent, device, option…) breaks its rule."""


class ModelError(GansynthError):
    """A model file or checkpoint is missing, damaged, foreign or incomplete."""


class MidiError(GansynthError):
    """A MIDI file can't be read, or holds nothing that can be played."""


class TrainingError(GansynthError):
    """A training can't go on: its losses are no numbers any more."""


class OutputError(GansynthError):
    """A result can't be written: the place is taken, not writable, or the disk is full."""


class InUseError(OutputError):
    """Another process is writing the same result at this time."""
