"""Many photos: the components in the tab of photos and the handlers that they call."""

from typing import Any, Literal

import gradio as gr

from toonify.ui import components, events, gateway, i18n
from toonify.ui.handlers.many import MAX_PHOTOS, ManyHandlers
from toonify.ui.outputs import KEEP_S


class ManyPhotos:
    """An accordion for many photos, which are drawn with the settings of the tab.

    Args:
        handlers: draw the photos.
    """

    def __init__(self, handlers: ManyHandlers):
        self.handlers = handlers
        self.batch = gr.State(time_to_live=KEEP_S)
        with gr.Accordion("Many photos", open=False, elem_id="many"):
            gr.Markdown(i18n.for_page(describe_limits))
            self.files = add_files("Photos", "multiple", "many-files")
            self.folder = add_files("A folder", "directory", "many-folder")
            with gr.Row():
                self.button = gr.Button("Create cartoons", variant="primary", elem_id="many-draw")
                self.stop = gr.Button("Stop", visible=False, elem_id="many-stop")
            self.report = gr.Markdown(visible=False, elem_id="many-report")
            self.gallery = components.add_gallery(
                "Cartoons", columns=3, elem_id="many-results", visible=False
            )
            self.download = components.add_download("Download ZIP", "many-download", visible=False)

    def connect(self, page: gr.Blocks, settings: list[Any]) -> None:
        """Connect the components with their handlers; `settings` are those of `begin`."""
        handlers = self.handlers
        shown = [self.batch, self.gallery, self.report, self.stop, self.download]
        self.button.click(
            handlers.begin,
            [self.files, self.folder, *settings],
            shown,
            **events.ONE_AT_A_TIME,
            **events.PRIVATE,
        )
        # A new batch asks for its first photo, and each photo for the next.
        self.batch.change(
            handlers.draw_next,
            self.batch,
            shown,
            show_progress="minimal",
            show_progress_on=self.report,
            **events.ONE_AT_A_TIME,
            **events.PRIVATE,
        )
        self.stop.click(handlers.stop, None, self.stop, **events.LIGHT)
        page.unload(handlers.leave)


def describe_limits() -> str:
    """Say how many photos may come at once."""
    return i18n.gettext(
        "Up to {most} photos or a folder, {size} MB in all. They are drawn with the settings of"
        " this tab. A file that cannot be read does not stop the others.",
        most=MAX_PHOTOS,
        size=gateway.MAX_UPLOAD // gateway.MB // 10 * 10,
    )


def add_files(label: str, count: Literal["multiple", "directory"], elem_id: str) -> gr.File:
    """Add an upload for several files."""
    return components.UploadedFiles(
        label=label, file_count=count, height=130, buttons=[], elem_id=elem_id
    )
