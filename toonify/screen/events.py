"""How handlers are called: their place in the queue, and whether a GPU is lent to them."""

from typing import Any

import gradio as gr

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


def fill_in(page: gr.Blocks) -> gr.Blocks:
    """The page, which takes less data than a function has inputs: programs that were written before
    an option came say nothing of it, and mean its default. Gradio would refuse them."""
    validate = page.validate_inputs

    def filled(fn, inputs: list[Any]):
        inputs.extend(block.value for block in fn.inputs[len(inputs) :] if hasattr(block, "value"))
        validate(fn, inputs)

    page.validate_inputs = filled
    return page
