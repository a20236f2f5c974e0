//! The report's plots, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ReportError;
use crate::evaluation::{CoveragePoint, ReliabilityBin};

const ACCENT: RGBColor = RGBColor(0x1f, 0x5f, 0xa8);
const FAINT: RGBColor = RGBColor(0xb0, 0xb4, 0xba);
const TEXT: (&str, u32) = ("sans-serif", 13);
/// Pixels of a square plot.
const SIZE: u32 = 380;
/// Pixels of a confusion matrix's cell, and of the space for its names.
const CELL: i32 = 26;
const NAMES: i32 = 150;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws into a fresh picture.
fn svg(
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<String, ReportError> {
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, (width, height)).into_drawing_area();
        draw(&area).map_err(|error| ReportError::Plot(error.to_string()))?;
        area.present().map_err(|error| ReportError::Plot(error.to_string()))?;
    }
    Ok(picture)
}

/// Mean probability (0 to 1) of each bin against the share that came true; a dot's area grows with the bin's size.
pub(super) fn reliability(bins: &[ReliabilityBin]) -> Result<String, ReportError> {
    let largest = bins.iter().map(|bin| bin.n).max().unwrap_or(0).max(1) as f64;
    svg((SIZE, SIZE), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart
            .configure_mesh()
            .x_desc("probability")
            .y_desc("share that came true")
            .light_line_style(TRANSPARENT)
            .label_style(TEXT)
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], FAINT.stroke_width(1)))?;
        let seen = || bins.iter().filter(|bin| bin.n > 0);
        chart.draw_series(LineSeries::new(
            seen().map(|bin| (bin.mean_probability, bin.share_true)),
            ACCENT.stroke_width(2),
        ))?;
        chart.draw_series(seen().map(|bin| {
            let radius = 2.0 + 8.0 * (bin.n as f64 / largest).sqrt();
            Circle::new((bin.mean_probability, bin.share_true), radius as i32, ACCENT.mix(0.6).filled())
        }))?;
        Ok(())
    })
}

/// Accuracy of the surest answers against their share of the documents, from 0 to 1.
pub(super) fn coverage(points: &[CoveragePoint]) -> Result<String, ReportError> {
    let lowest = points.iter().map(|point| point.accuracy).fold(1.0, f64::min);
    let from = ((lowest * 10.0).floor() / 10.0 - 0.05).max(0.0);
    svg((SIZE, SIZE), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..1.0, from..1.0)?;
        chart
            .configure_mesh()
            .x_desc("share of documents answered")
            .y_desc("accuracy")
            .light_line_style(TRANSPARENT)
            .label_style(TEXT)
            .draw()?;
        chart.draw_series(LineSeries::new(
            points.iter().map(|point| (point.coverage, point.accuracy)),
            ACCENT.stroke_width(2),
        ))?;
        Ok(())
    })
}

/// A row a label, a column an assigned topic; the darker, the larger the share of the row.
pub(super) fn confusion_matrix(topics: &[&str], matrix: &[Vec<usize>]) -> Result<String, ReportError> {
    let n_topics = topics.len() as i32;
    let (width, height) = (NAMES + n_topics * CELL + 10, NAMES + n_topics * CELL + 10);
    let name = |topic: &str| {
        let short: String = topic.chars().take(18).collect();
        if short.len() < topic.len() { format!("{short}…") } else { short }
    };
    svg((width as u32, height as u32), |area| {
        let style = TextStyle::from(TEXT).color(&BLACK);
        for (place, topic) in (0..).zip(topics) {
            let middle = NAMES + place * CELL + CELL / 2;
            let of_row = style.pos(text_anchor(HPos::Right));
            area.draw(&Text::new(name(topic), (NAMES - 6, middle), of_row))?;
            let of_column = style.pos(text_anchor(HPos::Left)).transform(FontTransform::Rotate270);
            area.draw(&Text::new(name(topic), (middle, NAMES - 6), of_column))?;
        }
        for (row, counts) in (0..).zip(matrix) {
            let n_documents = counts.iter().sum::<usize>().max(1) as f64;
            for (column, &n) in (0..).zip(counts) {
                let (x, y) = (NAMES + column * CELL, NAMES + row * CELL);
                let share = n as f64 / n_documents;
                let ground = if row == column { ACCENT } else { RED };
                let shade = ground.mix((share.sqrt() * 0.9).min(1.0));
                area.draw(&Rectangle::new([(x, y), (x + CELL - 1, y + CELL - 1)], shade.filled()))?;
                if n > 0 {
                    let size = if n < 1000 { 10 } else { 8 };
                    let style = TextStyle::from(("sans-serif", size)).color(if share > 0.4 { &WHITE } else { &BLACK });
                    let centered = style.pos(text_anchor(HPos::Center));
                    area.draw(&Text::new(n.to_string(), (x + CELL / 2, y + CELL / 2), centered))?;
                }
            }
        }
        Ok(())
    })
}

/// Where a text stands: vertically centered on its place.
fn text_anchor(horizontal: HPos) -> Pos {
    Pos::new(horizontal, VPos::Center)
}
