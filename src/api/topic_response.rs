//! Described topics → responses.

use super::model_response::{evaluation_source, topic_evaluation};
use super::pb;
use crate::known_words::NearestWord;
use crate::service::DescribedTopic;
use crate::topic_description::{Confusion, TopicDescription, TopicTerm};

/// A described topic.
pub fn described_topic(described: DescribedTopic) -> pb::DescribeTopicResponse {
    let DescribedTopic { version, description } = described;
    pb::DescribeTopicResponse { model_version: version.to_string(), topic: Some(topic_description(description)) }
}

fn topic_description(description: TopicDescription) -> pb::TopicDescription {
    let terms = |terms: Vec<TopicTerm>| terms.into_iter().map(topic_term).collect();
    pb::TopicDescription {
        topic: description.topic,
        bias: description.bias,
        decision_threshold: description.threshold,
        training_document_count: description.n_training_documents as u64,
        evaluation: description.evaluation.as_ref().map(topic_evaluation),
        terms_for: terms(description.terms_for),
        terms_against: terms(description.terms_against),
        evaluation_source: evaluation_source(description.evaluation_source).into(),
        nearest_words: description.nearest_words.into_iter().map(nearest_word).collect(),
        confusions: description.confusions.into_iter().map(topic_confusion).collect(),
    }
}

fn topic_term(term: TopicTerm) -> pb::TopicTerm {
    let TopicTerm { term, strength, tfidf_weight, weight } = term;
    pb::TopicTerm { term, strength, tfidf_weight, weight }
}

fn nearest_word(word: NearestWord) -> pb::NearestWord {
    let NearestWord { word, strength } = word;
    pb::NearestWord { word, strength }
}

fn topic_confusion(confusion: Confusion) -> pb::TopicConfusion {
    pb::TopicConfusion {
        topic: confusion.topic,
        lost_document_count: confusion.n_lost_to_it as u64,
        taken_document_count: confusion.n_taken_from_it as u64,
    }
}
