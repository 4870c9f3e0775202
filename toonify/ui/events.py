"""How handlers are called: their place in the queue, and whether a GPU is lent to them."""

from typing import Any

import gradio as gr
from gradio.blocks import BlockFunction
from typing_extensions import override

# Hugging Face ZeroGPU lends a GPU per call, to a function that runs in a process of its own: what
# goes in and out of it can be pickled. Everywhere else the decorator does nothing.
try:
    from spaces import GPU as on_gpu
except ImportError:

    def on_gpu(function):
        return function


TRACKED = gr.Progress()  # as a parameter's default it makes gradio pass on the handler's progress
ONE_AT_A_TIME = {"concurrency_id": "model", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private"}
LIGHT = {"queue": False, "show_progress": "hidden", **PRIVATE}


class Page(gr.Blocks):
    """A page whose endpoints accept fewer inputs than a handler has, and fill in the defaults.

    Programs that were written before an option existed do not send it; gradio would refuse them.
    """

    @override
    def validate_inputs(self, block_fn: BlockFunction, inputs: list[Any]) -> None:
        missing = block_fn.inputs[len(inputs) :]
        inputs.extend(block.value for block in missing if hasattr(block, "value"))
        super().validate_inputs(block_fn, inputs)
