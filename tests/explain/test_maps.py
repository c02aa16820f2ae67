"""Feature maps, products, verdicts and statistics, against what torch itself computes."""

import json

import numpy as np
import pytest
import tiny_recipes
import torch
from PIL import Image

from album_gan import AlbumCoverPipeline
from album_gan.covers.synthetic import draw_cover
from album_gan.explain import guide, maps, walks
from album_gan.explain.critic import WHOLE, Critic
from album_gan.explain.history import course_of
from album_gan.explain.networks import RECIPES, bundled_pair, discriminator_of, recipe_pair, trace_generator
from album_gan.explain.normalisation import batch_statistics, norms_of, pictures, statistics
from album_gan.explain.trace import trace
from album_gan.inference.model_store import find_model
from album_gan.inference.pixels import to_pil
from album_gan.networks.projected_discriminator import ProjectedDiscriminator


@pytest.fixture(scope="module")
def teaching():
    return bundled_pair("teaching")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dcgan", {"width": 32}),
        ("r3gan", {"width": 32, "blocks": 1}),
        ("wgan_gp", {"width": 32}),
        ("vanilla", {"width": 16}),
    ],
)
def test_products_add_up_to_what_the_network_computed(name, settings):
    """Convolutions, grouped and transposed ones and fully connected layers; in corners, where padding counts."""
    pair = recipe_pair(name, 32, **settings)
    tried = 0
    for step in trace_generator(pair, 5).steps:
        if "weight" not in step.arguments:
            continue
        channels, height, width = (*step.output, 1, 1)[:3]
        for channel, y, x in ((0, 0, 0), (channels - 1, height - 1, width - 1), (channels // 2, height // 2, 0)):
            found = maps.products(step, channel, y, x)
            assert found["sum"] == pytest.approx(found["value"], abs=1e-4)
            shown = sum(part["sum"] for part in found["parts"]) + found["others"] + found["bias"]
            assert shown == pytest.approx(found["value"], abs=1e-4)
            tried += 1
    assert tried >= 9


def test_a_sheet_holds_every_channel(teaching):
    step = next(step for step in trace_generator(teaching, 5).steps if step.output == (80, 16, 16))
    sheet, columns = maps.contact_sheet(step.value)
    assert (sheet.size, columns) == ((9 * 16, 9 * 16), 9)
    tile = np.asarray(sheet)[16:32, 32:48].astype(float)  # channel 9 + 2
    values = step.value[0, 11].numpy()
    assert np.corrcoef(tile.ravel(), values.ravel())[0, 1] > 0.999
    with pytest.raises(ValueError, match="must be a convolution"):
        maps.products(next(s for s in trace_generator(teaching, 5).steps if s.kind.name == "tanh"), 0, 0, 0)


def test_shares_of_places_add_up_to_the_score(teaching):
    companions = pictures(teaching.generator, teaching.inputs([1, 2]), training=False)
    critic = Critic(teaching.discriminator, companions)
    image = teaching.draw([9])
    verdict = critic.judge_tensor(image)
    assert verdict.score == pytest.approx(teaching.discriminator(image).item(), abs=1e-4)
    assert sum(map(sum, verdict.scales[0].scores)) == pytest.approx(verdict.score, abs=1e-3)
    assert critic.judge(to_pil(image)[0]).score == pytest.approx(verdict.score, abs=0.2)  # bytes are rounded
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand_as(image)
    wide = critic.judge(Image.new("RGB", (300, 100), "red"))
    assert wide.score == pytest.approx(teaching.discriminator(red).item(), abs=1e-4)


@pytest.mark.parametrize("name", tiny_recipes.RECIPES)
def test_the_critic_judges_with_every_kind_of_discriminator(name):
    _, _, discriminator = tiny_recipes.build(name)
    discriminator.eval()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    verdict = Critic(discriminator, images[1:]).judge_tensor(images[:1])
    with torch.no_grad():
        assert verdict.score == pytest.approx(discriminator(images)[0].mean().item(), abs=1e-4)  # as `pipe.critic`
    if verdict.scales[0].name == WHOLE:
        assert sum(map(sum, verdict.scales[0].scores)) == pytest.approx(verdict.score, abs=1e-4)


@pytest.mark.parametrize("name", ["wgan", "wgan_gp", "progressive", "r3gan", "began"])
def test_scores_without_a_threshold_judge_nothing(tmp_path, name):
    tiny_recipes.build(name)[2].save_pretrained(tmp_path / "discriminator")
    (tmp_path / "training.json").write_text(json.dumps({"recipe": name}))
    reason = f"the scores of recipe {name} have no threshold between real and fake covers"
    assert discriminator_of(tmp_path) == (None, reason)
    (tmp_path / "training.json").unlink()
    assert discriminator_of(tmp_path)[1] != reason  # of an unknown recipe it is tried


def test_the_bundled_critic_tells_drawn_covers_from_the_projects_own():
    pair = bundled_pair("bundled")
    critic = Critic(pair.discriminator, pair.draw(list(range(100, 107))))
    verdict = critic.judge_tensor(pair.draw([0]))
    assert [scale.name for scale in verdict.scales] == ["fine texture", "edges", "parts", "composition"]
    mean = sum(scale.mean for scale in verdict.scales) / 4
    assert verdict.score == pytest.approx(mean, abs=1e-4)
    drawn = [verdict.score, *(critic.judge_tensor(pair.draw([seed])).score for seed in (1, 2, 3))]
    own = [critic.judge(draw_cover(index, 128)).score for index in range(4)]
    assert np.mean(drawn) < 0 < np.mean(own)


def test_a_second_networks_verdict_is_shown_beside_the_firsts():
    network = ProjectedDiscriminator(input_size=128, second_network=True).eval()
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    verdict = Critic(network, images[1:]).judge_tensor(images[:1])
    names = ["fine texture", "edges", "parts", "composition"]
    assert [scale.name for scale in verdict.scales] == [*names, *(f"{name}, second network" for name in names)]
    assert verdict.score == pytest.approx(network(images)[0].mean().item(), abs=1e-4)


def test_statistics_are_those_of_the_batch_and_nothing_is_left_changed(teaching):
    inputs = teaching.inputs([1, 2, 3])
    before = {name: value.clone() for name, value in teaching.generator.state_dict().items()}
    name = list(norms_of(teaching.generator))[1]
    found = statistics(teaching.generator, inputs, name)
    step = next(step for step in trace(teaching.generator, *inputs).steps if step.name == name)
    assert found["channels"] == step.output[0]
    with batch_statistics(teaching.generator):  # of the layers before it, too
        stamp = trace(teaching.generator, *inputs).steps[step.number - 1].value
    assert np.allclose(found["batch_mean"], stamp.mean((0, 2, 3)).numpy(), atol=1e-3)
    assert np.allclose(found["batch_spread"], stamp.std((0, 2, 3), correction=0).numpy(), atol=1e-3)
    trained = pictures(teaching.generator, inputs, training=True)
    assert not torch.allclose(trained, pictures(teaching.generator, inputs, training=False), atol=0.05)
    assert all(torch.equal(value, before[name]) for name, value in teaching.generator.state_dict().items())
    assert not teaching.generator.training


def test_walks_end_where_they_should_and_the_arc_keeps_its_length():
    first, last = torch.randn(1, 128), torch.randn(1, 128)
    for path in (walks.line(first, last, 5), walks.sphere(first, last, 5)):
        assert torch.allclose(path[0], first[0], atol=1e-4)
        assert torch.allclose(path[-1], last[0], atol=1e-4)
    assert walks.line(first, last, 5)[2].norm() < 0.85 * first.norm()
    assert walks.sphere(first, last, 5)[2].norm() > 0.9 * min(first.norm(), last.norm())
    assert walks.arithmetic(first, last, last).norm() == pytest.approx(128**0.5, rel=1e-4)
    assert torch.allclose(walks.arithmetic(first, last, last), walks.on_sphere(first), atol=1e-4)


def test_the_lesson_draws_the_same_cover_of_a_seed_as_the_pipeline():
    """Alone, in a trace, and at the ends of walks, whatever class the seed draws."""
    pair, pipe = bundled_pair("bundled"), AlbumCoverPipeline.from_pretrained("bundled")
    seeds = [7, 11, 12]
    assert len(set(pipe.classes_of(seeds))) == 3
    expected = pipe(seeds=seeds, output_type="pt").images

    def assert_drawn(images, *rows):
        assert torch.allclose(images / 2 + 0.5, expected[list(rows)], atol=1 / 255)

    z, classes = pair.inputs(seeds)
    assert_drawn(pair.draw(seeds), 0, 1, 2)
    assert_drawn(trace_generator(pair, 11).output.clamp(-1, 1), 1)
    assert_drawn(pictures(pair.generator, pair.inputs([12]), training=False), 2)
    for path in (walks.line, walks.sphere):
        walk = walks.draw(pair.generator, path(*z[:2].split(1), 3), walks.shares(3), classes[:2])
        assert_drawn(walk[[0, 2]], 0, 1)
    a_without_b_and_with_b = walks.arithmetic(z[:1], z[1:2], z[1:2])
    shares = torch.tensor([[1.0, -1.0, 1.0]])
    assert_drawn(walks.draw(pair.generator, a_without_b_and_with_b, shares, classes[[0, 1, 1]]), 0)


def test_every_recipe_has_a_card_and_the_tree_has_one_root():
    cards = guide.cards()["cards"]
    assert {card["name"] for card in cards} == set(RECIPES)
    years = {card["name"]: card["year"] for card in cards}
    assert [card["name"] for card in cards if not card["parent"]] == ["vanilla"]
    assert all(years[card["parent"]] <= card["year"] for card in cards if card["parent"])
    assert all(card["paper"].startswith("arXiv:") for card in cards)
    assert all(card["idea"].count(". ") == 1 and card["idea"].endswith(".") for card in cards)


def test_the_course_of_a_training_is_what_its_log_says(tmp_path):
    course = course_of(find_model("bundled"))
    assert course["moments"][0] == 0
    assert len(course["losses"]["generator/hinge"]) <= 160
    assert course["kid"][-1][1] < course["kid"][0][1] / 2
    assert {alarm["name"] for alarm in course["alarms"]} == {"no improvement"}
    assert course_of(tmp_path) == {"moments": [], "losses": {}, "kid": [], "alarms": []}
