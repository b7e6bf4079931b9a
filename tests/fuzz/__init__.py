"""Damaged image files, fed to the header parsers until one breaks: `python -m tests.fuzz`."""
