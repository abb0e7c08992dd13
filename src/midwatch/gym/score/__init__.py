"""How well midwatch does: ``run`` plays cases, ``witness`` gathers what users felt, ``judge`` scores, ``report`` writes."""
