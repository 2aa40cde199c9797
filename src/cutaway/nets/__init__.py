"""Nets: described, planned, built, applied. Only building and applying need torch."""

from cutaway.nets.arguments import NotationError
from cutaway.nets.notation import Layer, NetSpec, parse_net
from cutaway.nets.plan import LayerPlan, Plan, plan
from cutaway.nets.words import WORDS, Shape, Word, describe
from cutaway.nets.zoo import ZOO, ZooNet, find_net

__all__ = [
    "WORDS",
    "ZOO",
    "Layer",
    "LayerPlan",
    "NetSpec",
    "NotationError",
    "Plan",
    "Shape",
    "Word",
    "ZooNet",
    "describe",
    "find_net",
    "parse_net",
    "plan",
]
