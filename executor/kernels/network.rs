//! The network: 64 pixels, one hidden layer (ReLU), ten classes (softmax), cross-entropy, Adam.
//! It refuses to sum in an order that depends on anything but the batch: gradients come in lanes and lanes meet in one fixed tree.

use super::digits::{CLASSES, Digit, PIXELS};

/// Images in one step.
pub const BATCH: usize = 32;
/// Lanes of one batch.
pub const LANES: usize = 8;
/// Images in one lane.
pub const LANE: usize = BATCH / LANES;

/// Parameters of a network with `hidden` units.
pub const fn parameters(hidden: usize) -> usize {
    PIXELS * hidden + hidden + hidden * CLASSES + CLASSES
}

/// Weights, one row a source unit: pixels × hidden, hidden biases, hidden × classes, class biases.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    hidden: usize,
    weights: Vec<f32>,
}

impl Network {
    /// Glorot-uniform weights drawn from `seed`, biases zero (Glorot and Bengio, AISTATS 2010, eq. 16).
    pub fn new(hidden: usize, seed: u64) -> Self {
        let mut weights = vec![0.0; parameters(hidden)];
        let (first, rest) = weights.split_at_mut(PIXELS * hidden);
        for (layer, (part, fans)) in
            [(first, PIXELS + hidden), (&mut rest[hidden..hidden + hidden * CLASSES], hidden + CLASSES)]
                .into_iter()
                .enumerate()
        {
            let limit = (6.0 / fans as f32).sqrt();
            for (i, weight) in part.iter_mut().enumerate() {
                // 24 bits fill an f32 exactly.
                let unit = (draw(seed, u64::MAX - layer as u64, i as u64) >> 40) as f32 / (1u32 << 24) as f32;
                *weight = (2.0 * unit - 1.0) * limit;
            }
        }
        Self { hidden, weights }
    }

    /// From stored weights; `None` when their number does not fit `hidden`.
    pub fn from_weights(hidden: usize, weights: Vec<f32>) -> Option<Self> {
        (weights.len() == parameters(hidden)).then_some(Self { hidden, weights })
    }

    /// Hidden units.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// All parameters in storage order.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The hidden layer into `active`, the logits back.
    fn forward(&self, image: &[f32; PIXELS], active: &mut [f32]) -> [f32; CLASSES] {
        let (first, rest) = self.weights.split_at(PIXELS * self.hidden);
        let (bias, rest) = rest.split_at(self.hidden);
        let (second, out_bias) = rest.split_at(self.hidden * CLASSES);
        active.copy_from_slice(bias);
        for (&ink, row) in image.iter().zip(first.chunks_exact(self.hidden)).filter(|(ink, _)| **ink != 0.0) {
            add_scaled(active, ink, row);
        }
        let mut logits = [0.0; CLASSES];
        logits.copy_from_slice(out_bias);
        for (unit, row) in active.iter_mut().zip(second.chunks_exact(CLASSES)) {
            *unit = unit.max(0.0);
            if *unit != 0.0 {
                add_scaled(&mut logits, *unit, row);
            }
        }
        logits
    }

    /// What the network sees in an image, 0 to 9; the lower digit on a tie.
    pub fn classify(&self, image: &[f32; PIXELS], active: &mut Vec<f32>) -> u8 {
        active.resize(self.hidden, 0.0);
        let logits = self.forward(image, active);
        (1..CLASSES).fold(0, |best, c| if logits[c] > logits[best] { c } else { best }) as u8
    }

    /// The share of `digits` that is recognised, 0 to 1.
    pub fn accuracy(&self, digits: &[Digit]) -> f64 {
        let mut active = Vec::new();
        let right = digits.iter().filter(|d| self.classify(&d.pixels, &mut active) == d.label).count();
        right as f64 / digits.len().max(1) as f64
    }

    /// Adds one lane's gradients (summed over its images, not averaged) to `gradient` and returns the summed loss in nats.
    pub fn lane<'a>(&self, images: impl Iterator<Item = &'a Digit>, gradient: &mut [f32]) -> f32 {
        let mut active = vec![0.0; self.hidden];
        let mut back = vec![0.0; self.hidden];
        let second = &self.weights[PIXELS * self.hidden + self.hidden..];
        let (g_first, rest) = gradient.split_at_mut(PIXELS * self.hidden);
        let (g_bias, rest) = rest.split_at_mut(self.hidden);
        let (g_second, g_out) = rest.split_at_mut(self.hidden * CLASSES);
        let mut loss = 0.0;
        for digit in images {
            let mut delta = self.forward(&digit.pixels, &mut active);
            loss += softmax_loss(&mut delta, usize::from(digit.label));
            add_scaled(g_out, 1.0, &delta);
            let rows = second.chunks_exact(CLASSES).zip(g_second.chunks_exact_mut(CLASSES));
            for ((&unit, back), (row, g_row)) in active.iter().zip(&mut back).zip(rows) {
                *back = 0.0;
                if unit > 0.0 {
                    add_scaled(g_row, unit, &delta);
                    *back = row.iter().zip(&delta).fold(0.0, |sum, (w, d)| sum + w * d);
                }
            }
            add_scaled(g_bias, 1.0, &back);
            let rows = digit.pixels.iter().zip(g_first.chunks_exact_mut(self.hidden));
            for (&ink, row) in rows.filter(|(ink, _)| **ink != 0.0) {
                add_scaled(row, ink, &back);
            }
        }
        loss
    }
}

/// Turns logits into the gradient (softmax minus one-hot) and returns the cross-entropy in nats.
fn softmax_loss(logits: &mut [f32; CLASSES], label: usize) -> f32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let right = logits[label] - top;
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - top).exp();
        sum += *logit;
    }
    for share in logits.iter_mut() {
        *share /= sum;
    }
    logits[label] -= 1.0;
    sum.ln() - right
}

fn add_scaled(into: &mut [f32], by: f32, row: &[f32]) {
    for (sum, value) in into.iter_mut().zip(row) {
        *sum += by * value;
    }
}

/// Sums eight equally long blocks as ((0+1)+(2+3))+((4+5)+(6+7)): the same bits whoever computed which block.
pub fn tree_sum(lanes: [&[f32]; LANES], into: &mut Vec<f32>) {
    into.clear();
    let [a, b, c, d, e, f, g, h] = lanes;
    into.extend((0..a.len()).map(|i| ((a[i] + b[i]) + (c[i] + d[i])) + ((e[i] + f[i]) + (g[i] + h[i]))));
}

/// Adam's moments (Kingma and Ba, ICLR 2015, in the form of the end of its section 2): rate 0.001, 0.9, 0.999, epsilon 1e-7.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// Steps done.
    pub step: u64,
    /// First moments.
    pub mean: Vec<f32>,
    /// Second moments.
    pub square: Vec<f32>,
}

impl Adam {
    /// No step done.
    pub fn new(parameters: usize) -> Self {
        Self { step: 0, mean: vec![0.0; parameters], square: vec![0.0; parameters] }
    }

    /// One step down `gradient`, which is summed over `images` images.
    pub fn update(&mut self, network: &mut Network, gradient: &[f32], images: usize) {
        const RATE: f64 = 1e-3;
        const KEEP_MEAN: f32 = 0.9;
        const KEEP_SQUARE: f32 = 0.999;
        const EPSILON: f32 = 1e-7;
        self.step += 1;
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let rate = (RATE * (1.0 - 0.999f64.powi(power)).sqrt() / (1.0 - 0.9f64.powi(power))) as f32;
        let share = 1.0 / images as f32;
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((weight, sum), (mean, square)) in network.weights.iter_mut().zip(gradient).zip(moments) {
            let g = sum * share;
            *mean = KEEP_MEAN * *mean + (1.0 - KEEP_MEAN) * g;
            *square = KEEP_SQUARE * *square + (1.0 - KEEP_SQUARE) * g * g;
            *weight -= rate * *mean / (square.sqrt() + EPSILON);
        }
    }
}

/// The order of `count` images in an epoch: a sort by drawn keys, so it needs no state from earlier epochs.
pub fn order(seed: u64, epoch: u32, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&i| (draw(seed, u64::from(epoch), i as u64), i));
    order
}

/// 64 bits for (seed, stream, index) and nothing else: SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014) over each in turn.
pub fn draw(seed: u64, stream: u64, index: u64) -> u64 {
    [stream, index].into_iter().fold(mix(seed), |state, part| mix(state ^ part))
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
