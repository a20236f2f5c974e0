//! The page about a training: it says what was found, and needs nothing from elsewhere.

use topicd::dataset::issues::find_issues;
use topicd::dataset::{Dataset, DatasetOptions, LabelKind};
use topicd::document::{Document, LabeledDocument, Topic};
use topicd::report;
use topicd::training::{Silent, train_and_look_through};
use topicd::training_config::TrainingConfig;

use crate::corpus::news_like_corpus;

fn page(examples: Vec<LabeledDocument>, label_kind: Option<LabelKind>) -> String {
    let mut issues = find_issues(&examples);
    let options = DatasetOptions { label_kind, ..DatasetOptions::default() };
    let dataset = Dataset::with_options(examples, options).unwrap();
    let (trained, findings) = train_and_look_through(&dataset, &TrainingConfig::default(), None, &Silent).unwrap();
    issues.extend(findings.issues);
    report::html(&trained.classifier, &issues).unwrap()
}

fn count(page: &str, what: &str) -> usize {
    page.matches(what).count()
}

#[test]
fn a_page_shows_plots_topics_words_and_issues_and_loads_nothing() {
    let mut examples = news_like_corpus(200, 4, 41);
    let repeated = examples[7].document.clone().with_id("<i>twice</i>");
    examples.push(LabeledDocument::new(repeated, examples[7].topics().to_vec()));
    let odd = Topic::new("R&D <b>bold</b>").unwrap();
    let words = |i: usize| Document::new("", format!("budget{} laboratory{i} grant", i % 3)).unwrap();
    examples.extend((0..6).map(|i| LabeledDocument::new(words(i), vec![odd.clone()])));
    let page = page(examples, None);

    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    assert_eq!((count(&page, "<svg"), count(&page, "</svg>")), (3, 3));
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
    // The only addresses are the names of SVG's elements.
    assert_eq!(count(&page, "http"), count(&page, "xmlns=\"http"));
    for topic in ["topic 00", "topic 03", "R&amp;D &lt;b&gt;bold&lt;/b&gt;"] {
        assert!(page.contains(topic), "{topic}");
    }
    assert!(!page.contains("<b>bold"), "a topic's name became markup");
    assert!(page.contains("&lt;i&gt;twice&lt;/i&gt;"), "the repeated document isn't named");
    assert!(page.contains("Topics with few documents"));
}

#[test]
fn several_topics_a_document_have_thresholds_and_no_confusion_matrix() {
    let page = page(news_like_corpus(200, 4, 42), Some(LabelKind::MultiLabel));
    assert_eq!(count(&page, "<svg"), 2);
    assert!(page.contains("threshold") && !page.contains("What it confuses"));
}
