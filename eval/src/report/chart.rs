//! Charts as SVG, drawn by plotters. Lines and texts take the page's colours by its style sheet.

use crate::scores::{Scores, Summary};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Widths in pixels: for wide screens and narrow ones.
pub(super) const WIDTHS: [u32; 2] = [760, 340];

const BAR: RGBColor = RGBColor(58, 111, 216);
const INK: RGBColor = RGBColor(0, 0, 0);
/// Height of a part's name with its bar, and of the axis below.
const ROW: u32 = 44;
const AXIS: u32 = 36;
const FONT: (&str, i32) = ("sans-serif", 13);

/// The score of each part as a bar with its interval. Empty where nothing has a score.
pub(super) fn parts(lines: &[(String, &Summary)], width: u32) -> String {
    let scored: Vec<&(String, &Summary)> =
        lines.iter().filter(|(_, summary)| summary.score.is_some()).collect();
    if scored.is_empty() {
        return String::new();
    }
    let height = ROW * scored.len() as u32 + AXIS;
    drawn(width, height, |area| draw_parts(&area, &scored))
}

fn drawn(
    width: u32,
    height: u32,
    draw: impl FnOnce(DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Option<()>,
) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
    match draw(area) {
        Some(()) => svg,
        None => String::new(),
    }
}

fn draw_parts(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    parts: &[&(String, &Summary)],
) -> Option<()> {
    let ends = parts.iter().flat_map(|(_, summary)| {
        [summary.score, summary.interval.map(|(_, high)| high)].into_iter().flatten()
    });
    let most = ends.fold(0.0_f64, f64::max);
    // A score of at most 1 is a share, and seen against the whole.
    let most = if most <= 1.0 { 1.0 } else { most * 1.05 };
    let count = parts.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .x_label_area_size(AXIS - 8)
        .margin_left(14)
        .margin_right(20)
        .build_cartesian_2d(0.0..most, 0.0..count)
        .ok()?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(6)
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .label_style(FONT)
        .draw()
        .ok()?;
    for (at, (name, summary)) in parts.iter().enumerate() {
        let top = count - at as f64;
        let (low, high, middle) = (top - 0.88, top - 0.46, top - 0.67);
        let score = summary.score.unwrap_or_default();
        let label = format!("{name} {score:.4}");
        let style = FONT.into_text_style(area).pos(Pos::new(HPos::Left, VPos::Bottom));
        chart.draw_series([Rectangle::new([(0.0, low), (score, high)], BAR.filled())]).ok()?;
        chart.draw_series([Text::new(label, (0.0, high + 0.04), style)]).ok()?;
        if let Some((from, to)) = summary.interval {
            let whisker = |x: f64| {
                PathElement::new([(x, middle - 0.12), (x, middle + 0.12)], INK.stroke_width(2))
            };
            let line = PathElement::new([(from, middle), (to, middle)], INK.stroke_width(2));
            chart.draw_series([whisker(from), whisker(to), line]).ok()?;
        }
    }
    area.present().ok()
}

/// How many samples have which score, in ten steps. Empty where scores are only 0 and 1, or samples
/// have none of their own.
pub(super) fn distribution(scores: &Scores, width: u32) -> String {
    let found: Vec<f64> = scores.items.iter().filter_map(|item| item.score).collect();
    let most = found.iter().copied().fold(1.0_f64, f64::max);
    if found.iter().all(|score| *score == 0.0 || *score == most) {
        return String::new();
    }
    let mut counts = [0_usize; 10];
    for score in &found {
        let step = (score / most * 10.0).clamp(0.0, 9.0) as usize;
        counts[step] += 1;
    }
    drawn(width, 220, |area| {
        let highest = counts.iter().copied().max().unwrap_or(0).max(1);
        let mut chart = ChartBuilder::on(&area)
            .x_label_area_size(AXIS)
            .y_label_area_size(52)
            .margin_top(10)
            .margin_right(20)
            .build_cartesian_2d(0.0..most, 0.0..highest as f64 * 1.05)
            .ok()?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(INK.mix(0.12))
            .x_labels(6)
            .y_labels(5)
            .y_label_formatter(&|count| format!("{count:.0}"))
            .x_desc("score")
            .y_desc("samples")
            .label_style(FONT)
            .draw()
            .ok()?;
        let step = most / 10.0;
        let bars = counts.iter().enumerate().map(|(at, count)| {
            let left = at as f64 * step;
            Rectangle::new(
                [(left + step * 0.06, 0.0), (left + step * 0.94, *count as f64)],
                BAR.filled(),
            )
        });
        chart.draw_series(bars).ok()?;
        area.present().ok()
    })
}
