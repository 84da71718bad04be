"""Makes the bundled model: `python -m ship --help`."""
