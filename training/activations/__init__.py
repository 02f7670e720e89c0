"""Measurements of a network's activation functions and dropout layers."""
