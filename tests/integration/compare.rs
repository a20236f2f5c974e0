//! Comparing versions over the wire.

use tonic::Code;
use tonic_types::StatusExt;
use topicd::api::pb;

use crate::support::{
    TestServer, assert_error, document, examples, labeled, model_of, request, server_with_three_versions,
    train_request, violations,
};

fn compare_request(a: &str, b: &str, inline: Option<Vec<pb::LabeledDocument>>) -> pb::CompareModelVersionsRequest {
    pb::CompareModelVersionsRequest {
        model_version_a: a.to_owned(),
        model_version_b: b.to_owned(),
        inline_examples: inline.map(|examples| pb::InlineExamples { examples }),
    }
}

async fn compare(
    server: &TestServer,
    request: pb::CompareModelVersionsRequest,
) -> Result<(pb::CompareModelVersionsResponse, pb::Comparison), tonic::Status> {
    let response = server.models().await.compare_model_versions(request).await?.into_inner();
    let comparison = response.comparison.clone().unwrap();
    Ok((response, comparison))
}

#[tokio::test]
async fn versions_are_compared_on_the_stored_documents() {
    let server = server_with_three_versions().await;
    let (response, same) = compare(&server, compare_request(&model_of("1"), &model_of("stable"), None)).await.unwrap();
    assert_eq!([&response.model_version_a, &response.model_version_b], [&model_of("1"), &model_of("2")]);
    assert_eq!((response.dataset_revision, same.document_count), (2, 60));
    assert_eq!((same.p_value, same.differing_document_count, same.differing_documents.len()), (1.0, 0, 0));
    let [a, b] = [same.metrics_a.unwrap(), same.metrics_b.unwrap()];
    assert_eq!((a.new_document_count, b.new_document_count), (20, 0));
    assert_eq!((a.accuracy, b.macro_f1), (1.0, 1.0));

    let (_, other) = compare(&server, compare_request(&model_of("2"), &model_of("candidate"), None)).await.unwrap();
    assert_eq!((other.only_a_right_count, other.only_b_right_count), (60, 0));
    assert!((other.p_value / 2f64.powi(-59) - 1.0).abs() < 1e-9, "{}", other.p_value); // 2 · ½⁶⁰
    let names: Vec<&str> = other.topics.iter().map(|topic| topic.topic.as_str()).collect();
    assert_eq!(names, ["other sport", "other war", "sport", "war"]);
    let war = &other.topics[3];
    assert_eq!((war.document_count, war.f1_a, war.f1_b, war.gained_count, war.lost_count), (30, 1.0, 0.0, 0, 30));
    let b = other.metrics_b.unwrap();
    assert_eq!((b.new_document_count, b.accuracy, b.macro_f1), (20, 0.0, 0.0));
    assert_eq!((other.differing_document_count, other.differing_documents.len()), (60, 20));
    for differing in &other.differing_documents {
        let topic = if differing.document_id.parse::<u32>().unwrap() % 2 == 0 { "war" } else { "sport" };
        assert_eq!(
            (differing.labels.as_slice(), differing.topics_a.as_slice()),
            (&[topic.to_owned()][..], &[topic.to_owned()][..])
        );
        assert_eq!(
            (differing.topics_b.as_slice(), differing.content_hash.len()),
            (&[format!("other {topic}")][..], 64)
        );
    }
}

/// Labels dealt out by chance can be learned by heart, but not guessed.
#[tokio::test]
async fn no_version_is_judged_by_what_it_learned_by_heart() {
    let server = TestServer::start().await;
    let by_chance: Vec<_> = (0u64..80)
        .map(|i| {
            let topic = if i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63 == 0 { "war" } else { "sport" };
            labeled(document(&format!("word{i}a word{i}b"), "report"), &[topic])
        })
        .collect();
    server.train(train_request("desk", by_chance.clone())).await;
    let mut n_right = 0;
    for example in &by_chance {
        let request =
            pb::ClassifyRequest { model: "classifiers/desk".to_owned(), ..request(example.document.clone().unwrap()) };
        let answer = server.client().await.classify(request).await.unwrap().into_inner();
        n_right += usize::from(answer.topics[0].topic == example.topics[0]);
    }
    assert_eq!(n_right, 80);
    for inline in [None, Some(by_chance)] {
        let (response, comparison) =
            compare(&server, compare_request(&model_of("1"), &model_of("1"), inline.clone())).await.unwrap();
        assert_eq!(response.dataset_revision, u32::from(inline.is_none()));
        let metrics = comparison.metrics_a.unwrap();
        assert!(metrics.accuracy < 0.75 && metrics.new_document_count == 0, "{metrics:?}");
    }
}

#[tokio::test]
async fn inline_documents_compare_versions_of_any_classifiers() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    server.train(train_request("other", examples(0..80))).await;
    let mut inline = examples(30..50);
    // Given twice: the last one counts. And one that nobody labelled.
    inline.extend(
        examples(49..50).into_iter().map(|example| pb::LabeledDocument { topics: vec!["war".into()], ..example }),
    );
    inline.push(labeled(document("", "nothing fits"), &[]));
    let request = compare_request(&model_of("1"), "classifiers/other", Some(inline));
    let (response, comparison) = compare(&server, request).await.unwrap();
    assert_eq!((response.dataset_revision, comparison.document_count), (0, 20));
    let [a, b] = [comparison.metrics_a.unwrap(), comparison.metrics_b.unwrap()];
    assert_eq!((a.new_document_count, b.new_document_count), (10, 0));
    assert_eq!((a.accuracy, b.accuracy), (0.95, 0.95));
}

#[tokio::test]
async fn what_can_t_be_compared_is_refused() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    let (one, default) = (model_of("1"), "classifiers/default/versions/1");
    let refusal = |request| async { compare(&server, request).await.map(|_| ()).unwrap_err() };
    let wrong = refusal(compare_request("", "desk", Some(Vec::new()))).await;
    let expected = [
        ("model_version_a", "REQUIRED"),
        ("model_version_b", "MALFORMED_NAME"),
        ("inline_examples.examples", "REQUIRED"),
    ];
    assert_eq!(violations(&wrong), expected.map(|(field, reason)| (field.to_owned(), reason.to_owned())));
    let wrong = refusal(compare_request(&one, default, None)).await;
    assert_eq!(violations(&wrong), [("model_version_b".to_owned(), "OTHER_CLASSIFIER".to_owned())]);
    let unlabelled = vec![labeled(document("", "a"), &[])];
    let wrong = refusal(compare_request(&one, &one, Some(unlabelled))).await;
    assert_eq!(violations(&wrong), [("inline_examples.examples".to_owned(), "NO_TOPICS".to_owned())]);

    assert_error(&refusal(compare_request(&one, &model_of("2"), None)).await, Code::NotFound, "UNKNOWN_VERSION");
    let nobody = "classifiers/nobody/versions/1";
    assert_error(&refusal(compare_request(nobody, nobody, None)).await, Code::NotFound, "UNKNOWN_CLASSIFIER");
    let none = refusal(compare_request(default, default, None)).await;
    assert_error(&none, Code::FailedPrecondition, "NOTHING_TO_COMPARE_ON");
    let failed = none.get_details_precondition_failure().unwrap();
    assert_eq!(
        (failed.violations[0].r#type.as_str(), failed.violations[0].subject.as_str()),
        ("DATASET", "classifiers/default")
    );
}

/// Each may hold a dataset in memory: they wait for each other, and not too many do.
#[tokio::test]
async fn comparisons_are_bounded() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..600))).await;
    let request = compare_request(&model_of("1"), &model_of("1"), None);
    let client = server.models().await;
    let calls = (0..40).map(|_| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.compare_model_versions(request).await.map(|_| ()) }
    });
    let answers = futures_util::future::join_all(calls).await;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(!refused.is_empty() && answers.len() - refused.len() >= 8, "{} refused", refused.len());
    for refusal in refused {
        assert_error(refusal, Code::ResourceExhausted, "TOO_MANY_COMPARISONS");
        assert!(refusal.get_details_retry_info().is_some());
    }
    // What they held is free again.
    assert_eq!(compare(&server, request).await.unwrap().1.document_count, 600);
}
