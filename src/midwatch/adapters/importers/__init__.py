"""Exports of other on-call products -> ``model/people.py``. Pure: JSON values in, people and what could not be kept out."""
