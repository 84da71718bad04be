"""NSynth in all the forms it is published in; `source.open_nsynth` tells them apart."""
