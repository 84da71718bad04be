"""Speed and memory of gansynth, as ratios against named baselines."""
