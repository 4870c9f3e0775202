"""How handlers are called: their place in the queue, and whether they borrow a GPU."""

import contextlib
import threading
import time
from typing import Any

import gradio as gr
from gradio.blocks import BlockFunction
from gradio.exceptions import ComponentProcessingError, InvalidPathError
from starlette.middleware import Middleware
from typing_extensions import override

from toonify.ui import cleaning, i18n, outputs, queueing, sessions
from toonify.ui.gateway import Gateway
from toonify.ui.inputs import UserError, check_value

# Hugging Face ZeroGPU lends a GPU per call to a function in a process of its own: its arguments and
# result must be picklable. Everywhere else the decorator does nothing.
try:
    from spaces import GPU as on_gpu
except ImportError:

    def on_gpu(function):
        return function


PROGRESS = gr.Progress()  # as a parameter's default: gradio then shows the handler's progress
Options = dict[str, Any]  # of an event listener

# What gradio raises on inputs that a component cannot hold.
UNFIT = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError),
    *(ComponentProcessingError, InvalidPathError),
)
ONE_AT_A_TIME: Options = {"concurrency_id": "model", "concurrency_limit": 1}
PRIVATE: Options = {"api_visibility": "private"}
QUIET_S, MAX_NOISE_S = 3, 60  # for `Page.wait_for_quiet`
LIGHT: Options = {"queue": False, "show_progress": "hidden", **PRIVATE}


class Page(gr.Blocks):
    """A page that stands open to the public.

    Its endpoints accept fewer inputs than their handlers and fill in the defaults: programs that
    were written before an option existed do not send it, and gradio would refuse them. Inputs that
    cannot be what a component holds are refused in one sentence. Each visitor has a share of the
    queue, and files of visitors are deleted by age.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.ready = threading.Event()  # cleared while the app warms up
        self.ready.set()
        self.last_request = -float("inf")  # time.monotonic()
        self.cleaner = cleaning.Cleaner(gr.utils.get_upload_folder())

    def wait_for_quiet(self) -> None:
        """Wait until nobody has asked for anything for `QUIET_S`, but at most `MAX_NOISE_S`."""
        end = time.monotonic() + MAX_NOISE_S
        while time.monotonic() < min(end, self.last_request + QUIET_S):
            time.sleep(0.1)

    @override
    def queue(self, *args: Any, **options: Any) -> "Page":
        super().queue(*args, **options)
        self._queue = queueing.FairQueue(
            live_updates=True,
            concurrency_count=self.max_threads,
            update_intervals=1,
            max_size=None,  # `queueing.SHARES` are the limits
            blocks=self,
            default_concurrency_limit="not_set",
        )
        return self

    @override
    def get_config_file(self) -> Any:
        config = super().get_config_file()
        self.i18n_instance = i18n.mark_config(config)
        config["i18n_translations"] = self.i18n_instance.translations_dict
        return config

    @override
    def launch(self, *args: Any, **options: Any):
        keep = {path for block in self.blocks.values() for path in block.keep_in_cache}
        self.cleaner = cleaning.Cleaner(
            gr.utils.get_upload_folder(), keep, outputs.CLEAN_EVERY_S, outputs.KEEP_S
        )

        @contextlib.asynccontextmanager
        async def lifespan(running):
            running.state_holder = sessions.Sessions()
            running.state_holder.set_blocks(self)
            with self.cleaner.running():
                yield

        options["app_kwargs"] = {"middleware": [Middleware(Gateway)], "lifespan": lifespan}
        launched = super().launch(*args, **options)
        if self.mcp_server_obj is not None:  # gradio's own function leaves the mark out
            server = self.mcp_server_obj
            server.get_base64_data = outputs.encode_base64  # type: ignore[method-assign]
        return launched

    @override
    def validate_inputs(self, block_fn: BlockFunction, inputs: list[Any]) -> None:
        missing = block_fn.inputs[len(inputs) :]
        inputs.extend(block.value for block in missing if hasattr(block, "value"))
        if len(inputs) != len(block_fn.inputs):
            raise UserError(f"Expected {len(block_fn.inputs)} values, not {len(inputs)}.")
        for block, value in zip(block_fn.inputs, inputs, strict=True):
            check_value(block, value)

    @override
    async def preprocess_data(self, block_fn, inputs, state, explicit_call=False):
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except gr.Error:  # has a sentence already
            raise
        except UNFIT as error:
            raise UserError("One of the values does not fit: see the API's description.") from error
