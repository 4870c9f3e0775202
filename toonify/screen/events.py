"""How handlers are called: their place in the queue, and whether a GPU is lent to them."""

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
