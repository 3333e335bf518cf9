"""Payload layouts shared by all stages: the one truth for widths."""
