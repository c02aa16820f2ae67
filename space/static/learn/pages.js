// The pages of the guided tour: each says one thing, asks for one action and shows one thing. `at` is the panel's state,
// `lit` the highlighted elements, `until` the required action; bets are made before the reveal.
import { PRESETS } from "./toy.js";

const { latents, resolution } = albumGan.setup;

export const PAGES = [
  {
    title: "Two networks, one game",
    text: "A generator draws; a discriminator says whether a picture is real; each learns from the other's success.",
    panel: "game", at: { data: "pair", loss: "dcgan" }, lit: ".tools", ask: "Press Step the discriminator, then Step the generator.", until: ["step generator"],
    see: "The discriminator moves the ground, never a point. The generator moves its points to where the ground is amber.",
  },
  {
    title: "It begins with noise",
    text: "The generator's input is a list of random numbers, the latent; a seed names one.",
    panel: "noise", at: { seed: "7" }, lit: ".controls", ask: "Press Another seed.", until: ["seed"],
    see: "Another seed, another cover. The same seed always draws the same cover.",
    bet: { question: "How many numbers does this network begin with?", options: ["3", String(latents), (resolution ** 2).toLocaleString("en")], answer: 1 },
  },
  {
    title: "From 4 × 4 to a picture",
    text: `Layer by layer the maps become larger and fewer: hundreds of 4 × 4 in the beginning, three of ${resolution} × ${resolution} in the end.`,
    panel: "noise", at: { seed: "7" }, lit: ".steps", ask: "Choose a step further to the right.", until: ["step"],
    see: "Early maps hold composition, late ones edges and texture. The last three maps are red, green and blue.",
  },
  {
    title: "What size, and why",
    text: "A layer's output size follows from its kernel, stride and padding, by one line of arithmetic.",
    panel: "shapes", at: { recipe: "dcgan", conv: "64,5,2,2,0,0" }, lit: ".calculator", ask: "Change the stride or the kernel.", until: ["calculated"],
    see: "Stride 2 halves the size; its transposed twin doubles it. Impossible settings are reported, with the reason.",
    bet: { question: "Size 64, kernel 5, stride 2, padding 2: what comes out?", options: ["30", "31", "32"], answer: 2 },
  },
  {
    title: "One multiplication",
    text: "A layer is nothing but sums of products: inputs times weights that training has found.",
    panel: "noise", at: { seed: "7", step: "kernel", channel: "0" }, lit: ".channel .tools", ask: "Press Take one value apart.", until: ["product"],
    see: "Thousands of products, one number. The sum is what the network itself computed.",
  },
  {
    title: "Mute a part of it",
    text: "Silence a layer or a channel and see what it was for.",
    panel: "noise", at: { seed: "7", step: "middle" }, lit: ".detail .tools", ask: "Press Mute this step.", until: ["muted"],
    see: "The cover changes at once. Nobody told these channels what to draw; training did.",
  },
  {
    title: "The judge",
    text: "The discriminator gives a picture a score; here each place of the picture has its own as well.",
    panel: "critic", at: { seed: "7" }, lit: ".controls", ask: "Press Another cover, or try your own picture.", until: ["judged"],
    see: "Amber looks real to it, blue drawn. The generator learns from these slopes: which pixel to change, and how, for a higher score.",
    bet: { question: "What will the judge say of a cover that this generator drew?", options: ["It looks real", "It looks drawn", "It cannot tell"], answer: 1 },
  },
  {
    title: "Is a loss of 5 bad?",
    text: "In a DCGAN the loss measures how the two players stand, not how good the pictures are.",
    panel: "game", at: PRESETS["A loss that tells nothing"], lit: ".tools", ask: "Press Run and compare the losses with the true distance.", until: ["run"],
    see: "The distance falls, the losses hover: the opponent has improved as well. A loss of 5 by itself is neither good nor bad.",
    bet: { question: "The points get closer to the real ones. What will the losses do?", options: ["Both fall to 0", "They hover", "Both rise"], answer: 1 },
  },
  {
    title: "A loss that tells something",
    text: "A Wasserstein critic measures a distance, and its loss is minus that: it comes closer to 0 as the points come closer.",
    panel: "game", at: PRESETS["A loss that does"], lit: ".tools", ask: "Press Run.", until: ["run"],
    see: "The critic's loss climbs towards 0, not without noise, while the true distance falls. The penalty keeps the critic's slope near 1.",
  },
  {
    title: "Collapse",
    text: "A generator may find one picture that wins, and draw nothing else.",
    panel: "game", at: PRESETS["Collapse"], lit: ".tools", ask: "Press Run and count the hills that are found.", until: ["run"],
    see: "All points gather in one place, on a hill or between two, and jump together. On covers: every seed draws the same one.",
    bet: { question: "The generator takes ten steps for each of its judge's. What happens?", options: ["It learns faster", "All points gather in one place", "Nothing"], answer: 1 },
  },
  {
    title: "Watch it learn",
    text: "The same 64 seeds, from the first noise to the last step.",
    panel: "history", at: { at: "0" }, lit: ".wide-field", ask: "Move the slider, or press Play.", until: ["scrubbed"],
    see: "Colour first, then composition, then detail. The kernel distance follows the pictures; the losses do not.",
  },
  {
    title: "Your neighbours count",
    text: "Batch normalisation uses the statistics of the batch while training, and running averages afterwards.",
    panel: "norm", at: { seeds: "7,11,12,13" }, lit: "[data-do=neighbours]", ask: "Press Other neighbours and watch the first cover in both rows.", until: ["neighbours"],
    see: "In training mode the first cover changes with its neighbours; in evaluation mode it does not.",
    bet: { question: "In training mode, does a cover depend on the others in its batch?", options: ["Yes", "No"], answer: 0 },
  },
  {
    title: "A space of covers",
    text: "Latents can be added and walked between, because neighbours draw alike.",
    panel: "latent", at: {}, lit: "[data-do=others]", ask: "Press Other covers.", until: ["latent"],
    see: "There is a path from every cover to every other, and it leads through covers that nobody has seen.",
  },
  {
    title: "Pixels from -1 to 1",
    text: "The generator ends with tanh and draws from -1 to 1. What if the real pictures are given as 0 to 1?",
    panel: "wrong", at: { run: "1" }, lit: ".bets", ask: "Watch the film and say what went wrong.", until: ["diagnosed"],
    see: "Nothing is ever darker than the middle grey. Few mistakes are as common, or as quickly found once you know them.",
    bet: { question: "Real pixels from 0 to 1, drawn ones from -1 to 1: what will the pictures look like?", options: ["Pale", "Black", "As they should"], answer: 0 },
  },
  {
    title: "Which one would you take?",
    text: "Eleven recipes, each of which repairs a weakness of an older one.",
    panel: "guide", at: {}, lit: ".cards", ask: "Find the card of the one that you would take for 800 covers.", until: [],
    see: "projected: its judge begins with a network that knows edges, faces and letters, so a few hundred covers will do.",
    bet: { question: "800 covers, no GPU. Which recipe?", options: ["dcgan", "wgan_gp", "projected", "r3gan"], answer: 2 },
  },
];
