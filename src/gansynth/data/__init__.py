"""Notes for training: found, read, filtered, divided, and written to a prepared folder.

    nsynth ── nsynth_records (tfrecord, tf_example), nsynth_wavs, nsynth_notes ──┐
    rendering ── soundfont, synthesizers, general_midi, labels ──────────────────┤ sources (note)
    folder ── file_names, manifest, pitch ───────────────────────────────────────┘      │
                                                                                        v
    build ── pipeline (filters, waveform), report (splits) ──> writer ──> the folder ──> store
    looking at it: picture (info), check (copies, labels, pitch)

Import from the modules; training needs `data.store` alone, which needs numpy alone.
"""
