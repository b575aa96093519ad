"""Datasets: rows with prompts, texts, expected answers or images, read from files in the usual formats."""

from evalkit.datasets.dataset import Dataset
from evalkit.datasets.load import load_dataset

__all__ = ["Dataset", "load_dataset"]
