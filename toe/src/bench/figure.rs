//! A figure, its target, and how both are shown.

use anyhow::{ensure, Result};
use serde::Serialize;

/// What a figure is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(not(feature = "rtl"), allow(dead_code, reason = "only the hardware has targets"))]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn holds(self, value: f64) -> bool {
        match self {
            Target::AtLeast(least) => value >= least,
            Target::AtMost(most) => value <= most,
        }
    }

    fn bound(self) -> f64 {
        match self {
            Target::AtLeast(bound) | Target::AtMost(bound) => bound,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Target::AtLeast(_) => ">=",
            Target::AtMost(_) => "<=",
        }
    }
}

/// Something measured. Without a target it is for information.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The bound alone.
    #[serde(serialize_with = "bound")]
    pub(crate) target: Option<Target>,
    pub(crate) holds: Option<bool>,
    /// What depends on nothing but the engine: the same at every run, on every machine.
    #[serde(skip)]
    pub(crate) exact: bool,
}

fn bound<S: serde::Serializer>(target: &Option<Target>, serializer: S) -> Result<S::Ok, S::Error> {
    target.map(Target::bound).serialize(serializer)
}

impl Figure {
    /// A figure in cycles, rounded to a ten thousandth.
    ///
    /// # Errors
    /// It is not a number.
    pub(crate) fn exact(name: impl Into<String>, value: f64, unit: &'static str, target: Option<Target>) -> Result<Figure> {
        let name = name.into();
        ensure!(value.is_finite(), "{name}: {value}");
        let value = (value * 1e4).round() / 1e4;
        Ok(Figure { name, value, unit, target, holds: target.map(|t| t.holds(value)), exact: true })
    }

    /// A figure that depends on the machine it was measured on.
    ///
    /// # Errors
    /// It is not a number.
    pub(crate) fn timed(name: &str, value: f64, unit: &'static str, target: Option<Target>) -> Result<Figure> {
        Ok(Figure { exact: false, ..Figure::exact(name, value, unit, target)? })
    }
}

/// A number with as many decimals as tell something.
fn number(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn row(figure: &Figure) -> [String; 5] {
    let target = figure.target.map_or(String::new(), |t| format!("{} {}", t.sign(), number(t.bound())));
    let holds = figure.holds.map_or("", |holds| if holds { "yes" } else { "no" });
    [figure.name.clone(), number(figure.value), figure.unit.to_owned(), target, holds.to_owned()]
}

const HEAD: [&str; 5] = ["figure", "value", "unit", "target", "holds"];

/// The figures as a table with aligned columns, in Markdown.
pub(crate) fn table(figures: &[Figure]) -> String {
    let rows: Vec<[String; 5]> = std::iter::once(HEAD.map(str::to_owned)).chain(figures.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for (k, row) in rows.iter().enumerate() {
        let cell = |c: usize| if c == 1 { format!("{:>1$}", row[c], widths[c]) } else { format!("{:<1$}", row[c], widths[c]) };
        text += &format!("| {} |\n", (0..5).map(cell).collect::<Vec<_>>().join(" | "));
        if k == 0 {
            let rule = |c: usize| if c == 1 { format!("{}:", "-".repeat(widths[c] + 1)) } else { "-".repeat(widths[c] + 2) };
            text += &format!("|{}|\n", (0..5).map(rule).collect::<Vec<_>>().join("|"));
        }
    }
    text
}

/// How many targets hold.
pub(crate) fn summary(figures: &[Figure]) -> String {
    let hold = figures.iter().filter(|f| f.holds == Some(true)).count();
    let targets = figures.iter().filter(|f| f.target.is_some()).count();
    format!("{hold} of {targets} targets hold, {} figures for information", figures.len() - targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_holds_up_to_its_bound() {
        let figure = |value, target| Figure::exact("x", value, "cycles", target).expect("a number").holds;
        assert_eq!(figure(60.0, Some(Target::AtMost(60.0))), Some(true));
        assert_eq!(figure(60.1, Some(Target::AtMost(60.0))), Some(false));
        assert_eq!(figure(7.4, Some(Target::AtLeast(7.457))), Some(false));
        assert_eq!(figure(7.457, Some(Target::AtLeast(7.457))), Some(true));
        assert_eq!(figure(1.0, None), None);
        assert!(Figure::exact("x", f64::NAN, "cycles", None).is_err());
    }

    #[test]
    fn the_table_and_the_json_say_the_same() -> Result<()> {
        let figures = [
            Figure::exact("turn_around", 53.0, "cycles", Some(Target::AtMost(60.0)))?,
            Figure::exact("receive", 7.123_45, "bytes a cycle", Some(Target::AtLeast(7.457)))?,
            Figure::timed("speed", 123_456.7, "operations/s", None)?,
        ];
        let expected = "\
| figure      |  value | unit          | target   | holds |
|-------------|-------:|---------------|----------|-------|
| turn_around |     53 | cycles        | <= 60    | yes   |
| receive     | 7.1235 | bytes a cycle | >= 7.457 | no    |
| speed       | 123457 | operations/s  |          |       |
";
        assert_eq!(table(&figures), expected);
        assert_eq!(summary(&figures), "1 of 2 targets hold, 1 figures for information");
        let json = serde_json::to_value(&figures)?;
        assert_eq!(json[1], serde_json::json!({"name": "receive", "value": 7.1235, "unit": "bytes a cycle", "target": 7.457, "holds": false}));
        assert_eq!(json[2]["target"], serde_json::Value::Null);
        Ok(())
    }
}
