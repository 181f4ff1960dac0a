"""Readers of annotation files, a module for each format.

Each has ``NAME``, ``recognises(content)`` and ``read(path, content, found, root)``, which adds the frames of one file
to what was found; ``content`` is parsed JSON or the root element of an XML file, ``root`` the folder that frames are
looked for in.
"""
