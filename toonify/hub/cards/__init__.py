"""Cards: what is said of a model, a data set or the Space on the Hub."""

from toonify.hub.cards.models import card_of, license_keys, pictures_in, values_in
from toonify.hub.cards.templates import fill

__all__ = ["card_of", "fill", "license_keys", "pictures_in", "values_in"]
