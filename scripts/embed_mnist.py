"""Make the four embedded IDX files and their sums from an ``mnist.npz``: embed_mnist.py FILE.npz."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

from cutaway.data.idx import write_idx

FOLDER = Path(__file__).parents[1] / "src/cutaway/data/mnist"
NAMES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}

arrays = np.load(sys.argv[1], allow_pickle=False)
sums = []
for key, name in NAMES.items():
    write_idx(FOLDER / name, torch.from_numpy(arrays[key].astype(np.uint8)))
    sums.append(f"{hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()}  {name}")
(FOLDER / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="ascii")
