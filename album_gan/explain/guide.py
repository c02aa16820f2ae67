"""The field guide: a card for every recipe, and the family tree."""

import re
from dataclasses import dataclass
from typing import Any

from ..recipes.base import recipe_module
from .networks import RECIPES, resolutions

NOTATION = (
    "D is the discriminator before any sigmoid, x a real cover, G(z) a generated one, s(t) = log(1 + exp t); y is a "
    "label, c a code that the network Q recovers from the picture, f features of D, h a penalty on weights far from "
    "their past mean, u a point between x and G(z), L(x) D's reconstruction error of x, k and γ weights, P a frozen "
    "network, d the distance between many generated covers and many real ones."
)


@dataclass(frozen=True)
class Card:
    """`parent` is the recipe that this one improves on, "" for the first; each network minimises its loss."""

    year: int
    parent: str
    idea: str
    discriminator: str
    generator: str
    use: str


CARDS = {
    "vanilla": Card(
        2014, "", "Two networks compete: one draws, one judges. Nobody has to define what a good picture is.",
        "E s(-D(x)) + E s(D(G(z)))", "E s(-D(G(z)))", "To understand the idea, at 32 px. Not for covers.",
    ),
    "cgan": Card(
        2014, "vanilla", "Both networks get a label. A good picture of the wrong class counts as fake.",
        "E s(-D(x, y)) + E s(D(G(z, y), y))", "E s(-D(G(z, y), y))", "When you have labels and want to choose a class.",
    ),
    "dcgan": Card(
        2015, "vanilla", "Convolutions all the way, strided instead of pooled. Batch normalisation in both networks.",
        "E s(-D(x)) + E s(D(G(z)))", "E s(-D(G(z)))", "As the baseline that everybody knows.",
    ),
    "improved_dcgan": Card(
        2016, "dcgan",
        "Five remedies for unstable training. The discriminator compares images in a batch, which exposes collapse.",
        "0.9 E s(-D(x)) + 0.1 E s(D(x)) + E s(D(G(z))) + h", "|E f(x) - E f(G(z))|² / n + E s(-D(G(z))) + h",
        "To see what a remedy does: feature_weight 100, history_weight 1, or real_target 1.",
    ),
    "infogan": Card(
        2016, "dcgan",
        "Some inputs are codes that a third network must recover from the picture. Each comes to mean something.",
        "E s(-D(x)) + E s(D(G(z, c))) - E log Q(c | G(z, c))", "E s(-D(G(z, c))) - E log Q(c | G(z, c))",
        "To find out what varies among covers, without labels.",
    ),
    "wgan": Card(
        2017, "dcgan",
        "The critic no longer says real or fake: it estimates a distance. Weight clipping limits its gradients.",
        "E D(G(z)) - E D(x), weights within ±0.01", "-E D(G(z))",
        "To see a loss that approaches 0 as pictures improve.",
    ),
    "wgan_gp": Card(
        2017, "wgan", "A penalty on gradient norms other than 1 replaces clipping. Almost any network trains with it.",
        "E D(G(z)) - E D(x) + 10 E (|∇D(u)| - 1)²", "-E D(G(z))", "A classic without tuning, given time.",
    ),
    "began": Card(
        2017, "dcgan", "The discriminator is an autoencoder. A controller balances the two networks.",
        "E L(x) - k E L(G(z))", "E L(G(z))", "For smooth pictures with little diversity.",
    ),
    "progressive": Card(
        2018, "wgan_gp", "Both networks begin at 4 px and grow. Composition is learned before detail.",
        "E D(G(z)) - E D(x) + 10 E (|∇D(u)| - 1)² + 0.001 E D(x)²", "-E D(G(z))",
        "To watch covers appear from coarse to fine, given time.",
    ),
    "projected": Card(
        2021, "dcgan",
        "The discriminator sees a picture through a frozen, pretrained network. It knows edges and letters at once.",
        "E max(0, 1 - D(P(x))) + E max(0, 1 + D(P(G(z))))", "-E D(P(G(z))) + 16 d(P(G(z)), P(x))",
        "For covers, thousands of them, even without a GPU. With hundreds, start from a trained model.",
    ),
    "r3gan": Card(
        2024, "wgan_gp",
        "A real picture must score above a generated one. Penalties on both make it provably converge near a solution.",
        "E s(D(G(z)) - D(x)) + γ/2 E |∇D(x)|² + γ/2 E |∇D(G(z))|²", "E s(D(x) - D(G(z)))",
        "The best that trains from scratch, given a GPU and time.",
    ),
}  # fmt: skip


def cards() -> dict[str, Any]:
    """{"notation": ..., "cards": [...]}, the oldest first; each with its paper and the resolutions that it supports."""
    return {
        "notation": NOTATION,
        "cards": [
            {"name": name, **vars(card), "paper": _paper(name), "resolutions": sorted(resolutions(name))}
            for name, card in sorted(CARDS.items(), key=lambda item: item[1].year)
            if name in RECIPES
        ],
    }


def _paper(name: str) -> str:
    """The arXiv number in a recipe's docstring."""
    found = re.search(r"arXiv:\d{4}\.\d{4,5}", recipe_module(name).__doc__ or "")
    return found.group() if found else ""
