"""Networks that somebody else trained, by folder or hub id, and pipelines made of them."""
