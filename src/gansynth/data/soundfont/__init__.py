"""SoundFonts: what is in them (`structure`), who plays them (`engines`), their notes (`source`)."""
