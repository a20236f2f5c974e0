//! What a classifier is told once: kept, told back, obeyed by later trainings, and changed only by who has seen it.

use tonic::{Code, Status};
use topicd::api::pb;
use topicd::api::pb::promotion_policy::Mode;
use topicd::api::pb::training_job::State;

use crate::support::{
    TestServer, assert_error, document, examples, many_examples, model_of, request, train_request, violations,
};

async fn get(server: &TestServer, classifier: &str) -> pb::Classifier {
    let get = pb::GetClassifierRequest { classifier: classifier.to_owned() };
    server.models().await.get_classifier(get).await.unwrap().into_inner().classifier.unwrap()
}

async fn update(
    server: &TestServer,
    classifier: &str,
    policy: pb::PromotionPolicy,
    etag: &str,
) -> Result<pb::Classifier, Status> {
    let settings = pb::ClassifierSettings { promotion_policy: Some(policy), ..Default::default() };
    let request = pb::UpdateClassifierSettingsRequest {
        classifier: classifier.to_owned(),
        settings: Some(settings),
        etag: etag.to_owned(),
    };
    let answer = server.models().await.update_classifier_settings(request).await?;
    Ok(answer.into_inner().classifier.unwrap())
}

fn policy(classifier: &pb::Classifier) -> pb::PromotionPolicy {
    classifier.settings.clone().unwrap().promotion_policy.unwrap()
}

fn in_mode(mode: Mode) -> pb::PromotionPolicy {
    pb::PromotionPolicy { mode: mode.into(), ..Default::default() }
}

/// A team that wants to say what must be met says it before there is a version that need not.
#[tokio::test]
async fn settings_are_there_before_the_first_training_and_after_a_restart() {
    let server = TestServer::start().await;
    assert_eq!(policy(&get(&server, "classifiers/default").await), in_mode(Mode::Automatic));
    let strict = pb::PromotionPolicy {
        min_accuracy: Some(0.9),
        max_log_loss: Some(0.7),
        min_documents_per_topic: 30,
        lost_topics_allowed: vec!["cup".to_owned()],
        significance: Some(0.05),
        ..in_mode(Mode::Manual)
    };
    let created = update(&server, "classifiers/desk", strict.clone(), "").await.unwrap();
    assert_eq!((policy(&created), created.latest_version.as_str()), (strict.clone(), ""));
    let ask = pb::ClassifyRequest { model: "classifiers/desk".to_owned(), ..request(document("", "a")) };
    let refusal = server.client().await.classify(ask).await.unwrap_err();
    assert_error(&refusal, Code::FailedPrecondition, "NOTHING_TRAINED");

    let server = server.restart().await;
    assert_eq!(get(&server, "classifiers/desk").await, created);
    let list = server.models().await.list_classifiers(pb::ListClassifiersRequest {}).await.unwrap().into_inner();
    assert_eq!(list.classifiers.iter().map(policy).collect::<Vec<_>>(), [in_mode(Mode::Automatic), strict.clone()]);

    let job = server.train(train_request("desk", examples(0..40))).await;
    assert_eq!((job.promoted, job.promotion_policy), (false, Some(strict.clone())));
    let failed: Vec<&str> = job.checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
    assert_eq!(failed, ["min_documents_per_topic"]);
    let job = server.train(train_request("desk", examples(40..60))).await;
    assert!(!job.promoted && job.checks.iter().all(|check| check.passed), "{job:?}");
    let classifier = get(&server, "classifiers/desk").await;
    assert_eq!((classifier.stable_version.as_str(), classifier.candidate_version.clone()), ("", model_of("2")));

    // A training's own policy takes the place of the stored one, all of it, and only once.
    let own =
        pb::TrainRequest { promotion_policy: Some(in_mode(Mode::Automatic)), ..train_request("desk", Vec::new()) };
    let job = server.train(own).await;
    assert_eq!((job.promoted, job.promotion_policy), (true, Some(in_mode(Mode::Automatic))));
    assert_eq!(job.checks.iter().map(|check| check.name.as_str()).collect::<Vec<_>>(), ["self_test"]);
    let job = server.train(train_request("desk", Vec::new())).await;
    assert_eq!((job.promoted, job.promotion_policy), (false, Some(strict)));
}

#[tokio::test]
async fn settings_are_replaced_as_a_whole_and_only_by_who_has_seen_them() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    let before = get(&server, "classifiers/desk").await;
    let first = pb::PromotionPolicy { min_accuracy: Some(0.5), ..in_mode(Mode::Manual) };
    let updated = update(&server, "classifiers/desk", first, &before.etag).await.unwrap();
    assert!(updated.etag != before.etag && updated.stable_version == before.stable_version, "{updated:?}");
    let refusal = update(&server, "classifiers/desk", in_mode(Mode::Never), &before.etag).await.unwrap_err();
    assert_error(&refusal, Code::Aborted, "STALE_ETAG");
    assert_eq!(get(&server, "classifiers/desk").await, updated);
    // So is a move of an alias by who hasn't seen the settings.
    let promote = pb::PromoteModelVersionRequest {
        model_version: model_of("1"),
        etag: before.etag.clone(),
        ..Default::default()
    };
    let refusal = server.models().await.promote_model_version(promote).await.unwrap_err();
    assert_error(&refusal, Code::Aborted, "STALE_ETAG");

    let second = pb::PromotionPolicy { max_accuracy_drop: Some(0.0), ..Default::default() };
    let updated = update(&server, "classifiers/desk", second.clone(), "").await.unwrap();
    assert_eq!(policy(&updated), pb::PromotionPolicy { mode: Mode::Automatic.into(), ..second });
    let ask = pb::ClassifyRequest { model: "classifiers/desk".to_owned(), ..request(document("", "the striker")) };
    assert_eq!(server.client().await.classify(ask).await.unwrap().into_inner().model_version, model_of("1"));
    // An etag is of something that was seen.
    let refusal = update(&server, "classifiers/nobody", in_mode(Mode::Never), "0").await.unwrap_err();
    assert_error(&refusal, Code::NotFound, "UNKNOWN_CLASSIFIER");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_told_and_nothing_is_created() {
    let server = TestServer::start().await;
    let wrong = pb::PromotionPolicy { min_accuracy: Some(2.0), significance: Some(-1.0), ..in_mode(Mode::Manual) };
    let refusal = update(&server, "desk", wrong.clone(), "").await.unwrap_err();
    let expected = [
        ("classifier", "MALFORMED_NAME"),
        ("settings.promotion_policy.min_accuracy", "OUT_OF_RANGE"),
        ("settings.promotion_policy.significance", "OUT_OF_RANGE"),
    ];
    assert_error(&refusal, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violations(&refusal), expected.map(|(field, reason)| (field.to_owned(), reason.to_owned())));
    update(&server, "classifiers/desk", wrong, "").await.unwrap_err();
    let nothing =
        pb::UpdateClassifierSettingsRequest { classifier: "classifiers/desk".to_owned(), ..Default::default() };
    let refusal = server.models().await.update_classifier_settings(nothing).await.unwrap_err();
    assert_eq!(violations(&refusal), [("settings".to_owned(), "REQUIRED".to_owned())]);
    let list = server.models().await.list_classifiers(pb::ListClassifiersRequest {}).await.unwrap().into_inner();
    assert_eq!(list.classifiers.len(), 1, "{list:?}");
}

/// A team that wants to look at versions before they answer means those that are just being trained too.
#[tokio::test]
async fn settings_hold_for_a_training_that_has_begun_already() {
    let server = TestServer::start().await;
    let at_once = |request| pb::TrainRequest { wait_timeout: None, ..request };
    let holds_the_turn = server.train(at_once(train_request("other", many_examples()))).await;
    let waiting = server.train(at_once(train_request("desk", examples(0..40)))).await;
    assert_eq!((waiting.state(), waiting.promotion_policy), (State::Running, None));
    update(&server, "classifiers/desk", in_mode(Mode::Manual), "").await.unwrap();
    let cancel = pb::CancelTrainingJobRequest { training_job: holds_the_turn.name };
    server.models().await.cancel_training_job(cancel).await.unwrap();
    let watch = pb::WatchTrainingJobRequest { training_job: waiting.name };
    let mut updates = server.models().await.watch_training_job(watch).await.unwrap().into_inner();
    let mut job = None;
    while let Some(update) = updates.message().await.unwrap() {
        job = update.training_job;
    }
    let job = job.unwrap();
    assert_eq!((job.state(), job.promoted), (State::Succeeded, false));
    assert_eq!(job.promotion_policy, Some(in_mode(Mode::Manual)));
}
