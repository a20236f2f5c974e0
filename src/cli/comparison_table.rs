//! A comparison of two models, as people read it.

use std::io::{self, Write};

use super::compare::DifferingDocument;
use super::excerpt;
use crate::evaluation::{Comparison, TopicComparison};

/// Topics that are shown because they gained most, and because they lost most.
const MAX_SHOWN_TOPICS: usize = 5;

/// A p-value below this is called a difference; the usual level.
const LEVEL: f64 = 0.05;

/// Two models, compared.
pub(super) struct Compared<'a> {
    /// What they are called.
    pub(super) names: [String; 2],
    /// How they compare.
    pub(super) comparison: &'a Comparison,
    /// How many of the documents are new to each, as far as is known; `None`: all are to both.
    pub(super) n_new: Option<[u64; 2]>,
    /// How many documents get different topics.
    pub(super) n_differing: usize,
    /// The first of them.
    pub(super) differing_documents: &'a [DifferingDocument],
}

/// Writes the metrics, whether they differ by more than chance, then topics and documents.
pub(super) fn write(out: &mut impl Write, compared: &Compared<'_>) -> io::Result<()> {
    let Compared { names, comparison, .. } = compared;
    write_metrics(out, compared)?;
    writeln!(out, "\n{}", in_words(names, comparison))?;
    write_topics(out, names, &comparison.topics)?;
    write_documents(out, compared)
}

fn write_metrics(out: &mut impl Write, compared: &Compared<'_>) -> io::Result<()> {
    let Compared { names: [a, b], comparison: Comparison { n_documents, first, second, .. }, n_new, .. } = compared;
    let (a_width, b_width) = (width_of(a, 8), width_of(b, 8));
    writeln!(out, "{n_documents:<9} documents  {a:>a_width$}  {b:>b_width$}    change")?;
    for (metric, first, second) in [
        ("accuracy", first.accuracy, second.accuracy),
        ("micro-F1", first.micro_f1, second.micro_f1),
        ("macro-F1", first.macro_f1, second.macro_f1),
    ] {
        let change = second - first;
        writeln!(out, "{metric:<19}  {first:>a_width$.4}  {second:>b_width$.4}  {change:>+8.4}")?;
    }
    if let Some([of_first, of_second]) = n_new {
        writeln!(out, "{:<19}  {of_first:>a_width$}  {of_second:>b_width$}", "new to it")?;
    }
    Ok(())
}

/// What the p-value says.
fn in_words([a, b]: &[String; 2], comparison: &Comparison) -> String {
    let &Comparison { n_only_first_right, n_only_second_right, p_value, .. } = comparison;
    if n_only_first_right + n_only_second_right == 0 {
        return "Both get the same documents right.".to_owned();
    }
    let share = if p_value < 1e-4 { "less than 0.01 %".to_owned() } else { format!("{:.2} %", 100.0 * p_value) };
    let verdict = match (p_value < LEVEL, n_only_first_right < n_only_second_right) {
        (true, true) => format!("{b} is better, hardly by chance"),
        (true, false) => format!("{a} is better, hardly by chance"),
        (false, _) => "which is better may be chance".to_owned(),
    };
    format!(
        "Only {a} gets {n_only_first_right} documents right, only {b} {n_only_second_right}: {verdict}. If neither were \
         better,\nsuch a difference or a larger one would be seen in {share} of comparisons (McNemar's exact test, p = \
         {p_value:.2e})."
    )
}

fn write_topics(out: &mut impl Write, names: &[String; 2], topics: &[TopicComparison]) -> io::Result<()> {
    let change = |topic: &TopicComparison| topic.second_f1 - topic.first_f1;
    let mut order: Vec<&TopicComparison> = topics.iter().collect();
    order.sort_by(|a, b| change(b).total_cmp(&change(a)).then(a.topic.cmp(&b.topic)));
    let gains: Vec<_> = order.iter().copied().filter(|topic| change(topic) > 0.0).take(MAX_SHOWN_TOPICS).collect();
    let losses: Vec<_> =
        order.iter().rev().copied().filter(|topic| change(topic) < 0.0).take(MAX_SHOWN_TOPICS).collect();
    let [a, b] = names;
    let shown = || gains.iter().chain(&losses);
    let width = shown().map(|topic| topic.topic.chars().count()).max().unwrap_or(0).max(5);
    let (a_width, b_width) = (width_of(a, 6), width_of(b, 6));
    for (what, topics) in [("gains", &gains), ("losses", &losses)] {
        if topics.is_empty() {
            continue;
        }
        writeln!(out, "\nlargest {what} in F1")?;
        writeln!(out, "{:width$}  {a:>a_width$}  {b:>b_width$}   change  documents  gained  lost", "topic")?;
        for topic in topics {
            let TopicComparison { topic: name, n_documents, first_f1, second_f1, n_gained, n_lost } = topic;
            let change = change(topic);
            writeln!(
                out,
                "{name:width$}  {first_f1:>a_width$.4}  {second_f1:>b_width$.4}  {change:>+7.4}  {n_documents:>9}  \
                 {n_gained:>6}  {n_lost:>4}"
            )?;
        }
    }
    Ok(())
}

fn write_documents(out: &mut impl Write, compared: &Compared<'_>) -> io::Result<()> {
    let Compared { names: [a, b], n_differing, differing_documents: documents, .. } = compared;
    if documents.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{} of {} documents that get different topics", documents.len(), n_differing)?;
    let width = width_of(a, 5).max(width_of(b, 5));
    for DifferingDocument { name, headline, labels, first, second } in *documents {
        let id = excerpt(&name.document_id);
        writeln!(out, "  {}", [id.as_str(), headline].join("  ").trim())?;
        for (what, topics) in [("label", labels), (a, first), (b, second)] {
            let mark = if what != "label" && topics == labels { "  ✓" } else { "" };
            let topics = if topics.is_empty() { "none".to_owned() } else { topics.join(", ") };
            writeln!(out, "    {what:width$}  {topics}{mark}")?;
        }
    }
    Ok(())
}

fn width_of(name: &str, least: usize) -> usize {
    name.chars().count().max(least)
}
