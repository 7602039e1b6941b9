"""Networks and training of the generator ``pggan``."""
