"""Nets: described, planned, built, applied. Only building and applying need torch."""

from cutaway.nets.arguments import NotationError
from cutaway.nets.field import ReceptiveField
from cutaway.nets.notation import NetSpec, parse_net
from cutaway.nets.plan import LayerPlan, Plan, PlanError, plan
from cutaway.nets.words import WORDS, Layer, Shape, Word, describe
from cutaway.nets.zoo import ZOO, ZooNet, find_net

__all__ = [
    "WORDS",
    "ZOO",
    "Layer",
    "LayerPlan",
    "NetSpec",
    "NotationError",
    "Plan",
    "PlanError",
    "ReceptiveField",
    "Shape",
    "Word",
    "ZooNet",
    "describe",
    "find_net",
    "parse_net",
    "plan",
]
