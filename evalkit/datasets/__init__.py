"""Datasets: rows with prompts, texts, expected answers or images, read from files in the usual formats."""

from evalkit.datasets.dataset import Dataset, Overlap
from evalkit.datasets.load import load_dataset

__all__ = ["Dataset", "Overlap", "load_dataset"]
