"""Tortures the program: kills, races, full disks, greedy and damaged input; prints a table."""
