"""What the training loop of :mod:`bench.loop` can do beside calling a step: see ``docs/training.md``."""
