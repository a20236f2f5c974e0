//! Evaluating a version over the wire.

use tonic::Code;
use tonic_types::StatusExt;
use topicd::api::pb;
use topicd::api::pb::evaluation::Source;

use crate::support::{
    TestServer, assert_error, document, examples, labeled, model_of, non_zero, train_request, violations,
};

type Evaluated = pb::EvaluateModelVersionResponse;

async fn evaluate(
    server: &TestServer,
    version: &str,
    inline: Option<Vec<pb::LabeledDocument>>,
) -> Result<Evaluated, tonic::Status> {
    let inline_examples = inline.map(|examples| pb::InlineExamples { examples });
    let request = pb::EvaluateModelVersionRequest { model_version: version.to_owned(), inline_examples };
    Ok(server.models().await.evaluate_model_version(request).await?.into_inner())
}

async fn own_evaluation(server: &TestServer, version: &str) -> pb::Evaluation {
    let request = pb::GetModelVersionRequest { model_version: version.to_owned() };
    let version = server.models().await.get_model_version(request).await.unwrap().into_inner().model_version.unwrap();
    version.evaluation.unwrap()
}

fn held_out(mut examples: Vec<pb::LabeledDocument>) -> Vec<pb::LabeledDocument> {
    examples.iter_mut().for_each(|example| example.split = pb::Split::HeldOut.into());
    examples
}

async fn import(server: &TestServer, examples: Vec<pb::LabeledDocument>) {
    let message =
        pb::ImportExamplesRequest { classifier: "classifiers/desk".to_owned(), examples, ..Default::default() };
    server.datasets().await.import_examples(tokio_stream::iter([message])).await.unwrap();
}

/// Nothing has changed since the training: it is what the training measured, to the bit.
#[tokio::test]
async fn on_what_training_held_out_it_is_what_training_found() {
    let server = TestServer::start().await;
    server.train(train_request("desk", [examples(0..40), held_out(examples(40..60))].concat())).await;
    let evaluated = evaluate(&server, &model_of("stable"), None).await.unwrap();
    assert_eq!((evaluated.model_version.as_str(), evaluated.dataset_revision), (model_of("1").as_str(), 1));
    let evaluation = evaluated.evaluation.unwrap();
    assert_eq!((evaluation.document_count, evaluation.source()), (20, Source::HeldOut));
    assert_eq!(evaluation, own_evaluation(&server, &model_of("1")).await);
    assert!(evaluated.training_documents_known);

    // Held out by a share: also of the documents that have come since.
    let config = Some(pb::TrainingConfig { held_out_share: 0.5, ..Default::default() });
    let several = examples(0..60).into_iter().map(|mut example| {
        example.topics.extend(example.document.as_ref().unwrap().text.contains('3').then(|| "three".to_owned()));
        example
    });
    let request = pb::TrainRequest { config, ..train_request("several", several.collect()) };
    let job = server.train(request).await;
    let evaluated = evaluate(&server, &job.model_version, None).await.unwrap();
    let evaluation = evaluated.evaluation.unwrap();
    assert_eq!(evaluation, own_evaluation(&server, &job.model_version).await);
    assert!(evaluation.topics[0].threshold.is_some() && evaluation.document_count > 10, "{evaluation:?}");
}

/// A document that is held out now, but was trained on, would flatter the version that learned it.
#[tokio::test]
async fn documents_that_a_version_was_trained_on_are_left_out_and_counted() {
    let server = TestServer::start().await;
    server.train(train_request("desk", [examples(0..40), held_out(examples(40..60))].concat())).await;
    import(&server, [held_out(examples(0..10)), held_out(examples(60..65))].concat()).await;
    let evaluated = evaluate(&server, &model_of("1"), None).await.unwrap();
    assert_eq!((evaluated.dataset_revision, evaluated.trained_on_document_count), (2, 10));
    assert_eq!(evaluated.evaluation.unwrap().document_count, 25);

    let mut inline = examples(30..50);
    // Given twice: the last one counts, whatever its split. And one that nobody labelled.
    inline.extend(examples(49..50).into_iter().map(|example| pb::LabeledDocument {
        topics: vec!["war".into()],
        split: pb::Split::Training.into(),
        ..example
    }));
    inline.push(labeled(document("", "nothing fits"), &[]));
    let evaluated = evaluate(&server, &model_of("1"), Some(inline.clone())).await.unwrap();
    assert_eq!((evaluated.dataset_revision, evaluated.trained_on_document_count), (0, 10));
    assert_eq!(evaluated.unlabeled_document_count, 1);
    let evaluation = evaluated.evaluation.unwrap();
    assert_eq!((evaluation.document_count, evaluation.accuracy), (10, 0.9));
    assert_eq!(evaluation.confusions[0].document_count, 1);

    let refusal = evaluate(&server, &model_of("1"), Some(examples(0..40))).await.unwrap_err();
    assert_eq!(violations(&refusal), [("inline_examples.examples".to_owned(), "TRAINED_ON".to_owned())]);
    // Of the program's own model nobody here knows what it was trained on.
    let default = "classifiers/default/versions/1";
    let evaluated = evaluate(&server, default, Some(examples(0..40))).await.unwrap();
    assert_eq!((evaluated.training_documents_known, evaluated.trained_on_document_count), (false, 0));
    let topics: Vec<String> =
        evaluated.evaluation.unwrap().topics.into_iter().map(|topic| topic.topic).filter(|t| t == "war").collect();
    assert_eq!(topics, ["war"]);
}

#[tokio::test]
async fn what_can_t_be_evaluated_is_refused() {
    let server = TestServer::start_with(|config| config.limits.max_topics = non_zero(2)).await;
    server.train(train_request("desk", examples(0..40))).await;
    let refusal = |version: String, inline| async {
        let version = version;
        evaluate(&server, &version, inline).await.map(|_| ()).unwrap_err()
    };
    let wrong = refusal(String::new(), Some(Vec::new())).await;
    let expected = [("model_version", "REQUIRED"), ("inline_examples.examples", "REQUIRED")];
    assert_eq!(violations(&wrong), expected.map(|(field, reason)| (field.to_owned(), reason.to_owned())));
    let field = |reason: &str| [("inline_examples.examples".to_owned(), reason.to_owned())];
    let wrong = refusal(model_of("1"), Some(vec![labeled(document("", "a"), &[])])).await;
    assert_eq!(violations(&wrong), field("NO_TOPICS"));
    let wrong = refusal(model_of("1"), Some(vec![labeled(document("", "a"), &["science"])])).await;
    assert_eq!(violations(&wrong), field("TOO_MANY_TOPICS"));
    let wrong = refusal(model_of("1"), Some(vec![labeled(document("", ""), &["war"])])).await;
    assert_eq!(violations(&wrong), [("inline_examples.examples[0].document".to_owned(), "REQUIRED".to_owned())]);
    assert_error(&refusal(model_of("2"), None).await, Code::NotFound, "UNKNOWN_VERSION");
    for version in [model_of("1"), "classifiers/default/versions/1".to_owned()] {
        let none = refusal(version, None).await;
        assert_error(&none, Code::FailedPrecondition, "UNUSABLE_HELD_OUT_DOCUMENTS");
        assert_eq!(none.get_details_precondition_failure().unwrap().violations[0].r#type, "DATASET");
    }
    import(&server, held_out(examples(0..5))).await;
    let trained_on = refusal(model_of("1"), None).await;
    assert_error(&trained_on, Code::FailedPrecondition, "UNUSABLE_HELD_OUT_DOCUMENTS");
    assert!(trained_on.message().contains("trained on 5 of them"), "{trained_on:?}");
}

/// They wait for comparisons, and comparisons for them.
#[tokio::test]
async fn evaluations_and_comparisons_are_bounded_together() {
    let server = TestServer::start().await;
    server.train(train_request("desk", [examples(0..600), held_out(examples(600..700))].concat())).await;
    let client = server.models().await;
    let calls = (0..40).map(|i| {
        let mut client = client.clone();
        async move {
            if i % 2 == 0 {
                let request = pb::EvaluateModelVersionRequest { model_version: model_of("1"), inline_examples: None };
                client.evaluate_model_version(request).await.map(|_| ())
            } else {
                let request = pb::CompareModelVersionsRequest {
                    model_version_a: model_of("1"),
                    model_version_b: model_of("1"),
                    inline_examples: None,
                };
                client.compare_model_versions(request).await.map(|_| ())
            }
        }
    });
    let answers = futures_util::future::join_all(calls).await;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(!refused.is_empty() && answers.len() - refused.len() >= 8, "{} refused", refused.len());
    for refusal in refused {
        assert_error(refusal, Code::ResourceExhausted, "TOO_MANY_COMPARISONS");
    }
    let evaluated = evaluate(&server, &model_of("1"), None).await.unwrap();
    assert_eq!(evaluated.evaluation.unwrap().document_count, 100);
}
