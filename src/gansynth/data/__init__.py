"""Notes for training: found, read, filtered, divided, and written to a prepared folder.

    nsynth ─────────────────────────────┐
    soundfont (labels) ─────────────────┤ sources (note)
    folder (audio.files, audio.pitch) ──┘      │
                                               v
    build ── pipeline (filters, waveform), report (splits) ──> writer ──> the folder ──> store
    looking at it: picture (info), check (copies, labels, audio.pitch)

Import from the modules; training needs `data.store` alone, which needs numpy alone.
"""
