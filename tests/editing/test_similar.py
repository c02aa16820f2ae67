"""More like this: seeds near a seed, in latent space and to the eye."""

import numpy as np

from album_gan.editing.similar import POOL, Neighbours
from album_gan.inference.latents import latents_of


def directions(seeds):
    latents = latents_of(seeds, 128)
    return latents / np.linalg.norm(latents, axis=1, keepdims=True)


def test_neighbours_are_near_in_latent_space_and_look_alike(tiny_pipeline):
    seeds = Neighbours(tiny_pipeline).of(5, 15)
    assert len(set(seeds)) == 15
    assert 5 not in seeds
    assert all(0 <= seed < POOL for seed in seeds)
    here = directions([5])[0]
    others = directions(range(1000)) @ here
    assert (directions(seeds) @ here).min() > np.sort(np.delete(others, 5))[-20]  # nearer than 98 in 100

    def distance(seed):
        images = tiny_pipeline(seeds=[5, seed]).images
        first, second = (np.asarray(image.resize((8, 8), 4), float) for image in images)
        return np.abs(first - second).mean()

    distances = [distance(seed) for seed in seeds]
    assert distances == sorted(distances)


def test_a_seed_outside_of_the_pool_has_neighbours_too(tiny_pipeline):
    neighbours = Neighbours(tiny_pipeline)
    assert len(neighbours.of(99_999_999, 3)) == 3
    assert neighbours.of(99_999_999, 3) == neighbours.of(99_999_999, 3)
