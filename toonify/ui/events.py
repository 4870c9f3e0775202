"""How handlers are called: their place in the queue, and whether they borrow a GPU."""

from typing import Any

import gradio as gr
from gradio.blocks import BlockFunction
from typing_extensions import override

# Hugging Face ZeroGPU lends a GPU per call to a function in a process of its own: its arguments and
# result must be picklable. Everywhere else the decorator does nothing.
try:
    from spaces import GPU as on_gpu
except ImportError:

    def on_gpu(function):
        return function


PROGRESS = gr.Progress()  # as a parameter's default: gradio then shows the handler's progress
Options = dict[str, Any]  # of an event listener

ONE_AT_A_TIME: Options = {"concurrency_id": "model", "concurrency_limit": 1}
PRIVATE: Options = {"api_visibility": "private"}
LIGHT: Options = {"queue": False, "show_progress": "hidden", **PRIVATE}


class Page(gr.Blocks):
    """A page whose endpoints accept fewer inputs than their handlers and fill in the
    defaults.

    Programs that were written before an option existed do not send it; gradio would refuse them.
    """

    @override
    def validate_inputs(self, block_fn: BlockFunction, inputs: list[Any]) -> None:
        missing = block_fn.inputs[len(inputs) :]
        inputs.extend(block.value for block in missing if hasattr(block, "value"))
        super().validate_inputs(block_fn, inputs)
