"""Looks into a subject. Each gives a frozen result of tensors; ``cutaway.plot`` draws any of them."""

from cutaway.look.activity import Activity, LayerActivity, MeasureActivity, activity
from cutaway.look.address import Address
from cutaway.look.answers import Answers, Mistake, answers
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
    "Activity",
    "Address",
    "Answers",
    "Band",
    "Beside",
    "Cell",
    "Deaths",
    "Exemplars",
    "FeatureMaps",
    "FindExemplars",
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
    "Retention",
    "Similarity",
    "Spectrum",
    "Tuning",
    "activity",
    "answers",
    "beside",
    "capture",
    "cell",
    "deaths",
    "exemplars",
    "feature_maps",
    "fitted",
    "kernel_orientation",
    "kernels",
    "knockout",
    "layers",
    "orientation",
    "probe",
    "rank",
    "retention",
    "selectivity",
    "similarity",
    "survey",
    "untrained",
    "visible_layers",
]
