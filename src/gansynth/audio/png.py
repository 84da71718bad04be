"""An array of colours as a PNG file (ISO/IEC 15948), without a drawing library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_RGB_8_BITS = (8, 2, 0, 0, 0)


def encode_png(image: NDArray[np.floating]) -> bytes:
    """The file of an image [height, width, 3] in 0..1, its first row at the top."""
    height, width, _ = image.shape
    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8).reshape(height, 3 * width)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)  # filter 0: none
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">II5B", width, height, *_RGB_8_BITS)),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
