"""A fuzzer for the image header parsers: `python -m tests.fuzz`."""
