"""Where action items are filed: one tracker per file. What they share is in ``common.py``."""
