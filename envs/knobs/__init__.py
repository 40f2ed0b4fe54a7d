"""Knobs beside routing: what a fleet may have besides data centers, one file each.

Storage, on-site generation (a series of the trace), training work, servers that go off, and smaller
models. A fleet may have any of them; without them nothing here is run.
"""
