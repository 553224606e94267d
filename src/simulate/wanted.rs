//! Conditions under which a replay counts as failed: `late_jobs>0`, `carbon_ratio>0.7`, several with commas.

use crate::diagnostic::did_you_mean;
use crate::render::simulate::FIGURES;
use neap_model::refusal::{Code, Refusal};
use serde_json::Value;

/// Signs, longer ones first.
const SIGNS: [&str; 6] = [">=", "<=", "==", "!=", ">", "<"];

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    text: String,
    field: String,
    sign: &'static str,
    than: f64,
}

impl Wanted {
    /// Reads conditions with commas between them.
    #[must_use]
    pub fn all(text: &str) -> Vec<Result<Self, Refusal>> {
        text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()).map(Self::of).collect()
    }

    fn of(text: &str) -> Result<Self, Refusal> {
        let bad = |message: String| {
            let refusal = Refusal::new(Code::BadValue, message).about("fail-if", text);
            refusal.note("FIELD, one of > >= < <= == !=, and a number: late_jobs>0")
        };
        let (at, sign) = SIGNS
            .iter()
            .filter_map(|sign| Some((text.find(sign)?, *sign)))
            .min_by_key(|(at, sign)| (*at, std::cmp::Reverse(sign.len())))
            .ok_or_else(|| bad(format!("--fail-if: `{text}` is no condition")))?;
        let (field, number) = (text[..at].trim(), text[at + sign.len()..].trim());
        if !FIGURES.contains(&field) {
            let refusal = bad(format!("--fail-if: there is no figure `{field}`"));
            return Err(match did_you_mean(field, FIGURES.iter().copied()) {
                Some(near) => refusal.hint(format!("did you mean `{near}`?"), &[]),
                None => refusal.note(format!("figures: {}", FIGURES.join(", "))),
            });
        }
        let than = number.parse::<f64>().ok().filter(|value| value.is_finite());
        let than = than.ok_or_else(|| bad(format!("--fail-if: `{number}` is no number")))?;
        Ok(Self { text: text.to_owned(), field: field.to_owned(), sign, than })
    }

    /// What to say if it holds for the figures of a policy. What cannot be checked counts as failed.
    #[must_use]
    pub fn holds(&self, figures: &Value) -> Option<String> {
        let policy = figures["policy"].as_str().unwrap_or_default();
        let Some(value) = figures[&self.field].as_f64() else {
            return Some(format!("{}: {policy} has no {}", self.text, self.field));
        };
        let holds = match self.sign {
            ">" => value > self.than,
            ">=" => value >= self.than,
            "<" => value < self.than,
            "<=" => value <= self.than,
            "==" => value == self.than,
            _ => value != self.than,
        };
        holds.then(|| format!("{}: {policy} has {value}", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_hold_or_not_and_what_is_unknown_fails() {
        let figures = json!({"policy": "neap", "late_jobs": 3, "carbon_ratio": 0.7, "gap_ratio": null});
        let holds = |text: &str| -> Vec<bool> {
            Wanted::all(text).into_iter().map(|w| w.expect("a condition").holds(&figures).is_some()).collect()
        };
        assert_eq!(holds("late_jobs>0, late_jobs > 3, late_jobs>=3"), [true, false, true]);
        assert_eq!(
            holds("carbon_ratio<0.7,carbon_ratio<=0.7,carbon_ratio==0.7,carbon_ratio!=0.7"),
            [false, true, true, false]
        );
        assert_eq!(holds("gap_ratio>0.1"), [true]);
    }

    #[test]
    fn slips_are_told() {
        for (text, word) in
            [("late_job>0", "late_jobs"), ("late_jobs=0", "condition"), ("late_jobs>x", "number"), ("x", "condition")]
        {
            let refusal = Wanted::all(text).remove(0).expect_err(text);
            let said = format!("{} {:?}", refusal.message, refusal.hints);
            assert!(said.contains(word), "{text}: {said}");
        }
    }
}
