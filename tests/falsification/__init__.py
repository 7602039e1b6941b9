"""The falsification list: every test is named after its number there."""
