// The lesson for a room: five acts in 45 minutes, as in docs/lesson.md. Each step: the panel to open, the question to ask,
// and what the next key press reveals. `isGuess`: the panel would answer, so it is hidden until then. `lit`: its control, which the
// card never covers.
import { PRESETS } from "./toy.js";

const { latents, styles } = albumGan.setup;

export const MINUTES = 45;
export const ACTS = [
  {
    title: "A game for two", minutes: 8,
    steps: [
      { panel: "room", at: {}, ask: "Real or fake? You have one second for each cover.", reveal: "Remember your score: the critic plays for the rest of the lesson." },
      { panel: "game", at: { data: "pair", loss: "dcgan" }, lit: ".tools", ask: "Step the discriminator: what changes?", reveal: "Only the background. It learns to tell amber points from blue ones." },
      { panel: "game", at: { data: "pair", loss: "dcgan" }, lit: ".tools", ask: "Step the generator: what moves now?", reveal: "Only the blue points, uphill, to where the discriminator says real." },
    ],
  },
  {
    title: "From noise to a cover", minutes: 10,
    steps: [
      { panel: "noise", at: { seed: "7" }, isGuess: true, ask: "How many numbers does a cover start from?", reveal: `${latents}${styles ? ` numbers and one of ${styles} styles, both chosen by the seed` : ""}. Everything else is in the weights.` },
      { panel: "shapes", at: { recipe: "dcgan" }, isGuess: true, ask: "From 4 × 4 to 64 × 64: how many doublings?", reveal: "Four: 8, 16, 32, 64. (4 - 1) × 2 - 2 × 2 + 5 + 1 = 8." },
      { panel: "noise", at: { seed: "7", step: "middle" }, lit: "[data-do=mute-step]", ask: "If we mute this layer, what will be left of the cover?", reveal: "Mute it and see. No unit was told what to draw." },
    ],
  },
  {
    title: "The discriminator", minutes: 8,
    steps: [
      { panel: "critic", at: { seed: "7" }, isGuess: true, ask: "What does the critic say about our generator's covers?", reveal: "Fake, mostly: it was trained on exactly these. Amber areas nearly fooled it." },
      { panel: "critic", at: { seed: "11" }, ask: "Who has a picture on their phone? What will it say?", reveal: "A photograph often looks real to it, although it is not a cover: it knows textures, not music." },
    ],
  },
  {
    title: "What goes wrong", minutes: 12,
    steps: [
      { panel: "game", at: PRESETS["An uninformative loss"], lit: ".tools", ask: "Press Run. The points get closer: what will the losses do?", reveal: "They hover. A loss of 5 says nothing about the pictures: it only shows that the discriminator is ahead." },
      { panel: "game", at: PRESETS["Collapse"], lit: ".tools", ask: "The generator takes ten steps per discriminator step. Now what?", reveal: "Mode collapse: all points gather in one place and jump together." },
      { panel: "wrong", at: { run: "1" }, lit: ".bets", ask: "What went wrong in this run?", reveal: "Real pixels from 0 to 1, generated ones from -1 to 1: everything is pale." },
      { panel: "wrong", at: { run: "2" }, lit: ".bets", ask: "And in this one?", reveal: "Three of four covers are copies of one. The generator learns what is most frequent." },
      { panel: "norm", at: { seeds: "7,11,12,13" }, isGuess: true, lit: "[data-do=neighbours]", ask: "Does a cover depend on its neighbours?", reveal: "In training mode, yes: it uses batch statistics. In evaluation mode, running averages." },
    ],
  },
  {
    title: "Ten years on one page", minutes: 7,
    steps: [
      { panel: "history", at: { at: "1000", models: "bundled,teaching" }, ask: "Left or right: which was trained for a day, which is from 2015?", reveal: "Same data. The left discriminator knew edges and letters before training began." },
      { panel: "guide", at: {}, isGuess: true, ask: "800 covers, a laptop: which would you choose?", reveal: "projected, starting from the bundled model. From scratch it needs thousands." },
      { panel: "lesson", at: { quiz: "1" }, ask: "Five questions.", reveal: "The page grades them." },
    ],
  },
];

export const QUESTIONS = [
  { question: "What does the generator learn from?", options: ["Real covers, which it copies", "The discriminator's gradient at its own pictures", "The names of the covers"], answer: 1, why: "In a GAN it never sees a real cover: only how the discriminator's score changes with its pixels. (The bundled model has a second loss term, which compares a network's features of many generated covers with those of real ones.)" },
  { question: "W = 32, F = 5, S = 2, P = 2: what comes out of the convolution?", options: ["14", "16", "18"], answer: 1, why: "floor((32 - 5 + 2 × 2) / 2) + 1 = 16." },
  { question: "A DCGAN's generator has a loss of 5. Is that bad?", options: ["Yes", "No", "The loss alone cannot tell"], answer: 2, why: "The loss shows which network is ahead. Look at samples, or at a distance to held-out covers." },
  { question: "All seeds give nearly the same cover. What is this called, and what do you do?", options: ["Overfitting: keep training", "Mode collapse: go back, lower rates or another recipe", "Truncation: turn it up"], answer: 1, why: "It seldom recovers: resume from the last checkpoint before it." },
  { question: "Why must real pixels be scaled to -1 to 1?", options: ["The generator's last layer is tanh, which has that range", "It saves memory", "Screens need it"], answer: 0, why: "Otherwise the discriminator tells real from fake by the range alone, and the covers turn pale." },
];
