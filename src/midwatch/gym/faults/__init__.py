"""What breaks in the gym: one file per fault, ``catalog.FAULTS`` lists them; ``truth`` is what a scorer knows of a case."""
