"""Protocols: each reads like the algorithm box of its paper."""
