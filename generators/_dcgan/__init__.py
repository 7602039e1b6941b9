"""Networks and training of the generator ``dcgan``."""
