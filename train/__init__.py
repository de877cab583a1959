"""Training, export and measurement; run from a checkout as `python -m train`."""
