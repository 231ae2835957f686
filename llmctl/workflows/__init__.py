"""The story of each verb, readable from top to bottom; importable, and silent but for its ``Progress``."""
