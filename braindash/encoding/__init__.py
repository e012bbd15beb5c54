"""Encoding: how well features predict the responses of each target."""

from braindash.encoding._folds import Chunks
from braindash.encoding.ridge import StoryRidgeCV, fit_many

__all__ = ["Chunks", "StoryRidgeCV", "fit_many"]
