"""Nets: described, planned, built, applied. Only building and applying need torch."""

from cutaway.nets.arguments import NotationError
from cutaway.nets.edits import apply_edits, edited_plan, parse_edits, show_edits
from cutaway.nets.field import ReceptiveField
from cutaway.nets.memory import Memory, fitting_batch, inference_memory, training_memory
from cutaway.nets.notation import NetSpec, parse_net
from cutaway.nets.plan import LayerPlan, Plan, PlanError, plan
from cutaway.nets.words import WORDS, Layer, Shape, Word, describe
from cutaway.nets.zoo import ZOO, ZooNet, find_net, plan_net

__all__ = [
    "WORDS",
    "ZOO",
    "Layer",
    "LayerPlan",
    "Memory",
    "NetSpec",
    "NotationError",
    "Plan",
    "PlanError",
    "ReceptiveField",
    "Shape",
    "Word",
    "ZooNet",
    "apply_edits",
    "describe",
    "edited_plan",
    "find_net",
    "fitting_batch",
    "inference_memory",
    "parse_edits",
    "parse_net",
    "plan",
    "plan_net",
    "show_edits",
    "training_memory",
]
