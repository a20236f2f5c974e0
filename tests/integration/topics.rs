//! What a version knows about a topic, over the wire.

use tonic::Code;
use tonic_types::StatusExt;
use topicd::api::pb;

use crate::support::{TestServer, assert_error, document, examples, request, train_request, violations};

async fn describe(
    server: &TestServer,
    model: &str,
    topic: &str,
    max_terms: u32,
) -> Result<pb::TopicDescription, tonic::Status> {
    let request = pb::DescribeTopicRequest { model: model.to_owned(), topic: topic.to_owned(), max_terms };
    Ok(server.models().await.describe_topic(request).await?.into_inner().topic.unwrap())
}

#[tokio::test]
async fn a_topic_is_described_by_its_strongest_terms() {
    let server = TestServer::start().await;
    let sports = describe(&server, "", "sports", 0).await.unwrap();
    assert_eq!((sports.terms_for.len(), sports.terms_against.len()), (20, 20));
    assert!(sports.terms_for.is_sorted_by(|a, b| a.strength >= b.strength) && sports.terms_for[19].strength > 0.0);
    assert!(
        sports.terms_against.is_sorted_by(|a, b| a.strength <= b.strength) && sports.terms_against[19].strength < 0.0
    );
    let evaluation = sports.evaluation.unwrap();
    assert_eq!((evaluation.topic.as_str(), evaluation.document_count), ("sports", sports.training_document_count));
    assert_eq!(sports.decision_threshold, None);
    assert!(
        (1..=5).contains(&sports.confusions.len()) && sports.confusions.iter().all(|other| other.topic != "sports")
    );

    // A document that is one of its words has a row of one value, 1: what it adds is the weight.
    let word = sports.terms_for.iter().find(|term| !term.term.contains(' ')).unwrap();
    assert!((word.strength - word.tfidf_weight * word.weight).abs() < 1e-12);
    let options = pb::ClassifyOptions { explain: pb::Explain::ReturnedTopics.into(), ..Default::default() };
    let request = pb::ClassifyRequest { options: Some(options), ..request(document("", &word.term)) };
    let answer = server.client().await.classify(request).await.unwrap().into_inner();
    let explanation = answer.explanations.iter().find(|explanation| explanation.topic == "sports").unwrap();
    assert_eq!((explanation.bias, explanation.terms.len()), (sports.bias, 1));
    assert_eq!(
        (explanation.terms[0].term.as_str(), explanation.terms[0].contribution),
        (word.term.as_str(), word.weight)
    );

    let all = describe(&server, "classifiers/default/versions/stable", " sports ", 1000).await.unwrap();
    assert_eq!((&all.terms_for[..20], &all.terms_against[..20]), (&sports.terms_for[..], &sports.terms_against[..]));
    assert_eq!(all.terms_for.len(), 1000);
}

#[tokio::test]
async fn a_topic_among_several_of_a_document_has_a_threshold() {
    let server = TestServer::start().await;
    let mut several = examples(0..60);
    several.iter_mut().step_by(3).for_each(|example| example.topics = vec!["war".to_owned(), "sport".to_owned()]);
    server.train(train_request("desk", several)).await;
    let war = describe(&server, "classifiers/desk", "war", 5).await.unwrap();
    assert_eq!((war.training_document_count, war.confusions.len()), (40, 0));
    assert!(war.decision_threshold.is_some_and(f64::is_finite), "{war:?}");
}

#[tokio::test]
async fn topics_that_aren_t_there_are_refused() {
    let server = TestServer::start().await;
    let unknown = describe(&server, "", "Sport", 0).await.unwrap_err();
    assert_error(&unknown, Code::NotFound, "UNKNOWN_TOPIC");
    assert!(unknown.message().ends_with("did you mean sports"), "{}", unknown.message());
    let resource = unknown.get_details_resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("Topic", "Sport"));
    let unlike = describe(&server, "", &"é".repeat(64), 0).await.unwrap_err();
    assert_error(&unlike, Code::NotFound, "UNKNOWN_TOPIC");
    let wrong = describe(&server, "sports", "", 1001).await.unwrap_err();
    let expected = [("model", "MALFORMED_NAME"), ("topic", "REQUIRED"), ("max_terms", "OUT_OF_RANGE")];
    assert_eq!(violations(&wrong), expected.map(|(field, reason)| (field.to_owned(), reason.to_owned())));
    let unknown = describe(&server, "classifiers/default/versions/9", "sports", 0).await.unwrap_err();
    assert_error(&unknown, Code::NotFound, "UNKNOWN_VERSION");
}
