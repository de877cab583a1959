"""What a model is worth, part by part: the sections of the report that `python -m train evaluate` writes."""
