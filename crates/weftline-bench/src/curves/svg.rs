//! A chart of lines, as SVG.

use std::fmt::Write as _;

/// Lines over points that stand at equal distances.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_axis: &'a str,
    pub(crate) y_axis: &'a str,
    /// What the points on the x axis are.
    pub(crate) ticks: Vec<String>,
    /// Names and values.
    pub(crate) lines: Vec<(&'a str, Vec<f64>)>,
    /// The top of the y axis, where that is given.
    pub(crate) top: Option<f64>,
}

impl Chart<'_> {
    pub(crate) fn render(&self) -> String {
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        let middle = (LEFT + RIGHT) / 2.0;
        text(&mut out, middle, 22.0, "middle", self.title);
        text(&mut out, middle, BOTTOM + 40.0, "middle", self.x_axis);
        text(&mut out, LEFT, TOP - 10.0, "middle", self.y_axis);
        let top = self.top.unwrap_or_else(|| round_up(self.largest()));
        self.grid(&mut out, top);
        for (index, (name, values)) in self.lines.iter().enumerate() {
            let (color, dashes) = STYLES[index % STYLES.len()];
            self.line(&mut out, top, values, color, dashes);
            let y = TOP + 10.0 + 20.0 * index as f64;
            let _ = writeln!(
                out,
                "<path d=\"M{} {y}h24\" stroke=\"{color}\" stroke-width=\"2\"{dashes}/>",
                RIGHT + 16.0
            );
            text(&mut out, RIGHT + 46.0, y + 4.0, "start", name);
        }
        out.push_str("</svg>\n");
        out
    }

    fn grid(&self, out: &mut String, top: f64) {
        for step in 0..=STEPS {
            let value = top * f64::from(step) / f64::from(STEPS);
            let y = self.y(value, top);
            let _ = writeln!(out, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\"/>");
            text(out, LEFT - 8.0, y + 4.0, "end", &short(value));
        }
        for (index, tick) in self.ticks.iter().enumerate() {
            let x = self.x(index);
            let _ = writeln!(out, "<path d=\"M{x:.1} {TOP}V{BOTTOM}\" stroke=\"#eee\"/>");
            text(out, x, BOTTOM + 18.0, "middle", tick);
        }
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" stroke=\"black\" fill=\"none\"/>"
        );
    }

    fn line(&self, out: &mut String, top: f64, values: &[f64], color: &str, dashes: &str) {
        let places = values.iter().enumerate();
        let places: Vec<_> = places
            .map(|(index, value)| (self.x(index), self.y(*value, top)))
            .collect();
        let points: Vec<_> = places
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"{dashes}/>",
            points.join(" ")
        );
        for (x, y) in places {
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
            );
        }
    }

    fn x(&self, index: usize) -> f64 {
        let gaps = self.ticks.len().saturating_sub(1).max(1);
        LEFT + (RIGHT - LEFT) * index as f64 / gaps as f64
    }

    fn y(&self, value: f64, top: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (value / top).clamp(0.0, 1.0)
    }

    fn largest(&self) -> f64 {
        let values = self.lines.iter().flat_map(|(_, values)| values);
        values.copied().fold(0.0, f64::max)
    }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

/// To 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let above = steps.into_iter().find(|step| *step >= value);
    above.unwrap_or(10.0 * power)
}

fn short(value: f64) -> String {
    format!("{:.2}", value)
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 340.0;
const STEPS: u32 = 5;

/// Colours that stay apart for those who see few of them, and dashes.
const STYLES: [(&str, &str); 6] = [
    ("#009e73", ""),
    ("#0072b2", ""),
    ("#d55e00", ""),
    ("#009e73", " stroke-dasharray=\"6 4\""),
    ("#0072b2", " stroke-dasharray=\"6 4\""),
    ("#d55e00", " stroke-dasharray=\"6 4\""),
];
