"""The browser app: its networks as ONNX files, and the folder that a static host serves."""

from toonify.web.runtime import find_runtime
from toonify.web.site import build
from toonify.web.space import space_files

__all__ = ["build", "find_runtime", "space_files"]
