"""Directories to write in."""

import os

from lb.config.values import Wrong, text


def writable_directory(value: object) -> str:
    """The path of a directory in which we may make files."""
    path = text(value)
    if "\0" in path or not os.path.isdir(path):
        raise Wrong("a directory that exists")
    if not os.access(path, os.W_OK | os.X_OK):
        raise Wrong("a directory in which this user may make files")
    return os.path.abspath(path)
