//! An evaluation, as people read it.

use std::io::{self, Write};

use crate::dataset::LabelKind;
use crate::evaluation::{Evaluation, EvaluationSource};

/// What a training's evaluation is of, to stand above it.
pub(super) fn heading(source: EvaluationSource) -> &'static str {
    match source {
        EvaluationSource::OutOfFold => {
            "Out-of-fold evaluation: each document as predicted by a model that never saw it."
        }
        EvaluationSource::HeldOut => "Evaluation on the held-out documents, none of which was trained on.",
    }
}

/// Writes the metrics, then a table of the topics.
pub(super) fn write(out: &mut impl Write, evaluation: &Evaluation, label_kind: LabelKind) -> io::Result<()> {
    let Evaluation { n_documents, accuracy, micro_f1, macro_f1, log_loss, expected_calibration_error, .. } = evaluation;
    let accuracy_is = match label_kind {
        LabelKind::SingleLabel => "documents with the right topic",
        LabelKind::MultiLabel => "documents with exactly the right topics",
    };
    writeln!(out, "documents             {n_documents:>7}")?;
    writeln!(out, "accuracy              {accuracy:>7.4}   {accuracy_is}")?;
    writeln!(out, "micro-F1              {micro_f1:>7.4}")?;
    writeln!(out, "macro-F1              {macro_f1:>7.4}   mean of the topics' F1")?;
    writeln!(out, "log loss              {log_loss:>7.4}")?;
    writeln!(
        out,
        "calibration error     {expected_calibration_error:>7.4}   how far probabilities are from what came true"
    )?;
    writeln!(out)?;
    let width = evaluation.topics.iter().map(|topic| topic.topic.chars().count()).max().unwrap_or(0).max(5);
    writeln!(out, "{:width$}  precision  recall      F1  documents", "topic")?;
    for topic in &evaluation.topics {
        let name = &topic.topic;
        let (precision, recall, f1, n) = (topic.precision, topic.recall, topic.f1, topic.n_documents);
        writeln!(out, "{name:width$}  {precision:>9.4}  {recall:>6.4}  {f1:>6.4}  {n:>9}")?;
    }
    Ok(())
}
