//! Model files out of a server and into it.

use sha2::{Digest, Sha256};
use tonic::Code;
use tonic_types::StatusExt;
use topicd::api::pb;
use topicd::api::pb::export_model_version_response::Part as ExportPart;
use topicd::api::pb::import_model_version_request::Part;
use topicd::artifact;
use topicd::service::ImportCall;

use crate::support::{
    TestServer, assert_error, document, examples, model_of, non_zero, request, server_with_three_versions,
    stored_artifacts, train_request, violations,
};

const REQUEST_ID: &str = "123e4567-e89b-42d3-a456-426614174000";

/// A version, its file, and the lengths of the chunks that this came in.
async fn export(server: &TestServer, name: &str) -> Result<(pb::ModelVersion, Vec<u8>, Vec<usize>), tonic::Status> {
    let request = pb::ExportModelVersionRequest { model_version: name.to_owned() };
    let mut parts = server.models().await.export_model_version(request).await?.into_inner();
    let Some(ExportPart::ModelVersion(version)) = parts.message().await?.unwrap().part else { panic!("no version") };
    let (mut file, mut lengths) = (Vec::new(), Vec::new());
    while let Some(part) = parts.message().await? {
        let Some(ExportPart::Chunk(chunk)) = part.part else { panic!("no chunk") };
        lengths.push(chunk.len());
        file.extend(chunk);
    }
    Ok((version, file, lengths))
}

pub(crate) fn header(classifier: &str, file: &[u8]) -> pb::ModelFile {
    pb::ModelFile {
        classifier: format!("classifiers/{classifier}"),
        artifact_sha256: hexadecimal(&Sha256::digest(file)),
        artifact_bytes: file.len() as u64,
        request_id: String::new(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn messages(header: pb::ModelFile, chunks: &[&[u8]]) -> Vec<pb::ImportModelVersionRequest> {
    let chunks = chunks.iter().map(|chunk| Part::Chunk(chunk.to_vec()));
    let parts = std::iter::once(Part::File(header)).chain(chunks);
    parts.map(|part| pb::ImportModelVersionRequest { part: Some(part) }).collect()
}

async fn import(
    server: &TestServer,
    messages: Vec<pb::ImportModelVersionRequest>,
) -> Result<pb::ModelVersion, tonic::Status> {
    let answer = server.models().await.import_model_version(tokio_stream::iter(messages)).await?;
    Ok(answer.into_inner().model_version.unwrap())
}

async fn promote(server: &TestServer, name: &str) {
    let request = pb::PromoteModelVersionRequest { model_version: name.to_owned(), ..Default::default() };
    server.models().await.promote_model_version(request).await.unwrap();
}

async fn classify(server: &TestServer, model: &str) -> Result<pb::ClassifyResponse, tonic::Status> {
    let request = pb::ClassifyRequest { model: model.to_owned(), ..request(document("", "the striker scored")) };
    Ok(server.client().await.classify(request).await?.into_inner())
}

/// How many versions and model files there are: what an import must not change that fails.
async fn stored(server: &TestServer) -> (usize, Vec<String>) {
    let classifiers = server.models().await.list_classifiers(pb::ListClassifiersRequest {}).await.unwrap();
    let mut n_versions = 0;
    for classifier in classifiers.into_inner().classifiers {
        let list = pb::ListModelVersionsRequest { classifier: classifier.name, ..Default::default() };
        n_versions += server.models().await.list_model_versions(list).await.unwrap().into_inner().model_versions.len();
    }
    (n_versions, stored_artifacts(&server.data_dir()).await)
}

#[tokio::test]
async fn an_exported_version_is_its_model_file() {
    let server = server_with_three_versions().await;
    for name in [model_of("stable"), "classifiers/default/versions/1".to_owned()] {
        let (version, file, lengths) = export(&server, &name).await.unwrap();
        assert_eq!(
            (version.artifact_bytes, version.artifact_sha256),
            (file.len() as u64, hexadecimal(&Sha256::digest(&file)))
        );
        let (last, others) = lengths.split_last().unwrap();
        assert!((1..=262_144).contains(last) && others.iter().all(|n| *n == 262_144), "{lengths:?}");
        let model = artifact::decode(file.into()).unwrap();
        assert_eq!(format!("{:016x}", model.checksum), version.checksum);
    }
    for (wrong, reason) in [("", "REQUIRED"), ("classifiers/Desk/versions/1", "MALFORMED_NAME")] {
        let refusal = export(&server, wrong).await.unwrap_err();
        assert_eq!(violations(&refusal), [("model_version".to_owned(), reason.to_owned())]);
    }
    assert_error(&export(&server, &model_of("9")).await.unwrap_err(), Code::NotFound, "UNKNOWN_VERSION");
}

/// From one server to another, where nobody answers with it until it is promoted.
#[tokio::test]
async fn an_imported_version_says_what_the_original_says_once_it_is_promoted() {
    let (from, to) = (server_with_three_versions().await, TestServer::start().await);
    let expected = classify(&from, &model_of("2")).await.unwrap();
    let (original, file, _) = export(&from, &model_of("2")).await.unwrap();
    let (head, tail) = file.split_at(1000);
    let version = import(&to, messages(header("desk", &file), &[head, b"", tail])).await.unwrap();
    assert_eq!(
        (version.name.as_str(), version.origin()),
        (model_of("1").as_str(), pb::model_version::Origin::Imported)
    );
    assert_eq!((version.parent_version.as_str(), version.training_job.as_str(), version.dataset_revision), ("", "", 0));
    assert_eq!(version.artifact_sha256, original.artifact_sha256);
    assert_eq!((version.topics, version.evaluation), (original.topics, original.evaluation));

    let get = pb::GetClassifierRequest { classifier: "classifiers/desk".to_owned() };
    let classifier = to.models().await.get_classifier(get).await.unwrap().into_inner().classifier.unwrap();
    assert_eq!([&classifier.stable_version, &classifier.candidate_version], ["", ""]);
    assert_eq!(classifier.latest_version, model_of("1"));
    let nothing = classify(&to, "classifiers/desk").await.unwrap_err();
    assert_error(&nothing, Code::FailedPrecondition, "NOTHING_PROMOTED");
    let answer = classify(&to, &model_of("1")).await.unwrap();
    assert_eq!(pb::ClassifyResponse { model_version: model_of("2"), ..answer }, expected);

    promote(&to, &model_of("1")).await;
    let to = to.restart().await;
    let answer = classify(&to, "classifiers/desk").await.unwrap();
    assert_eq!(answer.model_version, model_of("1"));
    assert_eq!(pb::ClassifyResponse { model_version: model_of("2"), ..answer }, expected);
    assert_eq!(export(&to, &model_of("stable")).await.unwrap().1, file);

    // Training goes on from it: the gate compares with it, and it is the parent.
    let job = to.train(train_request("desk", examples(0..60))).await;
    assert_eq!((job.model_version, job.promoted), (model_of("2"), true));
    assert!(job.checks.iter().any(|check| check.name == "macro_f1"), "{:?}", job.checks);
}

/// The first training of a classifier that has only imported versions: none of them answers, so there is nothing to compare.
#[tokio::test]
async fn a_training_beside_a_version_that_was_never_promoted_answers() {
    let server = server_with_three_versions().await;
    let (_, file, _) = export(&server, &model_of("3")).await.unwrap();
    import(&server, messages(header("new", &file), &[&file])).await.unwrap();
    let job = server.train(train_request("new", examples(0..40))).await;
    assert_eq!((job.model_version.as_str(), job.promoted), ("classifiers/new/versions/2", true));
    let delete =
        pb::DeleteModelVersionRequest { model_version: "classifiers/new/versions/1".to_owned(), ..Default::default() };
    server.models().await.delete_model_version(delete).await.unwrap();
    assert_eq!(classify(&server, "classifiers/new").await.unwrap().topics.len(), 2);
}

/// Documents that a copy of a version was trained on are known where the version was trained, also when that is deleted.
#[tokio::test]
async fn a_copy_is_not_judged_by_what_the_original_learned() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    let (_, file, _) = export(&server, &model_of("1")).await.unwrap();
    import(&server, messages(header("desk", &file), &[&file])).await.unwrap();
    let inline_examples = Some(pb::InlineExamples { examples: examples(30..50) });
    let request = pb::EvaluateModelVersionRequest { model_version: model_of("2"), inline_examples };
    let evaluated = server.models().await.evaluate_model_version(request).await.unwrap().into_inner();
    assert!(evaluated.training_documents_known);
    assert_eq!((evaluated.trained_on_document_count, evaluated.evaluation.unwrap().document_count), (10, 10));
}

#[tokio::test]
async fn what_is_not_the_file_that_was_announced_is_not_stored() {
    let server = server_with_three_versions().await;
    let (_, file, _) = export(&server, &model_of("1")).await.unwrap();
    let before = stored(&server).await;
    let good = header("new", &file);
    let cut = &file[..file.len() - 1];
    let mut damaged = file.clone();
    damaged[file.len() / 2] ^= 1;
    let no_model = b"no model at all".as_slice();
    let of = |header: &pb::ModelFile, chunks: &[&[u8]]| messages(header.clone(), chunks);
    let repeated = [of(&good, &[cut]), of(&good, &[])].concat();
    let empty = [of(&good, &[]), vec![pb::ImportModelVersionRequest::default()]].concat();
    let cases = [
        (of(&good, &[&damaged]), "file.artifact_sha256", "CHECKSUM_MISMATCH"),
        (of(&good, &[cut]), "file.artifact_bytes", "LENGTH_MISMATCH"),
        (of(&good, &[]), "file.artifact_bytes", "LENGTH_MISMATCH"),
        (of(&good, &[&file, b"!"]), "file.artifact_bytes", "LENGTH_MISMATCH"),
        (of(&header("new", &damaged), &[&damaged]), "chunk", "NOT_A_MODEL"),
        (of(&header("new", no_model), &[no_model]), "chunk", "NOT_A_MODEL"),
        (repeated, "file", "REPEATED"),
        (empty, "chunk", "REQUIRED"),
        (of(&good, &[&file])[1..].to_vec(), "file", "REQUIRED"),
        (Vec::new(), "file", "REQUIRED"),
    ];
    for (messages, field, reason) in cases {
        let refusal = import(&server, messages).await.unwrap_err();
        assert_eq!(violations(&refusal), [(field.to_owned(), reason.to_owned())], "{refusal:?}");
    }
    let wrong = pb::ModelFile {
        classifier: "new".to_owned(),
        artifact_sha256: "12".to_owned(),
        artifact_bytes: 0,
        request_id: "7".to_owned(),
    };
    let refusal = import(&server, messages(wrong, &[&file])).await.unwrap_err();
    let expected = [
        ("file.classifier", "MALFORMED_NAME"),
        ("file.artifact_sha256", "MALFORMED_SHA256"),
        ("file.artifact_bytes", "REQUIRED"),
        ("file.request_id", "MALFORMED_UUID"),
    ];
    assert_eq!(violations(&refusal), expected.map(|(field, reason)| (field.to_owned(), reason.to_owned())));
    let refusal = import(&server, messages(pb::ModelFile::default(), &[])).await.unwrap_err();
    assert_eq!(violations(&refusal)[1], ("file.artifact_sha256".to_owned(), "REQUIRED".to_owned()));
    assert_eq!(stored(&server).await, before);
}

/// All of the file has come, but not the end of the stream: whoever breaks off wants nothing stored.
#[tokio::test]
async fn an_import_that_breaks_off_stores_nothing() {
    let server = server_with_three_versions().await;
    let (_, file, _) = export(&server, &model_of("1")).await.unwrap();
    let before = stored(&server).await;
    for chunk in [&file[..], &file[..1000]] {
        let (send, parts) = tokio::sync::mpsc::channel(1);
        let mut models = server.models().await;
        let call = tokio::spawn(async move {
            models.import_model_version(tokio_stream::wrappers::ReceiverStream::new(parts)).await
        });
        for message in messages(header("new", &file), &[chunk, b""]) {
            send.send(message).await.unwrap();
        }
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        server.connect().await;
        drop(send);
    }
    // An import that comes to its end is the next version, and the first one of its classifier.
    let version = import(&server, messages(header("new", &file), &[&file])).await.unwrap();
    assert_eq!(version.name, "classifiers/new/versions/1");
    assert_eq!(stored(&server).await, (before.0 + 1, before.1));
}

#[tokio::test]
async fn the_same_request_makes_one_version() {
    let server = server_with_three_versions().await;
    let (_, file, _) = export(&server, &model_of("1")).await.unwrap();
    let named = pb::ModelFile { request_id: REQUEST_ID.to_owned(), ..header("new", &file) };
    let first = import(&server, messages(named.clone(), &[&file])).await.unwrap();
    // It needn't be sent again.
    assert_eq!(import(&server, messages(named.clone(), &[])).await.unwrap(), first);
    let server = server.restart().await;
    assert_eq!(import(&server, messages(named.clone(), &[&file])).await.unwrap(), first);
    let other = pb::ModelFile { classifier: "classifiers/other".to_owned(), ..named.clone() };
    let refusal = import(&server, messages(other, &[&file])).await.unwrap_err();
    assert_eq!(violations(&refusal), [("request_id".to_owned(), "REQUEST_ID_USED".to_owned())]);
    let without = import(&server, messages(header("new", &file), &[&file])).await.unwrap();
    assert_eq!(without.name, "classifiers/new/versions/2");
    // A version that is gone isn't the answer to anything.
    let delete = pb::DeleteModelVersionRequest { model_version: first.name, ..Default::default() };
    server.models().await.delete_model_version(delete).await.unwrap();
    assert_eq!(import(&server, messages(named, &[&file])).await.unwrap().name, "classifiers/new/versions/3");
}

/// A file of exactly the limit comes in; one byte more doesn't, and is told so before it is sent.
#[tokio::test]
async fn files_are_bounded_each_and_together() {
    let small = TestServer::start().await;
    small.train(train_request("desk", examples(0..40))).await;
    let (_, file, _) = export(&small, &model_of("1")).await.unwrap();
    let limit = file.len();
    let server = TestServer::start_with(|config| config.limits.max_artifact_bytes = non_zero(limit)).await;
    let longer = pb::ModelFile { artifact_bytes: limit as u64 + 1, ..header("desk", &file) };
    let refusal = import(&server, messages(longer, &[])).await.unwrap_err();
    assert_eq!(violations(&refusal), [("file.artifact_bytes".to_owned(), "TOO_LONG".to_owned())]);
    assert!(refusal.message().contains(&limit.to_string()), "{refusal:?}");
    import(&server, messages(header("desk", &file), &[&file])).await.unwrap();

    // While one is on its way, there is no room for another, in or out.
    let classifier = "desk".parse().unwrap();
    let call = ImportCall { classifier, sha256: [0; 32], n_bytes: non_zero(limit), request: None };
    let on_its_way = server.model_files.begin(call).await.unwrap();
    let refused_in = import(&server, messages(header("desk", &file), &[&file])).await.unwrap_err();
    let refused_out = export(&server, "classifiers/default/versions/1").await.unwrap_err();
    for refusal in [refused_in, refused_out] {
        assert_error(&refusal, Code::ResourceExhausted, "TOO_MANY_MODEL_FILES");
        assert!(refusal.get_details_retry_info().is_some());
    }
    drop(on_its_way);
    import(&server, messages(header("desk", &file), &[&file])).await.unwrap();
    // The program's own model is longer than the limit, and is sent all the same.
    assert!(export(&server, "classifiers/default/versions/1").await.unwrap().1.len() > limit);
}

/// A byte of the stored file changes on the disk: exporting it says so, and importing the file again mends it.
#[tokio::test]
async fn a_damaged_file_is_not_exported_and_is_mended_by_an_import() {
    let server = server_with_three_versions().await;
    let expected = classify(&server, &model_of("2")).await.unwrap();
    let (version, file, _) = export(&server, &model_of("2")).await.unwrap();
    let path = server.data_dir().join("topicd.db");
    let server = server.restart_after(crate::versions::damage(&path, &version)).await;
    let refusal = export(&server, &model_of("2")).await.unwrap_err();
    assert_error(&refusal, Code::DataLoss, "DAMAGED_VERSION");
    import(&server, messages(header("desk", &file), &[&file])).await.unwrap();
    assert_eq!(classify(&server, &model_of("2")).await.unwrap(), expected);
    assert_eq!(export(&server, &model_of("2")).await.unwrap().1, file);
}

/// `topicd classify --model` takes what was exported.
#[tokio::test]
async fn an_exported_file_is_for_the_command_line_too() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    let (_, file, _) = export(&server, &model_of("stable")).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("desk.topicd"), file).unwrap();
    let row = serde_json::json!({"text": "the striker scored"}).to_string();
    std::fs::write(directory.path().join("rows.jsonl"), row).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_topicd"));
    command.args(["classify", "--json", "--model", "desk.topicd", "rows.jsonl"]).current_dir(&directory);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["topics"][0]["topic"], "sport", "{output:?}");
}
