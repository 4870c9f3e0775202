"""Sentences that several tabs say."""

PRIVACY = (
    "**Private.** Photos are drawn on this server, never shown to others or used for training,"
    " and deleted with their cartoons within an hour."
)

LIVE_PRIVACY = (
    "**Private.** Frames are drawn on this server in memory: none is written down, shown to others"
    " or used for training."
)


def about(style) -> str:
    """What a `hub.Style` is, whose it is and where it comes from, as Markdown."""
    if style is None:
        return "No style is installed."
    scope = "the whole photo" if style.scope == "photo" else "faces only"
    return f"{style.description} Draws {scope}. *{style.licence}, {style.source}.*"


def drawn_in(seconds: float, size: tuple[int, int]) -> str:
    return f"Drawn in {seconds:.1f} s · {pixels(size)}"


def pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]} px"


def count(faces: int) -> str:
    return "1 face" if faces == 1 else f"{faces} faces"
