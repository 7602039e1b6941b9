"""Classifiers that judge real and synthetic training sets."""
