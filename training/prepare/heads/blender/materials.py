"""Materials of a head. This file imports Blender (bpy, GPL-3) and stays apart from the library."""

import bpy
import numpy as np

NOISE_SCALE = 2.5


class Nodes:
    """The node tree of a new material."""

    def __init__(self, name: str, part: int):
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.material.pass_index = part
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        self.output = self.add("ShaderNodeOutputMaterial")

    def add(self, kind: str, **settings):
        node = self.tree.nodes.new(kind)
        for name, value in settings.items():
            setattr(node, name, value)
        return node

    def link(self, start, end):
        self.tree.links.new(start, end)

    def surface(self, **settings):
        """A principled surface, linked to the output; names as in Blender, `_` for a space."""
        shader = self.add("ShaderNodeBsdfPrincipled")
        self.link(shader.outputs[0], self.output.inputs[0])
        for name, value in settings.items():
            socket = shader.inputs[name.replace("_", " ")]
            color = socket.type == "RGBA"
            socket.default_value = (*np.asarray(value, float)[:3], 1) if color else value
        return shader

    def math(self, operation: str, a, b=None):
        node = self.add("ShaderNodeMath", operation=operation)
        for socket, value in zip(node.inputs, (a, b), strict=False):
            if value is None:
                continue
            if isinstance(value, int | float):
                socket.default_value = value
            else:
                self.link(value, socket)
        return node.outputs[0]

    def ramp(self, value, stops):
        """A color ramp over (position, linear color) stops."""
        node = self.add("ShaderNodeValToRGB")
        self.link(value, node.inputs[0])
        elements = node.color_ramp.elements
        for index, (position, color) in enumerate((stops[0], stops[-1])):
            elements[index].position, elements[index].color = position, (*color, 1)
        for position, color in stops[1:-1]:
            elements.new(position).color = (*color, 1)
        return node.outputs[0]


def skin(nodes: Nodes, look):
    shader = nodes.surface(
        Subsurface_Weight=0.85,
        Subsurface_Scale=0.05,
        Subsurface_Radius=(1.0, 0.36, 0.2),
        Specular_IOR_Level=0.32,
        Coat_Weight=0.03,
        Coat_Roughness=0.3,
    )
    shader.subsurface_method = "BURLEY"  # the random walk looks alike and takes twice as long
    color = nodes.add("ShaderNodeAttribute", attribute_name="tint")
    nodes.link(color.outputs["Color"], shader.inputs["Base Color"])
    noise = nodes.add("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = NOISE_SCALE
    spread = nodes.add("ShaderNodeMapRange")
    nodes.link(noise.outputs[0], spread.inputs[0])
    spread.inputs[3].default_value, spread.inputs[4].default_value = 0.46, 0.60
    nodes.link(spread.outputs[0], shader.inputs["Roughness"])


def hair(nodes: Nodes, look, roughness=0.42, specular=0.35):
    """Hair that varies from strand to strand and is darker at the roots."""
    info = nodes.add("ShaderNodeHairInfo")
    low, high = look.color * 0.74, np.clip(look.color * 1.32 + 0.006, 0, 1)
    varied = nodes.ramp(info.outputs["Random"], [(0, low), (1, high)])
    along = nodes.ramp(info.outputs["Intercept"], [(0, (0.5, 0.5, 0.5)), (0.6, (1.12, 1.1, 1.06))])
    product = nodes.add("ShaderNodeVectorMath", operation="MULTIPLY")
    nodes.link(varied, product.inputs[0])
    nodes.link(along, product.inputs[1])
    shader = nodes.surface(Roughness=roughness, Specular_IOR_Level=specular, Anisotropic=0.6)
    nodes.link(product.outputs[0], shader.inputs["Base Color"])


def brow(nodes: Nodes, look):
    hair(nodes, look, 0.55, 0.25)


def lash(nodes: Nodes, look):
    nodes.surface(Base_Color=look.color + 0.006, Roughness=0.5)


def cloth(nodes: Nodes, look):
    shader = nodes.surface(
        Base_Color=look.color, Roughness=0.8, Specular_IOR_Level=0.25, Sheen_Weight=0.25
    )
    place = nodes.add("ShaderNodeTexCoord")
    split = nodes.add("ShaderNodeSeparateXYZ")
    nodes.link(place.outputs["Object"], split.inputs[0])
    x, z = split.outputs["X"], split.outputs["Z"]

    def wave(value, scale):
        return nodes.math("SINE", nodes.math("MULTIPLY", value, scale))

    patterns = {
        "stripes": lambda: nodes.math("GREATER_THAN", wave(z, 42.0), 0.1),
        "dots": lambda: nodes.math(
            "GREATER_THAN", nodes.math("MULTIPLY", wave(x, 38.0), wave(z, 38.0)), 0.62
        ),
        "checks": lambda: nodes.math(
            "GREATER_THAN", nodes.math("ADD", wave(x, 30.0), wave(z, 30.0)), 0.5
        ),
    }
    if look.pattern in patterns:
        mask = patterns[look.pattern]()
        color = nodes.ramp(mask, [(0, look.color), (1, 0.35 * look.color + 0.65 * look.second)])
        nodes.link(color, shader.inputs["Base Color"])
    weave = nodes.add("ShaderNodeTexNoise")
    weave.inputs["Scale"].default_value = 60.0
    bump = nodes.add("ShaderNodeBump")
    bump.inputs["Strength"].default_value, bump.inputs["Distance"].default_value = 0.25, 0.02
    nodes.link(weave.outputs[0], bump.inputs["Height"])
    nodes.link(bump.outputs[0], shader.inputs["Normal"])


def plastic(nodes: Nodes, look):
    nodes.surface(Base_Color=look.color, Roughness=0.25, Coat_Weight=0.5)


def lens(nodes: Nodes, look):
    nodes.surface(Base_Color=look.color, Roughness=0.08, Coat_Weight=0.6, Alpha=0.9)


def metal(nodes: Nodes, look):
    nodes.surface(Base_Color=look.color, Roughness=0.2, Metallic=1.0)


def teeth(nodes: Nodes, look):
    nodes.surface(
        Base_Color=look.color, Roughness=0.2, Subsurface_Weight=0.2, Subsurface_Scale=0.02
    )


def tongue(nodes: Nodes, look):
    nodes.surface(
        Base_Color=look.color, Roughness=0.35, Subsurface_Weight=0.3, Subsurface_Scale=0.03
    )


def eye(nodes: Nodes, eye):
    """A unit sphere that looks along z: pupil, iris, white, as one ramp over the angle."""
    shader = nodes.surface(Roughness=0.25, Coat_Weight=1.0, Coat_Roughness=0.02, Coat_IOR=1.6)
    place = nodes.add("ShaderNodeTexCoord")
    split = nodes.add("ShaderNodeSeparateXYZ")
    nodes.link(place.outputs["Object"], split.inputs[0])
    angle = nodes.math("DIVIDE", nodes.math("ARCCOSINE", split.outputs["Z"]), eye.iris)
    color, half = eye.color, eye.pupil / 2
    dark, light, black = color * 0.18, np.clip(color * 1.55 + 0.03, 0, 1), (0.002, 0.002, 0.003)
    stops = [
        (0, black),
        (half, black),
        (half + 0.02, dark * 0.8),
        (half + 0.09, color),
        (0.40, light),
        (0.455, color * 0.5),
        (0.485, dark * 0.5),
        (0.515, (0.60, 0.58, 0.58)),
        (0.545, (0.84, 0.82, 0.81)),
        (1, (0.86, 0.84, 0.83)),
    ]
    ramp = nodes.ramp(nodes.math("MULTIPLY", angle, 0.5), stops)
    # The iris is brighter below than above, as where light passes through it.
    shade = nodes.add("ShaderNodeMapRange")
    nodes.link(split.outputs["Y"], shade.inputs[0])
    for index, value in enumerate((-eye.iris, eye.iris, 1.55, 0.4), 1):
        shade.inputs[index].default_value = value
    mix = nodes.add("ShaderNodeMix", data_type="FLOAT")
    nodes.link(nodes.math("LESS_THAN", angle, 1.02), mix.inputs[0])
    mix.inputs[2].default_value = 1
    nodes.link(shade.outputs[0], mix.inputs[3])
    scaled = nodes.add("ShaderNodeVectorMath", operation="SCALE")
    nodes.link(ramp, scaled.inputs[0])
    nodes.link(mix.outputs[0], scaled.inputs["Scale"])
    nodes.link(scaled.outputs[0], shader.inputs["Base Color"])


SHADERS = {
    f.__name__: f for f in (skin, hair, brow, lash, cloth, plastic, lens, metal, teeth, tongue)
}


def make_material(name: str, look, part: int):
    """A Blender material for a look; `part` is its number in the mask."""
    nodes = Nodes(name, part)
    SHADERS[look.kind](nodes, look)
    return nodes.material


def eye_material(model_eye, part: int):
    nodes = Nodes("eye", part)
    eye(nodes, model_eye)
    return nodes.material
