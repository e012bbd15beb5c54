"""Cortical surfaces, parcellations and flatmaps: targets in, pictures out."""
