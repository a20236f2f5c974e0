//! Pieces of words as terms.

use topicd::artifact::{decode, encode};
use topicd::classifier::{Classifier, ClassifyOptions, ClassifyScratch};
use topicd::document::Document;
use topicd::explanation::Explain;
use topicd::training::{Silent, train};
use topicd::training_config::TrainingConfig;

use crate::corpus::{dataset, labeled};

/// Words that the model never saw in this form, of which it knows a piece.
#[test]
fn pieces_of_words_are_terms_when_wanted() {
    let inflected = |stem: &str, topic: usize| {
        let endings = ["a", "en", "ibus", "orum", "um", "ae"];
        endings.map(|ending| labeled("", &format!("{stem}{ending} x"), &[topic])).to_vec()
    };
    let corpus = [inflected("bellat", 0), inflected("fabric", 1)].concat();
    let config = TrainingConfig { character_ngrams: true, ..TrainingConfig::default() };
    let trained = |config: &TrainingConfig| train(&dataset(&corpus), config, None, &Silent).unwrap().classifier;
    let (words, pieces) = (trained(&TrainingConfig::default()), trained(&config));
    let options = ClassifyOptions { explain: Explain::TopTopic, ..ClassifyOptions::default() };
    let document = Document::new("Fabricavit", "FABRICO.").unwrap();
    let answer = |classifier: &Classifier| classifier.classify(&document, &options, &mut ClassifyScratch::default());
    assert!(answer(&words).explanations[0].terms.is_empty());
    let explained = answer(&pieces);
    assert_eq!((explained.topics[0].topic, explained.stats.n_known_tokens), (1, 0));
    let explanation = &explained.explanations[0];
    let mut terms: Vec<&str> = explanation.terms.iter().map(|term| &term.term[..]).collect();
    terms.sort_unstable();
    assert_eq!(terms, ["*abric*", "*fabri*", "fabr*"]);
    for term in &explanation.terms {
        let [in_title, in_text] = term.spans[..] else { panic!("{term:?}") };
        let raw = &document.title()[in_title.start..in_title.end];
        assert_eq!(raw.to_lowercase(), term.term.trim_matches('*'));
        assert_eq!(raw.to_uppercase(), document.text()[in_text.start..in_text.end]);
    }
    let sum = explanation.terms.iter().fold(explanation.bias, |sum, term| sum + term.contribution);
    assert!((sum - explained.topics[0].raw_score).abs() < 1e-6);

    let again = decode(encode(&pieces).into()).unwrap().classifier;
    assert_eq!(answer(&again), explained);
    assert_eq!(encode(&trained(&config)), encode(&pieces));
}
