"""Visitors' sessions, without what gradio keeps of each for deep links, which are closed here."""

import types
from typing import cast

from gradio.blocks import Blocks
from gradio.state_holder import SessionState, StateHolder
from typing_extensions import override


class Session(SessionState):
    """A visitor's session without a copy of the settings of every component.

    Gradio makes the copy for deep links alone. On this page it is 0.4 MB, and takes longer than all
    else of a call; each call of a program is a session of its own.
    """

    def __init__(self, blocks):
        bare = types.SimpleNamespace(default_config=blocks.default_config, blocks={})
        super().__init__(cast(Blocks, bare))


class Sessions(StateHolder):
    """The sessions of a page, by their hashes; the least recently used ones go first."""

    @override
    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self.blocks)
        return super().__getitem__(session_id)
