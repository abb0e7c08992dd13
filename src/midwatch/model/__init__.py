"""The nouns, frozen. This package imports nothing of ours; everything else speaks in its terms."""
