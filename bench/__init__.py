"""Speed and memory of gansynth, as ratios against baselines named in the table.

make bench                          all tables
python -m bench generate            generating alone; --model PATH adds a trained model's precision
python -m bench train               training alone; --stages 0,4 chooses; --quick shows that it runs
python -m bench evaluate            evaluating alone; --quick shows that it runs
python -m bench kernels             what each hand-made part of a training step gains
python -m bench neighbours           beside busy programs: threads that sleep, threads that spin
python -m bench.serve --model PATH  50 players of the browser instrument for a minute
python -m bench.match NOTES         how well recordings are found again by the bundled model
python -m bench.against SRC         processor time beside another version: files, notes, HTTP
python -m bench.sustain NOTES       how well notes are held longer, on prepared notes
"""
