"""The simulator: the gym fleet's fast twin. A seed is an incident; the same ``tick``, the same effects, virtual time.

``main(seeds)`` runs incidents and checks the invariants over each; ``simulate(seed)`` runs one. It proves invariants, not
accuracy: figures of detection and diagnosis are reported as information, on physics far simpler than a real fleet's.
"""

from midwatch.gym.simulator.report import Report, Result, main, simulate

__all__ = ["Report", "Result", "main", "simulate"]
