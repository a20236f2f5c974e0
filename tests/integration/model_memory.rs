//! Many classifiers in one server, and less memory than they take together.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use topicd::api::pb;
use topicd::artifact::{self, Artifact};
use topicd::dataset::Dataset;
use topicd::document::{Document, LabeledDocument, Topic};
use topicd::service::VersionDetails;
use topicd::store::{Aliases, DataDir, NewArtifact, NewVersion, Store, VersionOrigin};
use topicd::training::{Silent, train};
use topicd::training_config::TrainingConfig;

use crate::support::{TestServer, document, request};

const N_CLASSIFIERS: usize = 50;

/// A model whose topics say which it is.
fn model(number: usize) -> Artifact {
    let example = |i: usize| {
        let (topic, words) = if i.is_multiple_of(2) { ("war", "tanks shelled") } else { ("sport", "striker scored") };
        let document = Document::new("", format!("{words} near town {}", i % 7)).unwrap();
        LabeledDocument::new(document, vec![Topic::new(&format!("{topic} {number}")).unwrap()])
    };
    let dataset = Dataset::new((0..14).map(example)).unwrap();
    let trained = train(&dataset, &TrainingConfig::default(), None, &Silent).unwrap();
    artifact::decode(artifact::encode(&trained.classifier).into()).unwrap()
}

/// A data directory with versions 1 of `classifiers/c0` to `c49`, and the length of the longest of their files.
async fn data_dir_of_many() -> (TempDir, u64) {
    let parent = tempfile::tempdir().unwrap();
    let store = Store::open(DataDir::lock(&parent.path().join("data")).unwrap()).await.unwrap();
    let mut longest = 0;
    for number in 0..N_CLASSIFIERS {
        let model = model(number);
        longest = longest.max(model.bytes.len() as u64);
        let version = NewVersion {
            origin: VersionOrigin::Trained,
            job: None,
            dataset_revision: None,
            parent: None,
            artifact: NewArtifact::new(model.bytes.clone()),
            details: VersionDetails::of(&model).to_json(),
            out_of_fold: Vec::new(),
        };
        let name = format!("c{number}").parse().unwrap();
        let aliases = |before, new| Aliases { stable: Some(new), ..before };
        store.add_version(&name, &version, aliases).await.unwrap();
    }
    store.close().await;
    (parent, longest)
}

async fn loaded(server: &TestServer) -> Vec<pb::ServedModel> {
    server.models().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner().models
}

fn n_bytes(models: &[pb::ServedModel]) -> u64 {
    models.iter().map(|model| model.resident_bytes).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_classifiers_answer_from_room_for_five() {
    let (parent, longest) = data_dir_of_many().await;
    let default_bytes = artifact::bundled().unwrap().bytes.len() as u64;
    let max_bytes = default_bytes + 5 * longest;
    let set_budget = |config: &mut topicd::config::ServeConfig| {
        config.limits.max_model_bytes = NonZeroU64::new(max_bytes).unwrap();
    };
    let server = Arc::new(TestServer::start_in(parent, set_budget).await);
    let info = server.models().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.limits.unwrap().max_model_bytes, max_bytes);

    let done = Arc::new(AtomicBool::new(false));
    let watching = {
        let (server, done) = (Arc::clone(&server), Arc::clone(&done));
        tokio::spawn(async move {
            let mut models = server.models().await;
            let mut n_looks = 0;
            while !done.load(Ordering::Relaxed) {
                let info = models.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
                assert!(n_bytes(&info.models) <= max_bytes, "{:?}", info.models);
                n_looks += 1;
            }
            n_looks
        })
    };
    // Eight callers ask every classifier, each beginning elsewhere and going on in other steps.
    let callers: Vec<_> = [1, 3, 7, 9, 11, 13, 17, 19]
        .into_iter()
        .map(|step| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let mut client = server.client().await;
                for place in 0..2 * N_CLASSIFIERS {
                    let number = (place * step + step) % N_CLASSIFIERS;
                    let request = pb::ClassifyRequest {
                        model: format!("classifiers/c{number}"),
                        ..request(document("", "the striker scored near town 3"))
                    };
                    let answer = client.classify(request).await.unwrap().into_inner();
                    assert_eq!(answer.model_version, format!("classifiers/c{number}/versions/1"));
                    assert_eq!(answer.topics[0].topic, format!("sport {number}"));
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    assert!(watching.await.unwrap() > 0);

    let models = loaded(&server).await;
    assert!((2..=6).contains(&models.len()) && n_bytes(&models) <= max_bytes, "{models:?}");
    let default = models.iter().find(|model| model.model_version == "classifiers/default/versions/1").unwrap();
    assert_eq!(default.resident_bytes, default_bytes);
    assert!(models.iter().all(|model| model.last_use_time.is_some_and(|time| time.seconds > 1_700_000_000)));
}

/// A budget that nothing fits is no reason to refuse: what is asked is in memory, and nothing else but what answers for
/// classifiers/default.
#[tokio::test]
async fn a_budget_that_nothing_fits_keeps_what_was_asked_last() {
    let (parent, _) = data_dir_of_many().await;
    let server = TestServer::start_in(parent, |config| config.limits.max_model_bytes = NonZeroU64::MIN).await;
    let mut client = server.client().await;
    for number in [4, 7, 4] {
        let model = format!("classifiers/c{number}");
        let answer = pb::ClassifyRequest { model, ..request(document("", "tanks shelled the town")) };
        assert_eq!(client.classify(answer).await.unwrap().into_inner().topics[0].topic, format!("war {number}"));
    }
    let names: Vec<String> = loaded(&server).await.into_iter().map(|model| model.model_version).collect();
    assert_eq!(names, ["classifiers/c4/versions/1", "classifiers/default/versions/1"]);
}
