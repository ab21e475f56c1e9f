"""Scenes: the same seed gives the same picture, and the picture shows what the scene says."""

import numpy as np

from prefdata.demo.scenes import CELL_SIDE, CELLS, KINDS, MAX_SHAPES, MIN_SHAPES, render, sample_scene


def test_same_seed_same_scene_and_pixels() -> None:
    first, second = sample_scene(17), sample_scene(17)
    assert first == second
    assert render(first).tobytes() == render(second).tobytes()
    assert render(first).tobytes() != render(sample_scene(18)).tobytes()


def test_picture_is_64_rgb() -> None:
    picture = render(sample_scene(0))
    assert (picture.size, picture.mode) == ((64, 64), "RGB")


def test_shapes_stand_in_raster_order_one_to_a_cell() -> None:
    for seed in range(200):
        scene = sample_scene(seed)
        cells = [shape.cell for shape in scene.shapes]
        assert MIN_SHAPES <= len(cells) <= MAX_SHAPES
        assert cells == sorted(set(cells))
        assert scene.items == tuple((CELLS[shape.cell], shape.kind) for shape in scene.shapes)
        assert scene.count() == len(cells)


def test_each_shape_is_seen_in_its_cell_and_nothing_elsewhere() -> None:
    for seed in range(100):
        scene = sample_scene(seed)
        pixels = np.asarray(render(scene)).astype(int)
        background = int(np.median(pixels))
        shapes = {shape.cell: shape for shape in scene.shapes}
        for cell in range(len(CELLS)):
            row, column = divmod(cell, 4)
            middle = pixels[row * CELL_SIDE + 6 : row * CELL_SIDE + 10, column * CELL_SIDE + 6 :][:, :4].mean(
                (0, 1)
            )
            if cell in shapes:
                expected = {"red": 0, "green": 1, "blue": 2}.get(shapes[cell].colour)
                assert expected is None or int(middle.argmax()) == expected
            else:
                assert abs(middle - background).max() < 12


def test_all_kinds_and_both_sizes_occur() -> None:
    shapes = [shape for seed in range(300) for shape in sample_scene(seed).shapes]
    assert {shape.kind for shape in shapes} == set(KINDS)
    assert 0.15 < sum(shape.small for shape in shapes) / len(shapes) < 0.35


def test_half_of_the_scenes_have_a_dominant_feature() -> None:
    scenes = [sample_scene(seed) for seed in range(500)]
    highest = [max(scene.count(form=form) for form in ("circle", "square", "triangle")) for scene in scenes]
    assert max(highest) >= 5
