//! Answers: what options do to them, and that nothing but the document does anything else.

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use topicd::abstention::{AbstainReason, AbstentionOptions, Decision};
use topicd::classifier::{Classification, Classifier, ClassifyOptions, ClassifyScratch};
use topicd::decision::Probability;
use topicd::document::{Document, LabeledDocument};
use topicd::training::{Silent, train};
use topicd::training_config::TrainingConfig;

use crate::corpus::{dataset, labeled, news_like_corpus};

/// Ten topics: more than the solver fits side by side.
pub(crate) static CLASSIFIER: LazyLock<Classifier> = LazyLock::new(|| {
    train(&dataset(&news_like_corpus(300, 10, 31)), &TrainingConfig::default(), None, &Silent).unwrap().classifier
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

/// Whatever the probabilities, a topic is assigned.
fn sure() -> ClassifyOptions {
    abstaining(Some(Probability::default()), Some(Probability::default()))
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
        let answer = classify(&document, &sure());
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
        let whole = classify(&document, &sure());
        for n in [1, 3, 10, 99] {
            let options = ClassifyOptions { top_k: NonZeroUsize::new(n), ..sure() };
            assert_eq!(classify(&document, &options).topics, whole.topics[..n.min(10)]);
        }
        // What is exactly as probable as asked for stays.
        let options = ClassifyOptions { min_probability: probability(whole.topics[2].probability), ..sure() };
        assert_eq!(classify(&document, &options).topics, whole.topics[..3]);
        let both = ClassifyOptions { top_k: NonZeroUsize::new(2), ..options };
        assert_eq!(classify(&document, &both).topics, whole.topics[..2]);
        // The most probable topic stays whatever is asked for.
        let options = ClassifyOptions { min_probability: probability(1.0), ..sure() };
        assert_eq!(classify(&document, &options).topics, whole.topics[..1]);
    }
}

#[test]
fn nothing_is_assigned_when_no_topic_is_probable_enough() {
    let unsure = |document: &Document| {
        let whole = classify(document, &sure());
        (whole.topics[0].probability < 0.9).then(|| (document.clone(), whole))
    };
    let (document, whole) = documents(100).iter().find_map(unsure).unwrap();
    let best = whole.topics[0].probability;
    let at = |abstain_below| classify(&document, &abstaining(Some(abstain_below), Some(Probability::default())));
    assert_eq!(at(probability(best)), whole);
    let abstained = at(probability(best.next_up()));
    assert_eq!(abstained.decision, Decision::Abstained(AbstainReason::LowProbability));
    assert_eq!((abstained.topics.len(), n_assigned(&abstained)), (10, 0));
    assert_eq!(abstained.topics[0].probability, best);

    let margin = best - whole.topics[1].probability;
    let at = |min_margin| classify(&document, &abstaining(Some(Probability::default()), Some(min_margin)));
    assert_eq!(at(probability(margin)), whole);
    let abstained = at(probability(margin.next_up()));
    assert_eq!(abstained.decision, Decision::Abstained(AbstainReason::SmallMargin));
    assert_eq!((abstained.topics[0].probability, n_assigned(&abstained)), (best, 0));
}

/// What training found counts where the options say nothing.
#[test]
fn abstaining_keeps_the_accuracy_that_was_asked_for() {
    // Few words, so that there is something to be unsure of.
    let shortened = |n_documents, seed| -> Vec<LabeledDocument> {
        let short = |example: LabeledDocument| {
            let text = example.document.text().split(' ').take(12).collect::<Vec<_>>().join(" ");
            LabeledDocument::new(Document::new("", text).unwrap(), example.topics().to_vec())
        };
        news_like_corpus(n_documents, 10, seed).into_iter().map(short).collect()
    };
    let corpus = shortened(600, 33);
    let config = |selective_accuracy| TrainingConfig { selective_accuracy, ..TrainingConfig::default() };
    let trained = |accuracy| train(&dataset(&corpus), &config(accuracy), None, &Silent).unwrap().classifier;
    let held_out = shortened(1000, 34);
    let answers = |classifier: &Classifier| -> (usize, usize) {
        let mut scratch = ClassifyScratch::default();
        let answers = held_out.iter().map(|example| {
            let answer = answer(classifier, &example.document, &mut scratch);
            let topic =
                answer.topics.iter().find(|score| score.assigned).map(|score| &classifier.topics()[score.topic]);
            (usize::from(topic.is_some()), usize::from(topic == example.topics().first()))
        });
        answers.fold((0, 0), |sum, answer| (sum.0 + answer.0, sum.1 + answer.1))
    };
    let careless = trained(0.0);
    let (n_given, n_right) = answers(&careless);
    assert_eq!((n_given, careless.abstention().min_probability), (1000, 0.0));
    let wanted = 0.5 * (1.0 + careless.provenance().evaluation.accuracy);
    assert!((n_right as f64) < 950.0 && wanted < 0.99, "{n_right} of 1000 are right");
    let (n_given, n_right) = answers(&trained(wanted));
    assert!((200..950).contains(&n_given), "{n_given} answers");
    assert!(n_right as f64 / n_given as f64 > wanted - 0.03, "{n_right} of {n_given} are right, not {wanted}");
}

fn abstaining(abstain_below: Option<Probability>, min_margin: Option<Probability>) -> ClassifyOptions {
    let abstention = AbstentionOptions { abstain_below, min_margin };
    ClassifyOptions { abstention, ..ClassifyOptions::default() }
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
        let options = ClassifyOptions { top_k: NonZeroUsize::new(4), ..abstaining(Some(abstain_below), None) };
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
    let classifier = train(&dataset(&corpus), &TrainingConfig::default(), None, &Silent).unwrap().classifier;
    let document = Document::new("", "red car blue bus").unwrap();
    let answer = classifier.classify(&document, &ClassifyOptions::default(), &mut ClassifyScratch::default());
    assert_eq!((answer.decision, answer.topics[0].topic), (Decision::Assigned, 0));
}
