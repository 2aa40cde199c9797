"""Looks into a subject. Each gives a frozen result of tensors; ``cutaway.plot`` draws any of them."""

from cutaway.look.activity import Activity, LayerActivity, MeasureActivity, activity
from cutaway.look.address import Address
from cutaway.look.answers import Answers, Mistake, answers
from cutaway.look.backward import (
    COMPOSITES,
    PREDICTED,
    Attribution,
    Composite,
    GradCam,
    Relevance,
    Target,
    deconvnet,
    deeplift,
    difference,
    each,
    gradcam,
    gradient_input,
    guided,
    guided_gradcam,
    integrated_gradients,
    lrp,
    saliency,
    smoothgrad,
)
from cutaway.look.beside import Beside, beside
from cutaway.look.capture import capture
from cutaway.look.cell import Cell, cell
from cutaway.look.deaths import Deaths, deaths
from cutaway.look.exemplars import Band, Exemplars, FindExemplars, LayerExemplars, exemplars
from cutaway.look.kernels import Kernels, kernels
from cutaway.look.knockout import Knockout, LayerKnockout, knockout
from cutaway.look.layers import LayerRow, layers, visible_layers
from cutaway.look.maps import FeatureMaps, feature_maps
from cutaway.look.orientation import Orientation, kernel_orientation, orientation
from cutaway.look.probe import Probe, Reading, probe
from cutaway.look.rank import Rank, Spectrum, rank
from cutaway.look.retention import Kept, Retention, retention
from cutaway.look.selectivity import selectivity
from cutaway.look.similarity import Similarity, similarity
from cutaway.look.sizing import fitted
from cutaway.look.survey import survey
from cutaway.look.tuning import Tuning
from cutaway.look.untrained import untrained

__all__ = [
    "COMPOSITES",
    "PREDICTED",
    "Activity",
    "Address",
    "Answers",
    "Attribution",
    "Band",
    "Beside",
    "Cell",
    "Composite",
    "Deaths",
    "Exemplars",
    "FeatureMaps",
    "FindExemplars",
    "GradCam",
    "Kept",
    "Kernels",
    "Knockout",
    "LayerActivity",
    "LayerExemplars",
    "LayerKnockout",
    "LayerRow",
    "MeasureActivity",
    "Mistake",
    "Orientation",
    "Probe",
    "Rank",
    "Reading",
    "Relevance",
    "Retention",
    "Similarity",
    "Spectrum",
    "Target",
    "Tuning",
    "activity",
    "answers",
    "beside",
    "capture",
    "cell",
    "deaths",
    "deconvnet",
    "deeplift",
    "difference",
    "each",
    "exemplars",
    "feature_maps",
    "fitted",
    "gradcam",
    "gradient_input",
    "guided",
    "guided_gradcam",
    "integrated_gradients",
    "kernel_orientation",
    "kernels",
    "knockout",
    "layers",
    "lrp",
    "orientation",
    "probe",
    "rank",
    "retention",
    "saliency",
    "selectivity",
    "similarity",
    "smoothgrad",
    "survey",
    "untrained",
    "visible_layers",
]
