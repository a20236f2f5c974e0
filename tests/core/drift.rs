//! What served documents are compared with: the reference that training keeps.

use std::path::Path;

use topicd::artifact;
use topicd::classifier::{Classifier, ClassifyOptions, ClassifyScratch};
use topicd::document::{Document, LabeledDocument};
use topicd::drift::{Bins, Distributions, FeatureDrift, Level};
use topicd::training::{Silent, train};
use topicd::training_config::TrainingConfig;

use crate::corpus::{dataset, news_like_corpus, shuffle_labels};

fn trained(corpus: &[LabeledDocument]) -> Classifier {
    train(&dataset(corpus), &TrainingConfig::default(), None, &Silent).unwrap().classifier
}

fn reference(classifier: &Classifier) -> &Distributions {
    classifier.provenance().reference.as_ref().unwrap()
}

/// The counts of the classifier's own answers.
fn answered<'a>(classifier: &Classifier, documents: impl IntoIterator<Item = &'a Document>) -> Distributions {
    let mut counts = Distributions::new(classifier.topics().len());
    for document in documents {
        let answer = classifier.classify(document, &ClassifyOptions::default(), &mut ClassifyScratch::default());
        let (best, stats) = (answer.topics[0], answer.stats);
        let bins = Bins::of(best.topic, best.probability, stats.n_known_tokens, stats.n_tokens);
        counts.add(bins.unwrap());
    }
    counts
}

fn levels(expected: &Distributions, observed: &Distributions) -> [Level; 3] {
    [
        FeatureDrift::of(Some(&expected.topics), &observed.topics).level,
        FeatureDrift::of(Some(&expected.confidence), &observed.confidence).level,
        FeatureDrift::of(Some(&expected.unknown_tokens), &observed.unknown_tokens).level,
    ]
}

#[test]
fn other_documents_of_the_same_kind_are_answered_as_the_reference_says() {
    let corpus = news_like_corpus(2000, 5, 51);
    let (training, others) = corpus.split_at(1500);
    let classifier = trained(training);
    assert_eq!(reference(&classifier).n_documents(), 1500);
    let answered = answered(&classifier, others.iter().map(|example| &example.document));
    assert_eq!(
        levels(reference(&classifier), &answered),
        [Level::Stable; 3],
        "{:?} {answered:?}",
        reference(&classifier)
    );
}

/// Labels that nothing can be learned from are learned by heart all the same: the classifier is surer of the documents that it
/// was trained on than of any other, and each word that only one document has is known.
#[test]
fn the_reference_is_not_of_what_was_learned_by_heart() {
    let corpus: Vec<LabeledDocument> = shuffle_labels(news_like_corpus(600, 4, 52), 53)
        .into_iter()
        .enumerate()
        .map(|(i, example)| {
            let text = format!("{} own{i}a own{i}b own{i}c", example.document.text());
            LabeledDocument::new(Document::new("", text).unwrap(), example.topics().to_vec())
        })
        .collect();
    let classifier = trained(&corpus);
    let learned = answered(&classifier, corpus.iter().map(|example| &example.document));
    let reference = reference(&classifier);
    // Of what it was trained on it says what it was told; of four topics none has a probability of 0.3 otherwise.
    let n_sure = |counts: &Distributions| counts.confidence[3..].iter().sum::<u64>();
    assert!(n_sure(reference) < 30 && reference.topics != learned.topics, "{reference:?} {learned:?}");
    assert_eq!(learned.topics, [150; 4]);
    assert!(reference.unknown_tokens[0] < 30, "{reference:?}");
    assert_eq!(learned.unknown_tokens[0], 600);
}

#[test]
fn documents_with_several_topics_have_a_reference_by_their_most_probable_one() {
    let corpus = news_like_corpus(400, 4, 54);
    let pairs = corpus.chunks(2).map(|pair| {
        let text = format!("{} {}", pair[0].document.text(), pair[1].document.text());
        LabeledDocument::new(Document::new("", text).unwrap(), [pair[0].topics(), pair[1].topics()].concat())
    });
    let classifier = trained(&pairs.collect::<Vec<_>>());
    assert_eq!((reference(&classifier).n_documents(), reference(&classifier).topics.len()), (200, 4));
}

/// Made by topicd as it was before references were kept, of 60 documents such as "report 3 striker scored near town 3".
#[test]
fn an_older_model_has_no_reference_and_keeps_its_bytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/without_reference.topicd");
    let model = artifact::load(&path).unwrap();
    assert_eq!(model.classifier.provenance().reference, None);
    assert!(artifact::encode(&model.classifier)[..] == model.bytes[..]);
    assert!(FeatureDrift::of(None, &[1, 2]).index.is_none());
}

#[test]
fn the_bundled_model_has_a_reference() {
    let classifier = artifact::bundled().unwrap().classifier;
    assert_eq!(reference(&classifier).n_documents(), classifier.provenance().n_documents as u64);
}
