"""Looks that optimise: the image that a unit prefers, the image that a layer remembers."""

from cutaway.look.optimising.ascent import Recipe, Step
from cutaway.look.optimising.caricature import Caricature, caricature
from cutaway.look.optimising.compare import Compared, compare_priors
from cutaway.look.optimising.decode import Decoded, Decoders, decode, train_decoders
from cutaway.look.optimising.files import load_decoders, load_generator, save_decoders, save_generator
from cutaway.look.optimising.generator import Generated, Generator, generate, train_generator
from cutaway.look.optimising.invert import Inverted, invert
from cutaway.look.optimising.maximize import Maximized, maximize
from cutaway.look.optimising.priors import L2, STRONG, Blur, Clip, PNorm, Prior, TotalVariation
from cutaway.look.optimising.walk import Walk, walk_images, walk_units
from cutaway.look.optimising.wobble import Wobble

__all__ = [
    "L2",
    "STRONG",
    "Blur",
    "Caricature",
    "Clip",
    "Compared",
    "Decoded",
    "Decoders",
    "Generated",
    "Generator",
    "Inverted",
    "Maximized",
    "PNorm",
    "Prior",
    "Recipe",
    "Step",
    "TotalVariation",
    "Walk",
    "Wobble",
    "caricature",
    "compare_priors",
    "decode",
    "generate",
    "invert",
    "load_decoders",
    "load_generator",
    "maximize",
    "save_decoders",
    "save_generator",
    "train_decoders",
    "train_generator",
    "walk_images",
    "walk_units",
]
