"""Many photos: the components in the tab of photos and the handlers that they call."""

from typing import Any

import gradio as gr

from toonify.ui import components, events, gateway, text
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
        with gr.Accordion(text.MANY, open=False, elem_id="many"):
            most = gateway.MAX_UPLOAD // gateway.MB // 10 * 10
            gr.Markdown(text.MANY_ABOUT.format(most=MAX_PHOTOS, megabytes=most))
            self.files = add_files(text.MANY_FILES, "multiple", "many-files")
            self.folder = add_files(text.MANY_FOLDER, "directory", "many-folder")
            with gr.Row():
                self.button = gr.Button(text.MANY_DRAW, variant="primary", elem_id="many-draw")
                self.stop = gr.Button(text.STOP, visible=False, elem_id="many-stop")
            self.report = gr.Markdown(visible=False, elem_id="many-report")
            self.gallery = components.add_gallery(
                text.MANY_RESULTS, columns=3, elem_id="many-results", visible=False
            )
            self.download = components.add_download(
                text.MANY_DOWNLOAD, "many-download", visible=False
            )

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


def add_files(label: str, count: str, elem_id: str) -> gr.File:
    """Add an upload for several files."""
    return components.UploadedFiles(
        label=label, file_count=count, height=130, buttons=[], elem_id=elem_id
    )
