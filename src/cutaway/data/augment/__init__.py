"""Training images varied anew in every step: a file for each kind of variation."""

from cutaway.data.augment.augment import Augment, Varied

__all__ = ["Augment", "Varied"]
