"""Nouns, errors and settings: what every other room may know."""
