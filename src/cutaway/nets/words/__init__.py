"""The words of the notation, a kind a file.

No word needs torch: shapes, parameters and multiply-adds are arithmetic. ``builder.py`` turns
words into modules.
"""

from cutaway.nets.words.activation import GELU, LeakyReLU, ReLU, Sigmoid, Tanh
from cutaway.nets.words.block import Block, Inception, Join, Residual
from cutaway.nets.words.conv import Conv
from cutaway.nets.words.dropout import Dropout
from cutaway.nets.words.layer import Layer
from cutaway.nets.words.norm import BatchNorm, LocalResponseNorm
from cutaway.nets.words.pool import AvgPool, GlobalPool, MaxPool
from cutaway.nets.words.shape import Pair, Shape, ShapeError, describe
from cutaway.nets.words.vector import Dense, Flatten
from cutaway.nets.words.window import Window
from cutaway.nets.words.word import WORDS, Word

__all__ = [
    "GELU",
    "WORDS",
    "AvgPool",
    "BatchNorm",
    "Block",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalPool",
    "Inception",
    "Join",
    "Layer",
    "LeakyReLU",
    "LocalResponseNorm",
    "MaxPool",
    "Pair",
    "ReLU",
    "Residual",
    "Shape",
    "ShapeError",
    "Sigmoid",
    "Tanh",
    "Window",
    "Word",
    "describe",
]
