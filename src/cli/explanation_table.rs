//! An explanation, as people read it: the words that spoke for a topic, and those against it.

use std::io::{self, IsTerminal, Write};

use crate::explanation::{TermContribution, TopicExplanation};
use crate::service::Answer;

/// Characters of the longest bar.
const BAR_CHARACTERS: f64 = 24.0;

/// How what speaks for a topic and against it is set off on a terminal: green, red, and back.
const FOR: &str = "\x1b[32m";
const AGAINST: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Writes the explanations of an answer, `max_terms` at most for each topic and as many against it, with colours if standard output is a terminal and NO_COLOR isn't set.
pub(super) fn write(out: &mut impl Write, answer: &Answer, max_terms: usize) -> io::Result<()> {
    let in_colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
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
        for TermContribution { term, contribution, n_occurrences, .. } in terms {
            let bar = if largest > 0.0 { contribution.abs() / largest * BAR_CHARACTERS } else { 0.0 };
            let bar = if *contribution < 0.0 { "░" } else { "█" }.repeat(bar.round() as usize);
            let times = if *n_occurrences > 1 { format!("  ×{n_occurrences}") } else { String::new() };
            let padding = " ".repeat(width - term.chars().count());
            let line = format!("    {contribution:+.3}  {term}{padding}  {bar}{times}");
            let line = line.trim_end();
            if in_colour { writeln!(out, "{colour}{line}{PLAIN}")? } else { writeln!(out, "{line}")? }
        }
    }
    writeln!(out, "    {others:+.3}  {} other terms", n_other_terms + n_dropped)?;
    writeln!(out, "    {bias:+.3}  without any\n")
}
