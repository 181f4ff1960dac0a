import numpy as np
import torch

from vosfw.data.scene import Difficulty, Scene, Surfaces


def scene(seed: int = 0, objects: int = 3, **options: float) -> Scene:
    return Scene.sample((seed, 1), Surfaces("train"), (48, 80), 24, objects, Difficulty(**options))


def test_a_scene_is_decided_by_its_seed() -> None:
    assert torch.equal(scene(4).render(5)[0], scene(4).render(5)[0])
    assert not torch.equal(scene(4).render(5)[0], scene(5).render(5)[0])


def test_ids_are_those_of_the_rendered_frame() -> None:
    world = scene(2)
    for time in (0, 9):
        assert torch.equal(world.ids(time), world.render(time)[1])


def test_nearer_bodies_hide_farther_ones() -> None:
    world = scene(objects=2, distractors=0)
    far, near = world.bodies
    stacked = world._replace(bodies=(far, near._replace(path=far.path, radius=2 * far.radius)))
    ids = stacked.ids(0)
    assert (ids == near.id).any()
    assert (ids == far.id).sum() < 0.2 * (world.ids(0) == far.id).sum()


def test_late_and_leaving_bodies_have_their_times() -> None:
    world = scene(late=1, leave=1, distractors=0)
    by_id = {body.id: body for body in world.bodies}
    assert by_id[1].enters == 0
    assert all(2 <= by_id[i].enters <= 10 for i in (2, 3))
    assert all(any(change > 0 and start >= 12 for start, change, _ in body.away) for body in world.bodies)


def test_look_alikes_share_their_texture() -> None:
    world = scene(objects=1, distractors=1)
    colors = [body.texture.mean((1, 2)) for body in world.bodies]
    assert len(world.bodies) == 2
    assert {body.id for body in world.bodies} == {0, 1}
    assert torch.allclose(colors[0], colors[1], atol=1e-5)


def test_objects_start_apart_and_in_view() -> None:
    shares = []
    for seed in range(12):
        world = scene(seed, distractors=0)
        counts = torch.bincount(world.ids(0).flatten(), minlength=4)
        shares += [float(counts[body.id] / (np.pi * body.radius**2)) for body in world.bodies]
    assert np.mean(shares) > 0.6
    assert np.mean(np.array(shares) > 0.2) > 0.95


def test_speed_scales_motion() -> None:
    def path(speed: float) -> float:
        return sum(
            float(np.hypot(*(body.center(1) - body.center(0))))
            for seed in range(6)
            for body in scene(seed, distractors=0, speed=speed).bodies
        )

    assert path(3.0) > 2 * path(1.0)


def test_light_noise_and_camera_change_a_scene_without_bodies() -> None:
    world = scene()._replace(bodies=(), noise=0.2)
    frames = [world.render(t)[0].float() for t in (0, 1, 12)]
    assert (frames[0] - frames[1]).abs().mean() > 1
    assert (frames[0] - frames[2]).abs().mean() > (frames[0] - frames[1]).abs().mean()
    assert not world.ids(0).any()
