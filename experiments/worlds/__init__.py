"""Data: downloads with checksums, portraits."""
