"""Decoding in processes of its own: a hostile file costs a decoder its life, never the worker.

- `decoders`: what the worker asks; `budget`: what decoding an image may cost, by its header.
- `template`: the process that forks decoders; `child`: what a decoder does.
- `verdict`: what a decoder's death says about its image; `messages`: how they talk.
"""

from worker.decoding.decoders import Decoders

__all__ = ["Decoders"]
