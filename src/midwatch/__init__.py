"""midwatch: the site reliability engineer that a team installs."""

__version__ = "0.1.0"
