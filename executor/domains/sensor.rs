//! For which share of the time the power sensor of a board looks, by its model. What was not measured is not guessed.

use neap_model::units::Percent;

/// Model as the driver names it without `NVIDIA `, and the share in percent: length of the averaging window over the time between
/// two updates of what field 186 reads (`power.draw.instant`; where a driver does not offer that, `power.draw`), the median over
/// boards. A window longer than the time between two updates is all of it.
///
/// From "Part-time Power Measurements: nvidia-smi's Lack of Attention" (SC24), sheets 2 and 3 of `Overall_Results.xlsx` in
/// JimZeyuYang/GPU_Power_Benchmark at 4b5c944 (MIT), drivers 525 to 535. Boards whose rows do not agree or do not name one model
/// are left out.
const WINDOWS: [(&str, u32); 17] = [
    ("A100-PCIE-40GB", 23),
    ("A100-40GB-PCIe", 19),
    ("A100-80GB-PCIe", 24),
    ("A100-SXM4-40GB", 25),
    ("H100-PCIe", 22),
    ("Tesla-V100-SXM2-16GB", 53),
    ("Tesla-P100-PCIE-16GB", 53),
    ("Tesla-M40", 44),
    ("RTX-A5000", 80),
    ("Quadro-RTX-8000", 20),
    ("TITAN-RTX", 100),
    ("GeForce-RTX-4090", 100),
    ("GeForce-RTX-3090", 100),
    ("GeForce-RTX-3070-Ti", 100),
    ("GeForce-RTX-2080-Ti", 100),
    ("GeForce-RTX-2060-SUPER", 100),
    ("GeForce-GTX-1650-Ti", 98),
];

/// The share for boards of that model; `None`: nobody measured it.
#[must_use]
pub fn window(model: &str) -> Option<Percent> {
    WINDOWS.iter().find(|(known, _)| known.eq_ignore_ascii_case(model)).map(|(_, percent)| Percent::whole(*percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_that_was_measured_is_known_and_its_sister_is_not() {
        assert_eq!(window("H100-PCIe"), Some(Percent::whole(22)));
        assert_eq!(window("A100-80GB-PCIe").map(Percent::ratio), Some(0.24));
        for other in ["H100-80GB-HBM3", "Tesla-V100-SXM2-32GB", "A100", ""] {
            assert_eq!(window(other), None, "{other}");
        }
        assert!(WINDOWS.iter().all(|(_, percent)| (1..=100).contains(percent)));
    }
}
