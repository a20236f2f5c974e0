//! The page that a training's author reads: how good the model is, what it confuses, which words it goes by, and what is
//! wrong with its documents. One HTML file that needs nothing from elsewhere: plots are inline SVG, and no script runs.

mod plots;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::classifier::Classifier;
use crate::dataset::LabelKind;
use crate::dataset::issues::{DataIssue, IssueKind};
use crate::evaluation::{Evaluation, EvaluationSource};
use crate::linear::Balance;
use crate::topic_description::TopicDescription;

/// Topics up to which confusions are drawn as a matrix.
const MAX_MATRIX_TOPICS: usize = 40;
/// Confusions that are listed.
const MAX_CONFUSIONS: usize = 20;
/// Terms for a topic, and against it.
const MAX_TERMS: usize = 12;
/// Documents of an issue that are named.
const MAX_DOCUMENTS: usize = 20;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 1020px; margin: 2rem auto; padding: 0 1.5rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem }
p { max-width: 46rem } .quiet { color: #5c646e }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } th, td { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top }
th { font-weight: 600; border-bottom: 1px solid #c9ced4 } td.n, th.n { text-align: right }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem 2.6rem; margin: 1rem 0 } .figures b { display: block; font-size: 1.5rem; font-weight: 600 }
.plots { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0 } figcaption { max-width: 380px; color: #5c646e; font-size: .9rem }
.scroll { overflow-x: auto } .for { color: #1f5fa8 } .against { color: #b3261e } code { font-size: .88rem }
";

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A plot couldn't be drawn.
    #[error("can't draw a plot: {0}")]
    Plot(String),
}

/// The page about a classifier that was just trained, and about the documents that it was trained on.
///
/// # Errors
/// [`ReportError`].
pub fn html(classifier: &Classifier, issues: &[DataIssue]) -> Result<String, ReportError> {
    let evaluation = &classifier.provenance().evaluation;
    let several = classifier.label_kind() == LabelKind::MultiLabel;
    let descriptions: Vec<TopicDescription> =
        (0..classifier.topics().len()).map(|topic| classifier.describe(topic, MAX_TERMS)).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Training report: " (classifier.topics().len()) " topics" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (summary(classifier))
                (curves(classifier)?)
                @if !evaluation.confusion_matrix.is_empty() { (confusions(evaluation)?) }
                (topics(evaluation, several))
                (terms(&descriptions))
                (documents(issues))
                (origin(classifier))
            }
        }
    };
    Ok(page.into_string())
}

fn summary(classifier: &Classifier) -> Markup {
    let evaluation = &classifier.provenance().evaluation;
    let accuracy_is = match classifier.label_kind() {
        LabelKind::SingleLabel => "accuracy: documents with the right topic",
        LabelKind::MultiLabel => "accuracy: documents with exactly the right topics",
    };
    html! {
        h1 { "Training report" }
        p.quiet {
            (classifier.provenance().n_documents) " documents, " (classifier.topics().len()) " topics, "
            (classifier.n_terms()) " terms. "
            @match evaluation.source {
                EvaluationSource::OutOfFold => { "Every figure is about documents as predicted by models that never saw them." }
                EvaluationSource::HeldOut => {
                    "Every figure is about " (evaluation.n_documents) " held-out documents, none of which was trained on."
                }
            }
        }
        div.figures {
            div { b { (percent(evaluation.accuracy)) } (accuracy_is) }
            div { b { (decimal(evaluation.macro_f1)) } "macro-F1: mean of the topics' F1" }
            div { b { (decimal(evaluation.micro_f1)) } "micro-F1" }
            div { b { (decimal(evaluation.log_loss)) } "log loss" }
            div { b { (decimal(evaluation.expected_calibration_error)) } "calibration error" }
        }
    }
}

fn curves(classifier: &Classifier) -> Result<Markup, ReportError> {
    let evaluation = &classifier.provenance().evaluation;
    let abstention = classifier.abstention();
    let never = abstention.min_probability == 0.0 && abstention.min_margin == 0.0;
    Ok(html! {
        h2 { "Can its probabilities be trusted?" }
        div.plots {
            figure {
                (PreEscaped(plots::reliability(&evaluation.reliability)?))
                figcaption {
                    "What came true of each probability. On the thin line, eight of ten answers given with 80 % are right. A \
                     larger dot stands for more answers."
                }
            }
            figure {
                (PreEscaped(plots::coverage(&evaluation.coverage)?))
                figcaption {
                    "Accuracy if only the surest answers were given. "
                    @if never {
                        "The model never abstains for being unsure."
                    } @else {
                        "The model abstains below a probability of " (decimal(abstention.min_probability))
                        " or a lead of " (decimal(abstention.min_margin)) " over the second topic."
                    }
                }
            }
        }
    })
}

fn confusions(evaluation: &Evaluation) -> Result<Markup, ReportError> {
    let names: Vec<&str> = evaluation.topics.iter().map(|topic| topic.topic.as_str()).collect();
    let mut cells: Vec<(usize, usize, usize)> = Vec::new();
    for (label, row) in evaluation.confusion_matrix.iter().enumerate() {
        let wrong = row.iter().enumerate().filter(|(topic, n)| *topic != label && **n > 0);
        cells.extend(wrong.map(|(topic, &n)| (label, topic, n)));
    }
    cells.sort_by_key(|&(label, topic, n)| (std::cmp::Reverse(n), label, topic));
    Ok(html! {
        h2 { "What it confuses" }
        @if names.len() <= MAX_MATRIX_TOPICS {
            figure.scroll {
                (PreEscaped(plots::confusion_matrix(&names, &evaluation.confusion_matrix)?))
                figcaption { "A row is a label, a column what was assigned; the darker, the larger the share of the row." }
            }
        }
        p { "Most often:" }
        table {
            tr { th { "label" } th { "assigned" } th.n { "documents" } }
            @for (label, topic, n) in cells.into_iter().take(MAX_CONFUSIONS) {
                tr { td { (names[label]) } td { (names[topic]) } td.n { (n) } }
            }
        }
    })
}

fn topics(evaluation: &Evaluation, several: bool) -> Markup {
    html! {
        h2 { "Topic by topic" }
        table {
            tr {
                th { "topic" } th.n { "precision" } th.n { "recall" } th.n { "F1" } th.n { "documents" } th.n { "assigned" }
                @if several { th.n { "threshold" } }
            }
            @for topic in &evaluation.topics {
                tr {
                    td { (topic.topic) } td.n { (decimal(topic.precision)) } td.n { (decimal(topic.recall)) }
                    td.n { (decimal(topic.f1)) } td.n { (topic.n_documents) } td.n { (topic.n_assigned) }
                    @if several { td.n { (topic.threshold.map(decimal).unwrap_or_default()) } }
                }
            }
        }
    }
}

fn terms(descriptions: &[TopicDescription]) -> Markup {
    html! {
        h2 { "The words it goes by" }
        p.quiet { "The strongest first: by what one occurrence adds to the topic's score." }
        table {
            tr { th { "topic" } th { "for it" } th { "against it" } }
            @for description in descriptions {
                tr {
                    td { (description.topic) }
                    td.for { (listed(description.terms_for.iter().map(|term| term.term.as_str()))) }
                    td.against { (listed(description.terms_against.iter().map(|term| term.term.as_str()))) }
                }
            }
        }
    }
}

fn documents(issues: &[DataIssue]) -> Markup {
    let small = || issues.iter().filter(|issue| issue.kind == IssueKind::FewDocuments);
    html! {
        h2 { "Its documents" }
        @if issues.is_empty() { p { "Nothing wrong was found with them." } }
        @for issue in issues.iter().filter(|issue| issue.kind != IssueKind::FewDocuments) {
            p { b { (issue.n_documents) " documents" } " " (issue.kind.of_documents()) "." }
            ul {
                @for document in issue.documents.iter().take(MAX_DOCUMENTS) { li { (document.in_words()) } }
                @if issue.n_documents > MAX_DOCUMENTS { li.quiet { "and " (issue.n_documents - MAX_DOCUMENTS) " more" } }
            }
        }
        @if small().next().is_some() {
            p {
                b { "Topics with few documents" } ": "
                (listed(small().filter_map(|issue| issue.topic.as_deref())))
            }
        }
    }
}

fn origin(classifier: &Classifier) -> Markup {
    let provenance = classifier.provenance();
    let languages = &classifier.abstention().languages;
    html! {
        h2 { "Where it comes from" }
        table {
            tr { td { "trained by" } td { "topicd " (provenance.software_version) } }
            tr { td { "documents" } td { (provenance.n_documents) ", hash " code { (provenance.dataset_hash) } } }
            @if provenance.n_held_out > 0 { tr { td { "held out" } td { (provenance.n_held_out) " documents" } } }
            @if !languages.is_empty() { tr { td { "languages" } td { (languages.join(", ")) } } }
            tr { td { "C" } td { (provenance.c) @if provenance.config.c.is_none() { ", found by cross-validation" } } }
            tr { td { "balance" } td { (balance(provenance.config.balance)) } }
            tr { td { "seed" } td { (provenance.config.seed) } }
            @if provenance.config.character_ngrams { tr { td { "pieces of words" } td { "are terms too" } } }
            @if let Some(max_features) = provenance.config.max_features { tr { td { "at most" } td { (max_features) " terms" } } }
        }
    }
}

/// In words.
fn balance(balance: Balance) -> &'static str {
    match balance {
        Balance::None => "none",
        Balance::SquareRoot => "square root",
        Balance::Full => "full",
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(" · ")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn decimal(number: f64) -> String {
    format!("{number:.3}")
}
