//! Deleting versions: which may go, and what is left of them.

use tonic::Code;
use tonic_types::StatusExt;
use topicd::api::pb;

use crate::support::{
    TestServer, assert_error, document, examples, model_of, request, server_with_three_versions, stored_artifacts,
    train_request, violations,
};

async fn delete(server: &TestServer, name: &str, etag: &str) -> Result<pb::DeleteModelVersionResponse, tonic::Status> {
    let request = pb::DeleteModelVersionRequest { model_version: name.to_owned(), etag: etag.to_owned() };
    Ok(server.models().await.delete_model_version(request).await?.into_inner())
}

async fn promote(server: &TestServer, name: &str) -> pb::Classifier {
    let request = pb::PromoteModelVersionRequest { model_version: name.to_owned(), force: true, ..Default::default() };
    server.models().await.promote_model_version(request).await.unwrap().into_inner().classifier.unwrap()
}

async fn version(server: &TestServer, name: &str) -> Result<pb::ModelVersion, tonic::Status> {
    let request = pb::GetModelVersionRequest { model_version: name.to_owned() };
    Ok(server.models().await.get_model_version(request).await?.into_inner().model_version.unwrap())
}

async fn classify(server: &TestServer, model: &str) -> Result<pb::ClassifyResponse, tonic::Status> {
    let request = pb::ClassifyRequest { model: model.to_owned(), ..request(document("", "the striker scored")) };
    Ok(server.client().await.classify(request).await?.into_inner())
}

#[tokio::test]
async fn a_version_that_an_alias_means_stays() {
    let server = server_with_three_versions().await;
    for (name, said) in [
        ("2", "stable"),
        ("stable", "stable"),
        ("1", "previous"),
        ("previous", "previous"),
        ("3", "candidate"),
        ("candidate", "candidate"),
        ("latest", "candidate"),
    ] {
        let refusal = delete(&server, &model_of(name), "").await.unwrap_err();
        assert_error(&refusal, Code::FailedPrecondition, "ALIASED_VERSION");
        assert!(refusal.message().contains(&format!("it is the {said}")), "{refusal:?}");
        let failed = refusal.get_details_precondition_failure().unwrap();
        assert_eq!(failed.violations[0].r#type, "ALIAS");
    }
    for (wrong, reason) in [("", "REQUIRED"), ("classifiers/desk/versions/0", "MALFORMED_NAME")] {
        let refusal = delete(&server, wrong, "").await.unwrap_err();
        assert_eq!(violations(&refusal), [("model_version".to_owned(), reason.to_owned())]);
    }
    assert_error(&delete(&server, &model_of("4"), "").await.unwrap_err(), Code::NotFound, "UNKNOWN_VERSION");
    let nobody = delete(&server, "classifiers/nobody/versions/1", "").await.unwrap_err();
    assert_error(&nobody, Code::NotFound, "UNKNOWN_CLASSIFIER");
    assert_eq!(stored_artifacts(&server.data_dir()).await.len(), 4);
}

#[tokio::test]
async fn a_deleted_version_is_gone_and_its_number_is_never_given_again() {
    let server = server_with_three_versions().await;
    promote(&server, &model_of("3")).await;
    promote(&server, &model_of("2")).await;
    // 1 is stable now, 2 previous, and 3, the latest, is nothing else.
    let before = promote(&server, &model_of("1")).await;
    let gone = version(&server, &model_of("3")).await.unwrap();
    classify(&server, &model_of("3")).await.unwrap();
    let stale = delete(&server, &model_of("3"), "0").await.unwrap_err();
    assert_error(&stale, Code::Aborted, "STALE_ETAG");

    let deleted = delete(&server, &model_of("latest"), &before.etag).await.unwrap();
    let after = deleted.classifier.unwrap();
    assert_eq!((deleted.model_version, &after.latest_version), (model_of("3"), &model_of("2")));
    assert_ne!(after.etag, before.etag);
    let names = |classifier: &pb::Classifier| {
        [&classifier.stable_version, &classifier.previous_version, &classifier.candidate_version].map(Clone::clone)
    };
    assert_eq!(names(&after), names(&before));
    let unknown = async |server: &TestServer| {
        for refusal in [
            version(server, &model_of("3")).await.map(|_| ()).unwrap_err(),
            classify(server, &model_of("3")).await.map(|_| ()).unwrap_err(),
            delete(server, &model_of("3"), "").await.map(|_| ()).unwrap_err(),
        ] {
            assert_error(&refusal, Code::NotFound, "UNKNOWN_VERSION");
        }
        let info = server.models().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
        assert!(info.models.iter().all(|model| model.model_version != model_of("3")), "{:?}", info.models);
        assert!(!stored_artifacts(&server.data_dir()).await.contains(&gone.artifact_sha256));
    };
    unknown(&server).await;
    assert_eq!(classify(&server, &model_of("latest")).await.unwrap().model_version, model_of("2"));

    let server = server.restart().await;
    unknown(&server).await;
    let job = server.train(train_request("desk", examples(60..80))).await;
    assert_eq!(job.model_version, model_of("4"));
    let list = pb::ListModelVersionsRequest { classifier: "classifiers/desk".to_owned(), ..Default::default() };
    let versions = server.models().await.list_model_versions(list).await.unwrap().into_inner().model_versions;
    assert_eq!(versions.into_iter().map(|version| version.name).collect::<Vec<_>>(), ["4", "2", "1"].map(model_of));
}

/// The same documents give the same bytes, which are stored once.
#[tokio::test]
async fn a_file_that_another_version_has_too_stays() {
    let server = TestServer::start().await;
    for _ in 0..4 {
        server.train(train_request("desk", examples(0..40))).await;
    }
    let [first, last] =
        [version(&server, &model_of("1")).await.unwrap(), version(&server, &model_of("4")).await.unwrap()];
    assert_eq!(first.artifact_sha256, last.artifact_sha256);
    assert_eq!(version(&server, &model_of("2")).await.unwrap().parent_version, model_of("1"));
    delete(&server, &model_of("1"), "").await.unwrap();
    delete(&server, &model_of("2"), "").await.unwrap();
    let server = server.restart().await;
    assert_eq!(classify(&server, "classifiers/desk").await.unwrap().model_version, model_of("4"));
    assert!(stored_artifacts(&server.data_dir()).await.contains(&last.artifact_sha256));
    // Whose parent is gone still says which that was.
    assert_eq!(version(&server, &model_of("3")).await.unwrap().parent_version, model_of("2"));
    let job = server.train(train_request("desk", examples(40..60))).await;
    assert_eq!((job.model_version, job.promoted), (model_of("5"), true));
}

/// It would be there again after the next start, under another number.
#[tokio::test]
async fn the_model_that_the_server_was_started_with_stays() {
    let server = TestServer::start().await;
    let name = |number: &str| format!("classifiers/default/versions/{number}");
    server.train(train_request("default", examples(0..40))).await;
    promote(&server, &name("2")).await;
    server.train(train_request("default", examples(40..60))).await;
    let classifier = promote(&server, &name("3")).await;
    assert_eq!((classifier.stable_version, classifier.previous_version), (name("3"), name("2")));
    let refusal = delete(&server, &name("1"), "").await.unwrap_err();
    assert_error(&refusal, Code::FailedPrecondition, "BUILT_IN_VERSION");
    assert_eq!(refusal.get_details_precondition_failure().unwrap().violations[0].r#type, "BUILT_IN");
    assert_eq!(classify(&server, &name("1")).await.unwrap().model_version, name("1"));
}
