"""Photos in and out. Import from the modules, so that each caller loads only what it uses.

- `headers`: what a file is, by its header; `probe`: the same with the service's limits.
- `decode`: a file to a `photo.Photo`, as displayed; `encode`: pixels to a file.
- `exif`: the metadata that a result keeps.

Only the last three load OpenCV and Pillow. The API probes, and loads neither.
"""
