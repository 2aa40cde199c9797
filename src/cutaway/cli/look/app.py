"""The looks that the command line knows: a line a look, imported when it is called."""

from __future__ import annotations

from cyclopts import App

app = App(name="look", help="Look inside a run: what its layers see, learn and are worth.")

LOOKS = {
    "layers": "layers:layers",
    "card": "card:card",
    "maps": "maps:maps",
    "kernels": "kernels:kernels",
    "cell": "cell:cell",
    "exemplars": "exemplars:exemplars",
    "activity": "activity:activity",
    "orientation": "orientation:orientation",
    "knockout": "knockout:knockout",
    "probe": "probe:probe",
    "similarity": "similarity:similarity",
    "rank": "rank:rank",
    "retention": "retention:retention",
    "saliency": "attribution:saliency",
    "gradient-input": "attribution:gradient_input",
    "smoothgrad": "attribution:smoothgrad",
    "integrated-gradients": "attribution:integrated_gradients",
    "guided": "attribution:guided",
    "deconvnet": "attribution:deconvnet",
    "deeplift": "attribution:deeplift",
    "gradcam": "gradcam:gradcam",
    "guided-gradcam": "gradcam:guided_gradcam",
    "lrp": "lrp:lrp",
    "occlusion": "occlusion:occlusion",
    "rise": "occlusion:rise",
    "adversarial": "adversarial:adversarial",
    "unnatural": "adversarial:unnatural",
    "robustness": "robustness:robustness",
    "judge": "judge:judge",
    "maximize": "maximize:maximize",
    "invert": "invert:invert",
    "caricature": "invert:caricature",
    "interpolate": "invert:interpolate",
    "decode": "decode:decode",
    "train-prior": "decode:train_prior",
}
"""For each look its function, as ``file:function`` in this folder. Its docstring is its help."""

for _name, _target in LOOKS.items():
    app.command(f"cutaway.cli.look.{_target}", name=_name)
