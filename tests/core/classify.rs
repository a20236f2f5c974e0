//! Answers: what options do to them, and that nothing but the document does anything else.

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use topicd::classifier::{Classification, Classifier, ClassifyOptions, ClassifyScratch};
use topicd::decision::{AbstainReason, Decision, Probability};
use topicd::document::Document;
use topicd::training::{Silent, train};
use topicd::training_config::TrainingConfig;

use crate::corpus::{dataset, labeled, news_like_corpus};

/// Ten topics: more than the solver fits side by side.
pub(crate) static CLASSIFIER: LazyLock<Classifier> = LazyLock::new(|| {
    train(&dataset(&news_like_corpus(300, 10, 31)), &TrainingConfig::default(), &Silent).unwrap().classifier
});

/// Documents that the classifier hasn't seen; every seventh is only three words of another.
pub(crate) fn documents(n_documents: usize) -> Vec<Document> {
    let document = |(index, example): (usize, topicd::document::LabeledDocument)| {
        let few_words = example.document.text().splitn(4, ' ').take(3).collect::<Vec<_>>().join(" ");
        if index % 7 == 0 { Document::new("", few_words).unwrap() } else { example.document }
    };
    news_like_corpus(n_documents, 10, 32).into_iter().enumerate().map(document).collect()
}

pub(crate) fn answer(classifier: &Classifier, document: &Document, scratch: &mut ClassifyScratch) -> Classification {
    classifier.classify(document, &ClassifyOptions::default(), scratch)
}

/// An answer's numbers, to the bit.
pub(crate) fn bits(answer: &Classification) -> Vec<(usize, u64, u64, bool)> {
    let bits = |score: &topicd::classifier::TopicScore| {
        (score.topic, score.probability.to_bits(), score.raw_score.to_bits(), score.assigned)
    };
    answer.topics.iter().map(bits).collect()
}

fn classify(document: &Document, options: &ClassifyOptions) -> Classification {
    CLASSIFIER.classify(document, options, &mut ClassifyScratch::default())
}

fn probability(value: f64) -> Probability {
    Probability::new(value).unwrap()
}

fn n_assigned(answer: &Classification) -> usize {
    answer.topics.iter().filter(|score| score.assigned).count()
}

#[test]
fn topics_come_by_falling_probability_and_the_first_is_assigned() {
    for document in documents(100) {
        let answer = classify(&document, &ClassifyOptions::default());
        assert_eq!(answer.decision, Decision::Assigned);
        assert!(answer.topics.is_sorted_by(|a, b| a.probability >= b.probability));
        assert!((answer.topics.iter().map(|score| score.probability).sum::<f64>() - 1.0).abs() < 1e-12);
        let mut topics: Vec<usize> = answer.topics.iter().map(|score| score.topic).collect();
        topics.sort_unstable();
        assert_eq!(topics, (0..10).collect::<Vec<_>>());
        assert!(answer.topics[0].assigned && n_assigned(&answer) == 1);
    }
}

#[test]
fn options_shorten_the_answer_and_change_no_number_in_it() {
    for document in documents(20) {
        let whole = classify(&document, &ClassifyOptions::default());
        for n in [1, 3, 10, 99] {
            let options = ClassifyOptions { top_k: NonZeroUsize::new(n), ..ClassifyOptions::default() };
            assert_eq!(classify(&document, &options).topics, whole.topics[..n.min(10)]);
        }
        // What is exactly as probable as asked for stays.
        let options =
            ClassifyOptions { min_probability: probability(whole.topics[2].probability), ..ClassifyOptions::default() };
        assert_eq!(classify(&document, &options).topics, whole.topics[..3]);
        let both = ClassifyOptions { top_k: NonZeroUsize::new(2), ..options };
        assert_eq!(classify(&document, &both).topics, whole.topics[..2]);
        // The most probable topic stays whatever is asked for.
        let options = ClassifyOptions { min_probability: probability(1.0), ..ClassifyOptions::default() };
        assert_eq!(classify(&document, &options).topics, whole.topics[..1]);
    }
}

#[test]
fn nothing_is_assigned_when_no_topic_is_probable_enough() {
    let unsure = |document: &Document| {
        let whole = classify(document, &ClassifyOptions::default());
        (whole.topics[0].probability < 0.9).then(|| (document.clone(), whole))
    };
    let (document, whole) = documents(100).iter().find_map(unsure).unwrap();
    let best = whole.topics[0].probability;
    let at = |abstain_below| classify(&document, &ClassifyOptions { abstain_below, ..ClassifyOptions::default() });
    assert_eq!(at(probability(best)), whole);
    let abstained = at(probability(best.next_up()));
    assert_eq!(abstained.decision, Decision::Abstained(AbstainReason::LowProbability));
    assert_eq!((abstained.topics.len(), n_assigned(&abstained)), (10, 0));
    assert_eq!(abstained.topics[0].probability, best);
}

#[test]
fn documents_that_say_nothing_are_answered_and_not_assigned() {
    use AbstainReason::{FewKnownTokens, NoTokens};
    let cases = [
        ("😀 🎉", NoTokens, 0),
        (" \n\t", NoTokens, 0),
        ("…—!", NoTokens, 0),
        ("Xylophon, überall 42", FewKnownTokens, 3),
    ];
    // Not even when they are sure of it: the reason is the text, not the probability.
    for abstain_below in [0.0, 1.0].map(probability) {
        let options = ClassifyOptions { abstain_below, top_k: NonZeroUsize::new(4), ..ClassifyOptions::default() };
        for (text, reason, n_tokens) in cases {
            let answer = classify(&Document::new("", text).unwrap(), &options);
            assert_eq!(answer.decision, Decision::Abstained(reason), "{text}");
            assert_eq!(
                (answer.stats.n_bytes, answer.stats.n_tokens, answer.stats.n_known_tokens),
                (text.len(), n_tokens, 0)
            );
            assert_eq!((answer.topics.len(), n_assigned(&answer)), (4, 0));
        }
    }
}

#[test]
fn an_answer_depends_on_its_document_alone() {
    let mut documents = documents(200);
    documents.insert(100, Document::new("", "🎉").unwrap());
    let fresh: Vec<_> = documents
        .iter()
        .map(|document| bits(&answer(&CLASSIFIER, document, &mut ClassifyScratch::default())))
        .collect();
    let mut scratch = ClassifyScratch::default();
    let used: Vec<_> = documents.iter().map(|document| bits(&answer(&CLASSIFIER, document, &mut scratch))).collect();
    assert_eq!(fresh, used);
    std::thread::scope(|scope| {
        let thread = |n: usize| {
            let (documents, fresh) = (&documents, &fresh);
            scope.spawn(move || {
                let mut scratch = ClassifyScratch::default();
                for index in (0..documents.len()).map(|index| (index * 7 + n) % documents.len()) {
                    assert_eq!(bits(&answer(&CLASSIFIER, &documents[index], &mut scratch)), fresh[index]);
                }
            })
        };
        let threads: Vec<_> = (0..4).map(thread).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Two topics of the same words in another order: single words weigh nothing and are dropped, pairs tell all. Such a
/// document was once answered with probability 1 and "none of its words is known" at once.
#[test]
fn a_document_known_by_its_pairs_of_words_only_is_assigned() {
    let corpus: Vec<_> = (0..60)
        .map(|i| {
            if i % 2 == 0 {
                labeled("", &format!("red car blue bus. n{i}"), &[0])
            } else {
                labeled("", &format!("red bus blue car. n{i}"), &[1])
            }
        })
        .collect();
    let classifier = train(&dataset(&corpus), &TrainingConfig::default(), &Silent).unwrap().classifier;
    let document = Document::new("", "red car blue bus").unwrap();
    let answer = classifier.classify(&document, &ClassifyOptions::default(), &mut ClassifyScratch::default());
    assert_eq!((answer.decision, answer.topics[0].topic), (Decision::Assigned, 0));
}
