"""Train convolutional image classifiers and see what every layer sees, learns and is worth."""

__version__ = "0.1.0"
