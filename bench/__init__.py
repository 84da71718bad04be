"""Speed and memory of gansynth, as ratios against baselines named in the table.

make bench                          the whole table
python -m bench --model PATH        with a trained model in the rows on precision
"""
