"""Scan, diff, decode, encode, commit."""
