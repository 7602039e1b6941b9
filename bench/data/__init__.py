"""Data sets: from files or a simulation to memory-mapped images, frozen splits and what was noticed on the way."""
