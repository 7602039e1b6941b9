"""Image generators: one plugin a file or folder; they know neither each other nor the classifiers."""
