"""A copy of a data set for each test."""

from helpers.checks import folder, made


__all__ = ["folder", "made"]
