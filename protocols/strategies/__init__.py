"""Guidance strategies: how misclassified cases steer the generator."""
