"""Advice out to hurt, and the campaign that verifies the layer against it."""
