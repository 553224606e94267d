//! The data: 1,797 handwritten digits of 8×8 pixels (Alpaydin and Kaynak, UCI, CC BY 4.0; see configs/jobs/digits.LICENCE.md).
//! Embedded, so that a demonstration needs neither a download nor a mount.

use std::sync::OnceLock;

/// Pixels of one image.
pub const PIXELS: usize = 64;
/// Kinds of digits.
pub const CLASSES: usize = 10;
/// Images in the set.
pub const COUNT: usize = 1797;

pub(super) const TEXT: &str = include_str!("../../configs/jobs/digits.txt");

/// One image and what it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Digit {
    /// Row by row, each 0 (paper) to 16 (ink), not scaled.
    pub pixels: [f32; PIXELS],
    /// 0 to 9.
    pub label: u8,
}

/// All images, in the order of the source.
pub fn all() -> &'static [Digit] {
    static ALL: OnceLock<Vec<Digit>> = OnceLock::new();
    ALL.get_or_init(|| TEXT.lines().map(|line| parse(line).expect("the embedded digits are well formed")).collect())
}

/// One line: 64 digits to the base 17, a space, the label.
fn parse(line: &str) -> Option<Digit> {
    let (ink, label) = line.split_once(' ')?;
    let mut pixels = [0.0; PIXELS];
    if ink.len() != PIXELS {
        return None;
    }
    for (pixel, c) in pixels.iter_mut().zip(ink.chars()) {
        *pixel = c.to_digit(17)? as f32;
    }
    let label = label.parse().ok().filter(|&l: &u8| usize::from(l) < CLASSES)?;
    Some(Digit { pixels, label })
}
