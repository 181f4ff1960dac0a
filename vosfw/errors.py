"""Errors of vosfw. Every message says what, where, got, wanted, and what to do."""


class VosfwError(Exception):
    """Base of all errors that a user can cause and cure."""


class ConfigError(VosfwError):
    """An option has an illegal value, or options do not fit together."""


class DatasetError(VosfwError):
    """A video, frame, mask or list is missing, damaged or of the wrong kind."""


class CheckpointError(VosfwError):
    """A weights file cannot be read or belongs to another composition."""


class UnsupportedError(VosfwError):
    """The request is legal in itself, but this network or machine cannot do it."""


class OutputError(VosfwError):
    """A result cannot be written. What was written before it stays valid."""
