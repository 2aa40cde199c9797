"""Looks that go backwards: from a class or a unit to the pixels that decided."""

from cutaway.look.backward.attribution import Attribution
from cutaway.look.backward.composite import COMPOSITES, Composite
from cutaway.look.backward.deeplift import deeplift
from cutaway.look.backward.gradcam import GradCam, gradcam, guided_gradcam
from cutaway.look.backward.guided import deconvnet, guided
from cutaway.look.backward.integrated import integrated_gradients
from cutaway.look.backward.lrp import Relevance, lrp
from cutaway.look.backward.methods import METHODS, Method
from cutaway.look.backward.occlusion import occlusion
from cutaway.look.backward.relevance import ZPLUS, AlphaBeta, Box, Epsilon, Flat, Gamma, RelevanceRule, Z
from cutaway.look.backward.rise import rise
from cutaway.look.backward.saliency import gradient_input, saliency, smoothgrad
from cutaway.look.backward.target import PREDICTED, Target, difference, each

__all__ = [
    "COMPOSITES",
    "METHODS",
    "PREDICTED",
    "ZPLUS",
    "AlphaBeta",
    "Attribution",
    "Box",
    "Composite",
    "Epsilon",
    "Flat",
    "Gamma",
    "GradCam",
    "Method",
    "Relevance",
    "RelevanceRule",
    "Target",
    "Z",
    "deconvnet",
    "deeplift",
    "difference",
    "each",
    "gradcam",
    "gradient_input",
    "guided",
    "guided_gradcam",
    "integrated_gradients",
    "lrp",
    "occlusion",
    "rise",
    "saliency",
    "smoothgrad",
]
