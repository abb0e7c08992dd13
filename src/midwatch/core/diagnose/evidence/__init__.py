"""Evidence: one small pure function per file, ``(Case, Blame) -> clues``.

Weights are log-likelihood ratios in nats: how much more often one sees this when the hypothesis is true than when it is
not. They are set by hand from how the signal arises, are listed in docs/diagnosis.md, and are the same for every system.
"""
