//! An explanation, as people read it: the words that spoke for a topic, and those against it.

use std::io::{self, Write};

use super::is_in_colour;
use crate::explanation::{TermContribution, TopicExplanation};
use crate::service::Answer;

/// Characters of the longest bar.
const BAR_CHARACTERS: f64 = 24.0;

/// How what speaks for a topic and against it is set off on a terminal: green, red, and back.
pub(super) const FOR: &str = "\x1b[32m";
pub(super) const AGAINST: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Writes the explanations of an answer, `max_terms` at most for each topic and as many against it, with colours if standard output is a terminal and NO_COLOR isn't set.
pub(super) fn write(out: &mut impl Write, answer: &Answer, max_terms: usize) -> io::Result<()> {
    let in_colour = is_in_colour();
    for explanation in &answer.classification.explanations {
        let topic = &answer.version.classifier.topics()[explanation.topic];
        write_topic(out, topic.as_str(), explanation, max_terms, in_colour)?;
    }
    Ok(())
}

fn write_topic(
    out: &mut impl Write,
    topic: &str,
    explanation: &TopicExplanation,
    max_terms: usize,
    in_colour: bool,
) -> io::Result<()> {
    let TopicExplanation { bias, terms, remainder, n_other_terms, .. } = explanation;
    let score = bias + terms.iter().map(|term| term.contribution).sum::<f64>() + remainder;
    writeln!(out, "  why {topic}: {score:+.3}")?;
    let (mut speak_for, mut against): (Vec<_>, Vec<_>) = terms.iter().partition(|term| term.contribution >= 0.0);
    let dropped = [&mut speak_for, &mut against].map(|terms| terms.split_off(max_terms.min(terms.len())));
    let n_dropped: usize = dropped.iter().map(Vec::len).sum();
    let others = remainder + dropped.iter().flatten().map(|term| term.contribution).sum::<f64>();
    let shown = || speak_for.iter().chain(&against);
    let width = shown().map(|term| term.term.chars().count()).max().unwrap_or(0).max("other terms".len());
    let largest = terms.first().map_or(0.0, |term| term.contribution.abs());
    for (terms, colour) in [(speak_for, FOR), (against, AGAINST)] {
        for TermContribution { term, contribution, n_occurrences, is_inferred, .. } in terms {
            let times = if *n_occurrences > 1 { format!("  ×{n_occurrences}") } else { String::new() };
            let how = if *is_inferred { "  by its meaning" } else { "" };
            let line = format!("{}{times}{how}", term_line(term, width, *contribution, largest));
            write_line(out, &line, in_colour.then_some(colour))?;
        }
    }
    writeln!(out, "    {others:+.3}  {} other terms", n_other_terms + n_dropped)?;
    writeln!(out, "    {bias:+.3}  without any\n")
}

/// A term with what it adds and a bar as long as that, of the longest bar's length for `largest`, whose digits have room.
pub(super) fn term_line(term: &str, width: usize, added: f64, largest: f64) -> String {
    let bar = if largest > 0.0 { added.abs() / largest * BAR_CHARACTERS } else { 0.0 };
    let bar = if added < 0.0 { "░" } else { "█" }.repeat(bar.round() as usize);
    let padding = " ".repeat(width.saturating_sub(term.chars().count()));
    format!("    {}  {term}{padding}  {bar}", number(added, largest))
}

/// A number with its sign, right-aligned with `largest`.
pub(super) fn number(added: f64, largest: f64) -> String {
    let width = format!("{largest:+.3}").len();
    format!("{added:>+width$.3}")
}

/// Writes a line, set off by a colour if there is one.
pub(super) fn write_line(out: &mut impl Write, line: &str, colour: Option<&str>) -> io::Result<()> {
    let line = line.trim_end();
    match colour {
        Some(colour) => writeln!(out, "{colour}{line}{PLAIN}"),
        None => writeln!(out, "{line}"),
    }
}
