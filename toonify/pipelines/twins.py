"""Tables of toon twins: which attributes of a cartoon face follow from a reading of a portrait."""

MATCH_TRUNCATION = 0.5  # near enough to the mean face for what was read to show
MATCH_AMOUNT = 1.5  # deviations that a twin is moved for a reading that is certain
# Reading -> attributes, of which the variant is chosen that is nearest to its color.
COLORED = {"skin_light": ("skin_color", "skin_tone"), "hair_light": ("hair_color",)}
# (Reading, its value) -> attributes of DiceBear's styles and of 3D heads, and their variants that
# fit, the best first.
FITTING: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {
    ("hair_long", 1): {"rear_hair": ("long*",), "hair_style": ("long",)},
    ("hair_long", -1): {"rear_hair": ("none",), "hair_style": ("short",)},
    ("bald", 1): {"hair_style": ("bald",)},
    ("smile", 1): {"mouth": ("laugh", "smile"), "expression": ("smile", "grin")},
    ("smile", -1): {"mouth": ("sad",), "expression": ("neutral",)},
    ("glasses", 1): {"glasses": ("square", "round")},
    ("glasses", -1): {"glasses": ("none",)},
    ("sunglasses", 1): {"glasses": ("sunglasses",)},
}
# Of what is not read: nobody is to be a child, or to have a beard or a hat, by chance.
UNREAD = {"age": "adult", "beard": "none", "headwear": "none", "lipstick": "no", "freckles": "no"}
MASKED = {"hair_style", "skin_tone"}  # attributes for which hair is looked for by its mask
