"""Puts a head into a scene. This file imports Blender (bpy, GPL-3), apart from the library."""

import bpy
import numpy as np
from mathutils import Matrix, Vector

from training.prepare.heads.blender.materials import eye_material, make_material
from training.prepare.heads.model import Model
from training.prepare.heads.table import PARTS

SENSOR = 36.0


def to_blender(points):
    """y up -> z up."""
    p = np.asarray(points)
    return np.stack([p[..., 0], -p[..., 2], p[..., 1]], -1)


def link(name, data):
    item = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(item)
    return item


class SceneBuilder:
    """Fills an empty scene with a model."""

    def __init__(self, model: Model):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.model, self.scene = model, bpy.context.scene
        self.materials = {}

    def material(self, name, part):
        key = name, part
        if key not in self.materials:
            look = self.model.looks[name]
            self.materials[key] = make_material(f"{name}_{part}", look, PARTS.index(part))
        return self.materials[key]

    def add_mesh(self, mesh, regions=None):
        data = bpy.data.meshes.new(mesh.material)
        count = len(mesh.triangles)
        data.vertices.add(len(mesh.vertices))
        data.vertices.foreach_set("co", to_blender(mesh.vertices).astype(np.float32).ravel())
        data.loops.add(3 * count)
        corners = np.ascontiguousarray(mesh.triangles, dtype=np.int32).ravel()
        data.loops.foreach_set("vertex_index", corners)
        data.polygons.add(count)
        data.polygons.foreach_set("loop_start", np.arange(0, 3 * count, 3, dtype=np.int32))
        data.materials.append(self.material(mesh.material, mesh.part))
        if regions:
            slots = np.zeros(count, np.int32)
            for slot, (part, inside) in enumerate(regions.items(), 1):
                data.materials.append(self.material(mesh.material, part))
                slots[inside] = slot
            data.polygons.foreach_set("material_index", slots)
        data.update(calc_edges=True)
        data.polygons.foreach_set("use_smooth", np.ones(count, bool))
        if mesh.colors is not None:
            layer = data.attributes.new("tint", "FLOAT_COLOR", "POINT")
            rgba = np.hstack([mesh.colors, np.ones((len(mesh.colors), 1))])
            layer.data.foreach_set("color", rgba.astype(np.float32).ravel())
        link(mesh.material, data)

    def add_strands(self, strands):
        data = bpy.data.hair_curves.new(strands.material)
        sizes = [lines.shape[1] for lines in strands.lines for _ in range(len(lines))]
        data.add_curves(sizes)
        points = np.concatenate([to_blender(lines).reshape(-1, 3) for lines in strands.lines])
        data.attributes["position"].data.foreach_set("vector", points.astype(np.float32).ravel())
        radii = np.concatenate([r.ravel() for r in strands.radii]).astype(np.float32)
        layer = data.attributes.get("radius") or data.attributes.new("radius", "FLOAT", "POINT")
        layer.data.foreach_set("value", radii)
        data.materials.append(self.material(strands.material, strands.part))
        link(strands.material, data)

    def add_eye(self, eye, material):
        bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=48, radius=1)
        ball = bpy.context.object
        ball.data.polygons.foreach_set("use_smooth", [True] * len(ball.data.polygons))
        ball.scale, ball.location = (eye.radius,) * 3, to_blender(eye.center)
        ball.rotation_mode = "QUATERNION"
        ball.rotation_quaternion = Vector(to_blender(eye.gaze)).to_track_quat("Z", "Y")
        ball.data.materials.append(material)

    def add_camera(self):
        camera = self.model.camera
        data = bpy.data.cameras.new("camera")
        item = link("camera", data)
        axes = to_blender(camera.axes)
        frame = Matrix([[*axes[:, i], p] for i, p in enumerate(to_blender(camera.position))])
        item.matrix_world = frame.to_4x4()
        data.sensor_width = SENSOR
        data.lens = SENSOR * camera.focal / 2
        data.shift_x, data.shift_y = (-s / 2 for s in camera.shift)
        self.scene.camera = item

    def add_lamps(self):
        model = self.model
        target = np.mean([eye.center for eye in model.eyes], 0) + np.array([0, -0.06, -0.25])
        for lamp in model.lighting.lamps:
            data = bpy.data.lights.new("lamp", "AREA")
            data.shape, data.size, data.energy = "DISK", lamp.size, lamp.power
            data.color = lamp.color
            item = link("lamp", data)
            item.visible_glossy, item.visible_diffuse = lamp.reflected, lamp.diffuse
            away = np.asarray(lamp.offset) @ model.camera.level_axes
            item.location = to_blender(target + away)
            item.rotation_mode = "QUATERNION"
            item.rotation_quaternion = Vector(to_blender(away)).to_track_quat("Z", "Y")

    def add_world(self):
        """The camera sees the background; the scene is lit by an even dome."""
        lighting, pixels = self.model.lighting, self.model.background
        side = pixels.shape[0]
        image = bpy.data.images.new("background", side, side, float_buffer=True)
        image.colorspace_settings.name = "Linear Rec.709"
        image.pixels.foreach_set(
            np.concatenate([pixels[::-1], np.ones((side, side, 1), np.float32)], -1).ravel()
        )
        world = bpy.data.worlds.new("world")
        world.use_nodes = True
        world.cycles_visibility.glossy = False
        self.scene.world = world
        tree = world.node_tree
        tree.nodes.clear()
        add, connect = tree.nodes.new, tree.links.new
        dome, seen = add("ShaderNodeBackground"), add("ShaderNodeBackground")
        dome.inputs[0].default_value = (*lighting.dome, 1)
        dome.inputs[1].default_value = lighting.dome_strength
        place, texture = add("ShaderNodeTexCoord"), add("ShaderNodeTexImage")
        texture.image, texture.extension = image, "EXTEND"
        connect(place.outputs["Window"], texture.inputs[0])
        connect(texture.outputs[0], seen.inputs[0])
        path, mix, out = (add(f"ShaderNode{n}") for n in ("LightPath", "MixShader", "OutputWorld"))
        connect(path.outputs["Is Camera Ray"], mix.inputs[0])
        connect(dome.outputs[0], mix.inputs[1])
        connect(seen.outputs[0], mix.inputs[2])
        connect(mix.outputs[0], out.inputs[0])

    def build(self):
        model = self.model
        self.add_mesh(model.meshes[0], model.regions)
        for mesh in model.meshes[1:]:
            self.add_mesh(mesh)
        for strands in model.strands:
            self.add_strands(strands)
        material = eye_material(model.eyes[0], PARTS.index("eyes"))
        for eye in model.eyes:
            self.add_eye(eye, material)
        self.add_camera()
        self.add_lamps()
        self.add_world()


def set_render(scene, size: int, samples: int, seed: int, exposure: float, threads: int):
    """Settings of Cycles on the processor."""
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.seed = "CPU", samples, seed % 2**31
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.02
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    # Normals make no visible difference here, and filtering them takes time.
    cycles.denoising_input_passes = "RGB_ALBEDO"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 5, 2, 2
    cycles.transmission_bounces, cycles.transparent_max_bounces = 3, 4
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4
    render = scene.render
    render.resolution_x = render.resolution_y = size
    render.resolution_percentage = 100
    render.threads_mode, render.threads = "FIXED", threads
    scene.view_settings.view_transform = "Khronos PBR Neutral"
    scene.view_settings.exposure = exposure
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_material_index = True
