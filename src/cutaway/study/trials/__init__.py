"""Trials: handed to workers, followed, written down by one writer."""
