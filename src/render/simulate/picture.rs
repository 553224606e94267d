//! Carbon against waiting as SVG: a point a policy, and the frontier of those that none beats in both.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;

/// A policy: mean wait in hours, carbon ÷ run now.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The policy's name.
    pub name: String,
    /// Hours.
    pub wait: f64,
    /// Carbon ÷ run now.
    pub carbon: f64,
}

/// Points that no other beats in both, by waiting.
#[must_use]
pub fn frontier(points: &[Point]) -> Vec<&Point> {
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| a.wait.total_cmp(&b.wait).then(a.carbon.total_cmp(&b.carbon)));
    let mut lowest = f64::INFINITY;
    sorted.retain(|point| {
        let better = point.carbon < lowest;
        lowest = lowest.min(point.carbon);
        better
    });
    sorted
}

/// A round step that cuts a range into about five parts.
fn step(range: f64) -> f64 {
    let size = 10f64.powf((range / 5.0).log10().floor());
    let parts = range / 5.0 / size;
    size * if parts < 1.5 {
        1.0
    } else if parts < 3.5 {
        2.0
    } else if parts < 7.5 {
        5.0
    } else {
        10.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The picture.
#[must_use]
pub fn svg(points: &[Point], title: &str) -> String {
    let most_wait = points.iter().map(|point| point.wait).fold(1.0, f64::max) * 1.05;
    let lowest = points.iter().map(|point| point.carbon).fold(1.0, f64::min);
    let highest = points.iter().map(|point| point.carbon).fold(1.0, f64::max);
    let margin = ((highest - lowest) * 0.08).max(0.01);
    let (lowest, highest) = ((lowest - margin).max(0.0), highest + margin);
    let x = |wait: f64| LEFT + wait / most_wait * (WIDTH - LEFT - RIGHT);
    let y = |carbon: f64| TOP + (highest - carbon) / (highest - lowest) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    let (floor, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let each = step(highest - lowest);
    let mut mark = (lowest / each).ceil() * each;
    while mark <= highest {
        let at = y(mark);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>");
        let _ =
            writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mark:.2}</text>", LEFT - 8.0, at + 4.0);
        mark += each;
    }
    let each = step(most_wait);
    let mut mark = 0.0;
    while mark <= most_wait {
        let at = x(mark);
        let _ = writeln!(svg, "<path d=\"M{at:.1} {floor}v5\" stroke=\"#888\"/>");
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{mark:.1}</text>", floor + 20.0);
        mark += each;
    }
    let _ = writeln!(svg, "<path d=\"M{LEFT} {TOP}V{floor}H{right}\" fill=\"none\" stroke=\"#888\"/>");
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">mean wait, hours</text>",
        (LEFT + right) / 2.0,
        HEIGHT - 18.0
    );
    let _ = writeln!(
        svg,
        "<text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">carbon ÷ run now</text>",
        (TOP + floor) / 2.0
    );
    let best = frontier(points);
    let line: Vec<String> = best.iter().map(|point| format!("{:.1} {:.1}", x(point.wait), y(point.carbon))).collect();
    if line.len() > 1 {
        let _ =
            writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"#1a7f5a\" stroke-width=\"1.5\"/>", line.join("L"));
    }
    for point in points {
        let (cx, cy) = (x(point.wait), y(point.carbon));
        let fill = if best.contains(&point) { "#1a7f5a" } else { "#999" };
        let _ = writeln!(svg, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\" fill=\"{fill}\"/>");
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", cx + 7.0, cy + 4.0, escaped(&point.name));
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str, wait: f64, carbon: f64) -> Point {
        Point { name: name.to_owned(), wait, carbon }
    }

    #[test]
    fn the_frontier_holds_what_nothing_beats() {
        let points = [
            point("now", 0.0, 1.0),
            point("worse", 5.0, 0.8),
            point("neap", 4.0, 0.6),
            point("same", 4.0, 0.7),
            point("late", 9.0, 0.55),
        ];
        let names: Vec<&str> = frontier(&points).iter().map(|point| point.name.as_str()).collect();
        assert_eq!(names, ["now", "neap", "late"]);
    }

    #[test]
    fn the_picture_has_every_policy_and_escapes_names() {
        let svg = svg(&[point("run-now", 0.0, 1.0), point("a<b", 3.0, 0.7)], "x & y");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a&lt;b") && svg.contains("x &amp; y") && svg.contains("run-now"));
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
