"""Folders of sound files: their notes (`source`), what names and manifests say about them."""
