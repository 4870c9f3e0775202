"""Stylized 3D heads, sculpted from signed distance fields and rendered with Blender."""
