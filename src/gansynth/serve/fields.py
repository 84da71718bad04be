"""Values that a request may hold: each one's check and its description in OpenAPI, in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gansynth.errors import InputError
from gansynth.pitches import describe_pitches
from gansynth.serve.latents import Latent, decode_latent

Schema = dict[str, Any]


class Shape(Protocol):
    """What values depend on; a `Synth` is one."""

    latent_size: int
    pitches: tuple[int, ...]


class Field(Protocol):
    """One value of a request."""

    def schema(self, shape: Shape) -> Schema:
        """JSON schema of the value."""

    def parse(self, text: str) -> Any:
        """The value that a text in an address stands for, not checked yet."""

    def read(self, value: Any, name: str, shape: Shape) -> Any:
        """The checked value; `InputError` unless it follows the rule."""


class AsText:
    """A value that is the same in an address and in JSON."""

    def parse(self, text: str) -> Any:
        """The text itself."""
        return text


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`."""

    low: float
    high: float
    whole: bool = False

    def schema(self, shape: Shape) -> Schema:
        """JSON schema of the value."""
        kind = "integer" if self.whole else "number"
        return {"type": kind, "minimum": self.low, "maximum": self.high}

    def parse(self, text: str) -> Any:
        """A number where the text is one, else the text itself, which `read` refuses."""
        try:
            value = float(text)
        except ValueError:
            return text
        return value if self.low <= value <= self.high else text

    def read(self, value: Any, name: str, shape: Shape) -> float:
        """The checked number."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:
            raise InputError(
                f"{name}={value!r:.40}: must be a number from {self.low:g} to {self.high:g}."
            )
        if self.whole and value != math.floor(value):
            raise InputError(f"{name}={value!r}: must be a whole number.")
        return int(value) if self.whole else float(value)


@dataclass(frozen=True)
class Flag:
    """true or false."""

    def schema(self, shape: Shape) -> Schema:
        """JSON schema of the value."""
        return {"type": "boolean"}

    def parse(self, text: str) -> Any:
        """Whether the text is "true"; other texts stay what they are."""
        return {"true": True, "false": False}.get(text, text)

    def read(self, value: Any, name: str, shape: Shape) -> bool:
        """The checked value."""
        if not isinstance(value, bool):
            raise InputError(f"{name}={value!r:.40}: must be true or false.")
        return value


@dataclass(frozen=True)
class Text(AsText):
    """A text of 1 to `longest` characters."""

    longest: int = 100
    pattern: str | None = None

    def schema(self, shape: Shape) -> Schema:
        """JSON schema of the value."""
        if self.pattern:
            return {"type": "string", "pattern": self.pattern}
        return {"type": "string", "minLength": 1, "maxLength": self.longest}

    def read(self, value: Any, name: str, shape: Shape) -> str:
        """The checked text."""
        if not isinstance(value, str):
            raise InputError(f"{name}: must be text.")
        if not 1 <= len(value) <= self.longest:
            raise InputError(f"{name}={value!r:.40}: must be 1 to {self.longest} characters.")
        return value


@dataclass(frozen=True)
class Choice(AsText):
    """One of several texts."""

    options: Sequence[str]

    def schema(self, shape: Shape) -> Schema:
        """JSON schema of the value."""
        return {"enum": list(self.options)}

    def read(self, value: Any, name: str, shape: Shape) -> str:
        """The checked text."""
        if value not in self.options:
            raise InputError(f"{name}={value!r:.40}: must be one of {', '.join(self.options)}.")
        return str(value)


@dataclass(frozen=True)
class LatentField(AsText):
    """A latent as text."""

    def schema(self, shape: Shape) -> Schema:
        """JSON schema of the value."""
        letters = -(-4 * shape.latent_size * 4 // 3)
        return {
            "type": "string",
            "description": f"{shape.latent_size} float32, little-endian, in base64 for addresses.",
            "pattern": f"^[A-Za-z0-9_-]{{{letters}}}$",
        }

    def read(self, value: Any, name: str, shape: Shape) -> Latent:
        """The latent, float32 [latent_size]."""
        if not isinstance(value, str):
            raise InputError(f"{name}={value!r:.40}: must be text, a latent in base64.")
        return decode_latent(value, shape.latent_size)


@dataclass(frozen=True)
class PitchField:
    """A MIDI pitch that the model knows."""

    def schema(self, shape: Shape) -> Schema:
        """JSON schema of the value."""
        return {"type": "integer", "minimum": shape.pitches[0], "maximum": shape.pitches[-1]}

    def parse(self, text: str) -> Any:
        """A whole number where the text is one, else the text itself."""
        plain = text.isascii() and text.isdigit() and len(text) <= 3
        return int(text) if plain else text

    def read(self, value: Any, name: str, shape: Shape) -> int:
        """The checked pitch."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise InputError(f"{name}={value!r:.40}: must be a MIDI pitch, a whole number.")
        if value not in shape.pitches:
            raise InputError(f"{name}={value}: the model knows {describe_pitches(shape.pitches)}.")
        return value


@dataclass(frozen=True)
class Several:
    """A list of `fewest` to `most` values."""

    item: Field
    fewest: int
    most: int

    def schema(self, shape: Shape) -> Schema:
        """JSON schema of the value."""
        bounds = {"minItems": self.fewest, "maxItems": self.most}
        return {"type": "array", "items": self.item.schema(shape), **bounds}

    def parse(self, text: str) -> Any:
        """The values between commas."""
        return [self.item.parse(one) for one in text.split(",")]

    def read(self, value: Any, name: str, shape: Shape) -> list[Any]:
        """The checked values."""
        count = f"{self.fewest} to {self.most}" if self.fewest < self.most else f"{self.most}"
        if not isinstance(value, list):
            raise InputError(f"{name}={value!r:.40}: must be a list of {count}.")
        if not self.fewest <= len(value) <= self.most:
            raise InputError(f"{name}: {len(value)} given; give {count}.")
        return [self.item.read(one, name, shape) for one in value]


@dataclass(frozen=True)
class Positions:
    """From names to numbers from `low` to `high`; which names there are, the model decides."""

    names: Sequence[str]
    low: float = -1.0
    high: float = 1.0

    def schema(self, shape: Shape) -> Schema:
        """JSON schema of the value."""
        number = Number(self.low, self.high).schema(shape)
        properties = dict.fromkeys(self.names, number)
        return {"type": "object", "additionalProperties": False, "properties": properties}

    def parse(self, text: str) -> Any:
        """Never in an address."""
        return text

    def read(self, value: Any, name: str, shape: Shape) -> dict[str, float]:
        """The checked numbers."""
        if not isinstance(value, dict):
            raise InputError(f"{name}={value!r:.40}: must be an object.")
        for key in value:
            if key not in self.names:
                raise InputError(f"{name}: {key!r:.40} is none of {', '.join(self.names)}.")
        number = Number(self.low, self.high)
        return {key: number.read(one, key, shape) for key, one in value.items()}
