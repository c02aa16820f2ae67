// The pages of the guided tour: each says one thing, asks for one action and shows one thing. `at` is the panel's state,
// `lit` the highlighted elements, `until` the required action; bets are made before the reveal.
import { PRESETS } from "./toy.js";

const { latents, resolution } = albumGan.setup;

export const PAGES = [
  {
    title: "Two networks, one game",
    text: "A generator draws; a discriminator says whether a picture is real; each improves by competing with the other.",
    panel: "game", at: { data: "pair", loss: "dcgan" }, lit: ".tools", ask: "Press Step the discriminator, then Step the generator.", until: ["step generator"],
    see: "The discriminator changes the background, never a point. The generator moves its points to where it is amber.",
  },
  {
    title: "It starts with noise",
    text: "The generator's input is a list of random numbers, the latent vector; each seed gives one.",
    panel: "noise", at: { seed: "7" }, lit: ".controls", ask: "Press Another seed.", until: ["seed"],
    see: "Another seed, another cover. The same seed always draws the same cover.",
    bet: { question: "How many numbers does this network start from?", options: ["3", String(latents), (resolution ** 2).toLocaleString("en")], answer: 1 },
  },
  {
    title: "From 4 × 4 to a picture",
    text: `Layer by layer the feature maps get larger and fewer: hundreds of 4 × 4 at first, three of ${resolution} × ${resolution} at the end.`,
    panel: "noise", at: { seed: "7" }, lit: ".steps", ask: "Choose a step further to the right.", until: ["step"],
    see: "Early maps hold the composition, late ones edges and texture. The last three are red, green and blue.",
  },
  {
    title: "Output sizes",
    text: "One line of arithmetic gives a layer's output size from its kernel size, stride and padding.",
    panel: "shapes", at: { recipe: "dcgan", conv: "64,5,2,2,0,0" }, lit: ".calculator", ask: "Change the stride or the kernel.", until: ["calculated"],
    see: "Stride 2 halves the size; the transposed convolution doubles it. Impossible settings are explained.",
    bet: { question: "Size 64, kernel 5, stride 2, padding 2: what comes out?", options: ["30", "31", "32"], answer: 2 },
  },
  {
    title: "One output value",
    text: "A layer is just sums of products: inputs times weights learned in training.",
    panel: "noise", at: { seed: "7", step: "kernel", channel: "0" }, lit: ".channel .tools", ask: "Press Break down one value.", until: ["product"],
    see: "Thousands of products, one number: the value that the network computed.",
  },
  {
    title: "Mute part of it",
    text: "Zero out a layer or a channel and see what it was for.",
    panel: "noise", at: { seed: "7", step: "middle" }, lit: ".detail .tools", ask: "Press Mute this step.", until: ["muted"],
    see: "The cover changes at once. Nobody told these channels what to draw; training did.",
  },
  {
    title: "The discriminator",
    text: "The discriminator scores a whole picture; here you also see a score for each part of it.",
    panel: "critic", at: { seed: "7" }, lit: ".controls", ask: "Press Another cover, or try your own picture.", until: ["judged"],
    see: "Amber looks real to it, blue looks fake. The gradient of the score tells the generator which pixels to change, and how.",
    bet: { question: "What will the discriminator say about this generator's covers?", options: ["Real", "Fake", "It cannot tell"], answer: 1 },
  },
  {
    title: "Is a loss of 5 bad?",
    text: "A DCGAN's losses show which network is ahead, not how good the pictures are.",
    panel: "game", at: PRESETS["An uninformative loss"], lit: ".tools", ask: "Press Run and compare the losses with the true distance.", until: ["run"],
    see: "The distance falls, the losses hover: both networks improve. A loss of 5 shows that the discriminator is ahead, not how good the pictures are.",
    bet: { question: "The points get closer to the real ones. What do the losses do?", options: ["Both fall to 0", "They hover", "Both rise"], answer: 1 },
  },
  {
    title: "An informative loss",
    text: "A Wasserstein critic estimates a distance; its loss is minus that, and approaches 0 as the points get closer.",
    panel: "game", at: PRESETS["An informative loss"], lit: ".tools", ask: "Press Run.", until: ["run"],
    see: "The critic's loss climbs noisily towards 0 while the true distance falls. The penalty keeps its gradient norm near 1.",
  },
  {
    title: "Mode collapse",
    text: "A generator may find one picture that works, and draw nothing else.",
    panel: "game", at: PRESETS["Collapse"], lit: ".tools", ask: "Press Run and watch how many modes it finds.", until: ["run"],
    see: "All points gather in one place, on or between modes, and jump together. With covers: every seed gives the same one.",
    bet: { question: "The generator takes ten steps per discriminator step. What happens?", options: ["It learns faster", "All points gather in one place", "Nothing"], answer: 1 },
  },
  {
    title: "Watch it learn",
    text: "The same 64 seeds, from noise to the last sheet of the training.",
    panel: "history", at: { at: "0" }, lit: ".wide-field", ask: "Move the slider, or press Play.", until: ["scrubbed"],
    see: "Colour first, then composition, then detail. The kernel distance tracks quality; the losses do not.",
  },
  {
    title: "Your neighbours count",
    text: "Batch normalisation uses batch statistics during training, and running averages afterwards.",
    panel: "norm", at: { seeds: "7,11,12,13" }, lit: "[data-do=neighbours]", ask: "Press Other neighbours and watch the first cover in both rows.", until: ["neighbours"],
    see: "In training mode the first cover changes with its neighbours; in evaluation mode it does not.",
    bet: { question: "In training mode, does a cover depend on the others in its batch?", options: ["Yes", "No"], answer: 0 },
  },
  {
    title: "A space of covers",
    text: "Latents can be added and interpolated: nearby latents give similar covers.",
    panel: "latent", at: {}, lit: "[data-do=others]", ask: "Press Other covers.", until: ["latent"],
    see: "A path leads from every cover to every other, through covers that nobody has seen before.",
  },
  {
    title: "Pixels from -1 to 1",
    text: "The generator ends with tanh and draws from -1 to 1. What if the real pixels go from 0 to 1?",
    panel: "wrong", at: { run: "1" }, lit: ".bets", ask: "Watch the film and say what went wrong.", until: ["diagnosed"],
    see: "Nothing is ever darker than mid-grey. A very common mistake, and easy to spot once you know it.",
    bet: { question: "Real pixels from 0 to 1, generated ones from -1 to 1: how will the pictures look?", options: ["Pale", "Black", "Normal"], answer: 0 },
  },
  {
    title: "Which one would you choose?",
    text: "Eleven recipes; each fixes a weakness of an older one.",
    panel: "guide", at: {}, lit: ".cards", ask: "Find the card of the recipe you would choose for 800 covers.", until: [],
    see: "projected: its discriminator uses a pretrained network that knows edges, faces and letters, so it needs fewer covers; with 800, start from a trained model.",
    bet: { question: "800 covers, no GPU. Which recipe?", options: ["dcgan", "wgan_gp", "projected", "r3gan"], answer: 2 },
  },
];
