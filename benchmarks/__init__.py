"""One script a claim of speed or memory; each has ``main() -> str``, which measures and returns Markdown."""
