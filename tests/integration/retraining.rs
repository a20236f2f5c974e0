//! What settings make happen without being asked: trainings, and old versions that go.

use std::time::Duration;

use topicd::api::pb;
use topicd::api::pb::training_job::State;

use crate::support::{LONG, TestServer, examples, train_request, violations};

const DESK: &str = "classifiers/desk";

async fn update(server: &TestServer, settings: pb::ClassifierSettings) {
    let request = pb::UpdateClassifierSettingsRequest {
        classifier: DESK.to_owned(),
        settings: Some(settings),
        ..Default::default()
    };
    server.models().await.update_classifier_settings(request).await.unwrap();
}

fn retraining(min_changed_documents: u32) -> pb::ClassifierSettings {
    let retraining = pb::RetrainingPolicy { min_changed_documents, max_age: None };
    pb::ClassifierSettings { retraining: Some(retraining), ..Default::default() }
}

async fn import(server: &TestServer, examples: Vec<pb::LabeledDocument>) {
    let message = pb::ImportExamplesRequest { classifier: DESK.to_owned(), examples, more_follows: false };
    server.datasets().await.import_examples(tokio_stream::iter([message])).await.unwrap();
}

/// The classifier's jobs, newest first, once there are so many and all have ended.
async fn jobs(server: &TestServer, n: usize) -> Vec<pb::TrainingJob> {
    let mut models = server.models().await;
    let ended = async {
        loop {
            let request = pb::ListTrainingJobsRequest { classifier: DESK.to_owned(), ..Default::default() };
            let jobs = models.list_training_jobs(request).await.unwrap().into_inner().training_jobs;
            if jobs.len() >= n && jobs.iter().all(|job| job.state() != State::Running) {
                return jobs;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, ended).await.unwrap_or_else(|_| panic!("fewer than {n} jobs"))
}

#[tokio::test]
async fn enough_new_documents_are_trained_on() {
    let server = TestServer::start().await;
    import(&server, examples(0..40)).await;
    let config = pb::TrainingConfig { c: 0.3, seed: 5, ..Default::default() };
    server.train(pb::TrainRequest { config: Some(config), ..train_request("desk", Vec::new()) }).await;
    update(&server, retraining(30)).await;
    import(&server, examples(40..60)).await;
    import(&server, examples(60..80)).await;
    let made = jobs(&server, 2).await;
    let seen: Vec<_> = made.iter().map(|job| (job.automatic, job.document_count, job.dataset_revision)).collect();
    // The first twenty weren't enough; what the job was told is what was asked for last.
    assert_eq!(seen, [(true, 80, 3), (false, 40, 1)]);
    assert_eq!((made[0].state(), made[0].config.as_ref().unwrap().seed, made[0].promoted), (State::Succeeded, 5, true));

    // A restart neither forgets what was trained on nor trains again.
    let server = server.restart().await;
    import(&server, examples(80..100)).await;
    import(&server, examples(100..110)).await;
    assert_eq!(jobs(&server, 3).await[0].document_count, 110);
    update(&server, pb::ClassifierSettings::default()).await;
    import(&server, examples(110..200)).await;
    assert_eq!(jobs(&server, 3).await.len(), 3);
}

/// Documents that can't be trained on are looked at again when there are others.
#[tokio::test]
async fn what_cannot_be_trained_on_is_tried_again_with_more() {
    let server = TestServer::start().await;
    update(&server, retraining(1)).await;
    let of_one_topic: Vec<_> = examples(0..40).into_iter().filter(|example| example.topics == ["war"]).collect();
    import(&server, of_one_topic).await;
    import(&server, examples(40..80)).await;
    let made = jobs(&server, 1).await;
    assert_eq!((made[0].state(), made[0].document_count), (State::Succeeded, 60));
}

#[tokio::test]
async fn old_versions_go_as_retention_says() {
    let server = TestServer::start().await;
    let policy = pb::RetentionPolicy { max_unaliased_versions: 2 };
    update(&server, pb::ClassifierSettings { retention: Some(policy), ..Default::default() }).await;
    let versions = async || {
        let request = pb::ListModelVersionsRequest { classifier: DESK.to_owned(), ..Default::default() };
        let listed = server.models().await.list_model_versions(request).await.unwrap().into_inner().model_versions;
        listed.into_iter().map(|version| version.name.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for n in 0..6 {
        let job = server.train(train_request("desk", examples(20 * n..20 * (n + 1)))).await;
        assert!(job.promoted, "{job:?}");
    }
    // 6 is stable, 5 previous.
    assert_eq!(versions().await, ["6", "5", "4", "3"]);
    update(
        &server,
        pb::ClassifierSettings {
            retention: Some(pb::RetentionPolicy { max_unaliased_versions: 1 }),
            ..Default::default()
        },
    )
    .await;
    assert_eq!(versions().await, ["6", "5", "4"]);
    let promote = pb::PromoteModelVersionRequest { model_version: format!("{DESK}/versions/4"), ..Default::default() };
    let classifier =
        server.models().await.promote_model_version(promote).await.unwrap().into_inner().classifier.unwrap();
    assert_eq!(versions().await, ["6", "5", "4"]);
    // The answer's etag is the newest.
    let rollback = pb::RollbackClassifierRequest { classifier: DESK.to_owned(), etag: classifier.etag };
    server.models().await.rollback_classifier(rollback).await.unwrap();
}

#[tokio::test]
async fn an_age_that_makes_no_sense_is_refused() {
    let server = TestServer::start().await;
    for (seconds, nanos) in [(0, 0), (59, 0), (-60, 0), (60, 5), (400_000_000, 0)] {
        let retraining =
            pb::RetrainingPolicy { max_age: Some(prost_types::Duration { seconds, nanos }), ..Default::default() };
        let settings = pb::ClassifierSettings { retraining: Some(retraining), ..Default::default() };
        let request = pb::UpdateClassifierSettingsRequest {
            classifier: DESK.to_owned(),
            settings: Some(settings),
            ..Default::default()
        };
        let refusal = server.models().await.update_classifier_settings(request).await.unwrap_err();
        assert_eq!(violations(&refusal), [("settings.retraining.max_age".to_owned(), "OUT_OF_RANGE".to_owned())]);
    }
}
