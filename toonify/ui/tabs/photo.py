"""Photo to cartoon: the components of the tab and the handlers that they call."""

import json
from typing import Any

import gradio as gr

from toonify.ui import components, events, i18n, text
from toonify.ui.handlers.many import ManyHandlers
from toonify.ui.handlers.photo import PhotoHandlers
from toonify.ui.handlers.portrait import PortraitHandlers
from toonify.ui.handlers.previews import LINKED, PreviewHandlers
from toonify.ui.handlers.results import COLOR
from toonify.ui.outputs import KEEP_S
from toonify.ui.tabs.many import ManyPhotos

WAITS: events.Options = {"show_progress": "minimal", **events.ONE_AT_A_TIME, **events.PRIVATE}
# A request during a drawing of the same kind waits, and only the last of them is drawn.
LAST: events.Options = {"trigger_mode": "always_last"}
FAILED = "Some previews could not be drawn."


def build_photo_tab(
    handlers: PhotoHandlers, page: gr.Blocks, portraits: PortraitHandlers | None = None
) -> None:
    """Build the tab and its endpoints inside the page. With `portraits` it has comparisons."""
    tab = PhotoTab(handlers, PreviewHandlers(handlers, portraits))
    tab.connect(page)
    png = gr.Image(label="Cartoon", type="filepath", format="png", visible=False)
    found = gr.JSON(label="Faces", visible=False)
    styles = gr.JSON(label="Styles", visible=False)
    inputs = [*tab.options, components.add_api_quality(), components.add_former_keep_colour()]
    inputs += [gr.Textbox("draw", label="Background", visible=False)]
    one: events.Options = events.ONE_AT_A_TIME
    gr.on([], handlers.toonify, inputs, png, api_name="toonify", **one)
    gr.on([], handlers.detect, tab.photo, found, api_name="detect", **one)
    gr.on([], handlers.list_styles, None, styles, api_name="styles", queue=False)


class PhotoTab:
    """The components of the tab.

    Args:
        handlers: draw a photo.
        previews: draw it small in all styles, and compare the networks.
    """

    def __init__(self, handlers: PhotoHandlers, previews: PreviewHandlers):
        self.handlers, self.previews = handlers, previews
        self.wall = gr.State(time_to_live=KEEP_S)
        self.drawing = gr.State(time_to_live=KEEP_S)
        with gr.Row(equal_height=False, elem_id="photo-row"):
            with gr.Column(scale=5, min_width=300, elem_id="photo-left"):
                self.photo, self.examples = components.add_photo()
                self.add_previews()
                self.add_settings()
                self.many = ManyPhotos(ManyHandlers(handlers))
            with gr.Column(scale=7, min_width=300, elem_id="photo-right"):
                self.add_result()
        self.options = [self.photo, self.style, self.faces, self.strength, self.keep_color]
        self.result = [self.compare, self.download, self.report, self.found, self.framed]
        self.result += [self.sticker, self.people, self.person, self.drawing]
        self.shown = [self.gallery, self.progress, self.stop, self.sheet]

    def add_previews(self) -> None:
        """Add the previews in all styles, hidden until there is a photo."""
        self.gallery = components.add_gallery(
            "All styles", columns=3, elem_id="previews", visible=False
        )
        with gr.Row(elem_id="previews-row"):
            self.progress = gr.Markdown(visible=False, elem_id="previews-report")
            self.stop = gr.Button(
                "Stop", visible=False, size="sm", min_width=80, elem_id="previews-stop"
            )
        self.sheet = components.add_download(
            "Download a sheet of all styles", "styles-sheet", visible=False
        )

    def add_settings(self) -> None:
        """Add the style and how it is drawn."""
        with gr.Group(elem_id="settings"):
            self.style, self.about = components.add_style(self.handlers)
            self.quality = components.add_quality(self.handlers.default_style)
            self.strength = components.add_strength()
        self.button = gr.Button("Create cartoon", variant="primary", size="lg", elem_id="draw")
        with gr.Accordion("Faces and colors", open=False, elem_id="options"):
            self.faces = gr.Radio(
                components.FACES,
                value="all",
                label="Faces",
                info="Faces are also drawn separately, which gives small ones more detail",
            )
            self.keep_color = gr.Checkbox(label="Keep the photo's colors")

    def add_result(self) -> None:
        """Add before and after, the downloads, the background, the faces and the comparison."""
        self.compare, self.report = components.add_result()
        with gr.Row(elem_id="downloads"):
            self.download = components.add_download("Download PNG", "download")
            self.sticker = components.add_download("Download small WebP", "sticker", visible=False)
        self.background, self.color = components.add_background()
        self.found = gr.Accordion("Faces found", open=False, visible=False, elem_id="found")
        with self.found:
            self.people = components.add_people()
            self.person = components.add_person(self.handlers)
            self.framed = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="boxes")
        visible = self.previews.portraits is not None
        with gr.Accordion("Comparison", open=False, visible=visible, elem_id="comparison"):
            gr.Markdown("The photo, AnimeGANv2 in the chosen style, and the StyleGAN toon.")
            self.make_comparison = gr.Button("Create comparison", elem_id="compare-networks")
            self.comparison = gr.Image(
                label="Comparison",
                type="filepath",
                interactive=False,
                visible=False,
                buttons=["fullscreen"],
                elem_id="comparison-image",
            )
            self.get_comparison = components.add_download(
                "Download comparison", "comparison-download"
            )
        gr.Markdown(text.PRIVACY, elem_id="privacy")

    def connect(self, page: gr.Blocks) -> None:
        """Connect the components with their handlers."""
        handlers, ground = self.handlers, [self.background, self.color]
        options = [*self.options, self.quality, *ground, self.wall]
        show: events.Options = {"fn": handlers.show, "inputs": options, "outputs": self.result}
        show |= {"show_progress_on": self.compare, **events.ONE_AT_A_TIME, **events.PRIVATE}
        drawn = self.button.click(**show)
        picked = self.gallery.select(
            self.previews.pick, self.wall, [self.style, self.about, self.quality], **events.LIGHT
        )
        picked.success(None, self.settings, None, js=self.write_link)
        for shown in (drawn, picked.success(**show | LAST)):
            # On a phone the result is further down.
            shown.success(None, js=components.scroll_to("compare"))
        self.connect_photo(show)
        self.connect_result(show, ground)
        self.style.change(handlers.choose, self.style, [self.about, self.quality], **events.LIGHT)
        self.many.connect(page, [*self.options[1:], self.quality, *ground])
        self.connect_links(page)
        if self.previews.portraits is not None:
            self.make_comparison.click(
                self.previews.compare,
                [self.photo, self.style, self.quality],
                [self.comparison, self.get_comparison],
                show_progress_on=self.make_comparison,
                **events.ONE_AT_A_TIME,
                **events.PRIVATE,
            )

    def connect_result(self, show: events.Options, ground: list[Any]) -> None:
        """Connect what changes a drawing without drawing all of it again."""
        handlers = self.handlers
        self.background.change(
            lambda word: gr.update(visible=word == COLOR),
            self.background,
            self.color,
            **events.LIGHT,
        )
        changed: events.Options = {"fn": handlers.change, "inputs": [self.drawing, *ground]}
        gr.on([self.background.input, self.color.change], **show | changed | LAST)
        self.people.select(
            handlers.pick_person, self.drawing, [self.person, self.drawing], **events.LIGHT
        )
        chosen: events.Options = {"fn": handlers.choose_person}
        chosen["inputs"] = [self.drawing, self.person, *ground]
        self.person.input(**show | chosen | LAST)

    def connect_photo(self, show: events.Options) -> None:
        """Connect a new photo: it is drawn large in the chosen style and small in all."""
        previews, wall = self.previews, [self.wall, *self.shown]
        example = self.examples.click(
            components.get_example, self.examples, self.photo, **events.LIGHT
        )
        changed = gr.on(
            [self.photo.input, self.photo.clear], self.clear, None, self.cleared, **events.LIGHT
        )
        for ready in (changed, example):
            begun = ready.then(
                previews.begin,
                [self.photo, self.style],
                wall,
                show_progress_on=self.photo,
                **WAITS,
                **LAST,
            )
            options = {"inputs": self.wall, "outputs": wall, "show_progress_on": self.progress}
            drawn = begun.success(previews.preview, **options, **WAITS, **LAST)
            first = {"fn": previews.draw_first, "inputs": [self.wall, *show["inputs"][:-1]]}
            large = drawn.then(**show | first | LAST)
            last = large.then(previews.preview_toon, **options, **WAITS, **LAST)
            for asked in (drawn, last):
                asked.failure(
                    lambda: (i18n.gettext(FAILED), gr.Button(visible=False)),
                    None,
                    [self.progress, self.stop],
                    **events.LIGHT,
                )
        self.stop.click(previews.stop, None, self.stop, **events.LIGHT)

    @property
    def cleared(self) -> list[Any]:
        """What belongs to one photo."""
        return [*self.result, self.wall, *self.shown, self.comparison, self.get_comparison]

    def clear(self, request: gr.Request) -> tuple:
        """Clear what belongs to another photo."""
        off = gr.update(value=None, interactive=False)
        gone = gr.update(value=None, visible=False)
        return *self.handlers.clear(), *self.previews.clear(request), gone, off

    @property
    def settings(self) -> list[Any]:
        """What a link says, in the order of `LINKED`."""
        drawn = [self.style, self.quality, self.strength, self.faces, self.keep_color]
        return [*drawn, self.background, self.color]

    @property
    def write_link(self) -> str:
        """JavaScript that writes the settings into the address, but for those of a new page."""
        usual = json.dumps([str(part.value).lower() for part in self.settings]).replace(
            "<", "\\u003c"
        )
        return f"""(...values) => {{ const link = new URL(location.href), usual = {usual};
{json.dumps(LINKED)}.forEach((name, i) => String(values[i]).toLowerCase() === usual[i]
    ? link.searchParams.delete(name) : link.searchParams.set(name, values[i]));
link.searchParams.delete('seed');
history.replaceState(history.state, '', link) }}"""

    def connect_links(self, page: gr.Blocks) -> None:
        """Connect what writes the settings into the address, and what reads them from a link."""
        inputs = [part.input for part in self.settings]
        gr.on(inputs, None, self.settings, None, js=self.write_link, **events.PRIVATE)
        outputs = [self.style, self.about, *self.settings[1:]]
        page.load(self.previews.arrive, None, outputs, show_progress="hidden", **events.PRIVATE)
        page.unload(self.previews.leave)
