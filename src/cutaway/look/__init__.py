"""Looks into a subject. Each gives a frozen result of tensors; ``cutaway.plot`` draws any of them."""

from cutaway.look.answers import Answers, Mistake, answers
from cutaway.look.capture import capture
from cutaway.look.layers import visible_layers
from cutaway.look.maps import FeatureMaps, feature_maps
from cutaway.look.weights import Kernels, kernels

__all__ = [
    "Answers",
    "FeatureMaps",
    "Kernels",
    "Mistake",
    "answers",
    "capture",
    "feature_maps",
    "kernels",
    "visible_layers",
]
