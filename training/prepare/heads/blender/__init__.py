"""Renders heads with Blender: a program of its own, started by `training.prepare.heads`."""
