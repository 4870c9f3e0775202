"""Writes the cards of models, data sets and the Space for the Hub."""

from toonify.hub.cards.models import count_values, find_images, make_card, read_license
from toonify.hub.cards.templates import fill

__all__ = ["count_values", "fill", "find_images", "make_card", "read_license"]
