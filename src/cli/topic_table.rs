//! What a model knows about a topic, as people read it.

use std::io::{self, Write};

use super::explanation_table::{AGAINST, FOR, number, term_line, write_line};
use super::is_in_colour;
use crate::evaluation::EvaluationSource;
use crate::topic_description::{Confusion, TopicDescription};

/// Writes how good the answers are, the terms for the topic and against it, and the topics that are confused with it.
pub(super) fn write(out: &mut impl Write, description: &TopicDescription) -> io::Result<()> {
    let TopicDescription { topic, threshold, n_training_documents, evaluation, evaluation_source, .. } = description;
    writeln!(out, "{topic}: {n_training_documents} training documents")?;
    if let Some(evaluation) = evaluation {
        let (precision, recall, f1) = (evaluation.precision, evaluation.recall, evaluation.f1);
        let of_what = match evaluation_source {
            EvaluationSource::OutOfFold => "on them, by models that never saw them".to_owned(),
            EvaluationSource::HeldOut => format!("on held-out documents, of which {} have it", evaluation.n_documents),
        };
        writeln!(out, "  precision {precision:.4}, recall {recall:.4}, F1 {f1:.4} {of_what}")?;
    }
    if let Some(threshold) = threshold {
        writeln!(out, "  assigned above the raw score {threshold:+.3}")?;
    }
    write_terms(out, description)?;
    write_nearest_words(out, description)?;
    write_confusions(out, description)
}

fn write_terms(out: &mut impl Write, description: &TopicDescription) -> io::Result<()> {
    let TopicDescription { bias, terms_for, terms_against, .. } = description;
    let in_colour = is_in_colour();
    let all = || terms_for.iter().chain(terms_against);
    let width = all().map(|term| term.term.chars().count()).max().unwrap_or(0);
    let largest = all().map(|term| term.strength.abs()).fold(0.0, f64::max);
    writeln!(out, "\n  what one occurrence adds, before a document's length is taken out")?;
    for (terms, colour) in [(terms_for, FOR), (terms_against, AGAINST)] {
        for term in terms {
            let line = term_line(&term.term, width, term.strength, largest);
            write_line(out, &line, in_colour.then_some(colour))?;
        }
    }
    writeln!(out, "    {}  without any", number(*bias, largest))
}

fn write_nearest_words(out: &mut impl Write, description: &TopicDescription) -> io::Result<()> {
    if description.nearest_words.is_empty() {
        return Ok(());
    }
    let words: Vec<&str> = description.nearest_words.iter().map(|word| &*word.word).collect();
    writeln!(out, "\n  nearest words that no training document had\n    {}", words.join(", "))
}

fn write_confusions(out: &mut impl Write, description: &TopicDescription) -> io::Result<()> {
    let TopicDescription { topic, confusions, .. } = description;
    if confusions.is_empty() {
        return Ok(());
    }
    let width = confusions.iter().map(|confusion| confusion.topic.chars().count()).max().unwrap_or(0);
    writeln!(out, "\n  most often confused with")?;
    for Confusion { topic: other, n_lost_to_it, n_taken_from_it } in confusions {
        writeln!(
            out,
            "    {other:width$}  {n_lost_to_it} of {topic} taken for it, {n_taken_from_it} of it for {topic}"
        )?;
    }
    Ok(())
}
