//! How far what is served is from training, as callers and Prometheus are told.

use tonic::{Code, Status};
use topicd::api::pb;
use topicd::api::pb::feature_drift::Level;

use crate::metrics::samples;
use crate::model_files::{header, messages};
use crate::support::{
    TestServer, assert_error, batch, document, examples, labeled, model_of, request, train_request, violations,
};

/// Documents of three topics: of their twelve words half are their topic's, one in ten is rare, and the others are everybody's.
fn news(numbers: std::ops::Range<u64>) -> Vec<pb::LabeledDocument> {
    let random = |seed: u64| {
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 33
    };
    let example = |i: u64| {
        let topic = random(i * 1_000_003 + 17) % 3;
        let word = |j: u64| {
            let drawn = random(i * 7919 + j * 104_729 + 1);
            match drawn % 10 {
                0..5 => format!("topic{topic}word{}", drawn / 10 % 40),
                5..9 => format!("word{}", drawn / 10 % 60),
                _ => format!("rare{}", drawn / 10 % 5000),
            }
        };
        let words: Vec<String> = (0..12).map(word).collect();
        labeled(document("", &words.join(" ")), &[["war", "sport", "money"][topic as usize]])
    };
    numbers.map(example).collect()
}

/// The documents without their labels; only those with one of these, if one is given.
fn documents(examples: Vec<pb::LabeledDocument>, topic: Option<&str>) -> Vec<pb::Document> {
    let wanted = examples.into_iter().filter(|example| topic.is_none_or(|topic| example.topics == [topic]));
    wanted.map(|example| example.document.unwrap()).collect()
}

/// A server whose `classifiers/desk` was trained on 600 documents.
async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.train(train_request("desk", news(0..600))).await;
    server
}

async fn serve(server: &TestServer, model: &str, documents: Vec<pb::Document>) {
    let mut client = server.client().await;
    for documents in documents.chunks(200) {
        let request = pb::BatchClassifyRequest { model: model.to_owned(), ..batch(documents.to_vec()) };
        client.batch_classify(request).await.unwrap();
    }
}

async fn report(server: &TestServer, model: &str) -> Result<pb::GetMonitoringReportResponse, Status> {
    let request = pb::GetMonitoringReportRequest { model: model.to_owned() };
    Ok(server.models().await.get_monitoring_report(request).await?.into_inner())
}

/// The three features, each with its name in metrics.
fn features(report: &pb::GetMonitoringReportResponse) -> [(&'static str, &pb::FeatureDrift); 3] {
    let [topics, confidence, unknown] = [&report.topics, &report.confidence, &report.unknown_tokens];
    [("topics", topics), ("confidence", confidence), ("unknown_tokens", unknown)]
        .map(|(name, drift)| (name, drift.as_ref().unwrap()))
}

fn levels(report: &pb::GetMonitoringReportResponse) -> [Level; 3] {
    features(report).map(|(_, drift)| drift.level())
}

fn psi(classifier: &str, feature: &str) -> String {
    format!("topicd_drift_psi{{classifier=\"{classifier}\",feature=\"{feature}\"}}")
}

#[tokio::test]
async fn documents_like_those_of_training_are_stable() {
    let server = server().await;
    serve(&server, "classifiers/desk", documents(news(600..1200), None)).await;
    let report = report(&server, "classifiers/desk").await.unwrap();
    assert_eq!(levels(&report), [Level::Stable; 3], "{report:#?}");
    assert_eq!((&report.model_version, report.document_count), (&model_of("1"), 600));
    assert_eq!(report.reference_document_count, 600);
    let [begin, end] = [report.window_begin_time, report.window_end_time].map(|time| time.unwrap());
    assert!(begin.seconds > 0 && (begin.seconds, begin.nanos) <= (end.seconds, end.nanos));
    let samples = samples(&server).await;
    for (feature, drift) in features(&report) {
        assert_eq!((drift.document_count, drift.min_document_count), (600, 200), "{feature}");
        let sum = |share: fn(&pb::DriftBin) -> Option<f64>| drift.bins.iter().filter_map(share).sum::<f64>();
        assert!((sum(|bin| bin.expected_share) - 1.0).abs() < 1e-12, "{feature}");
        assert!((sum(|bin| bin.observed_share) - 1.0).abs() < 1e-12, "{feature}");
        let index = drift.population_stability_index.unwrap();
        assert!((sum(|bin| bin.contribution) - index).abs() < 1e-12, "{feature}");
        assert!((samples[&psi("desk", feature)] - index).abs() < 1e-12, "{feature}");
        // Nothing was asked of the default classifier.
        assert!(samples[&psi("default", feature)].is_nan(), "{feature}");
    }
    let bounds = |drift: &pb::FeatureDrift| -> Vec<(f64, f64)> {
        drift.bins.iter().map(|bin| (bin.lower_bound, bin.upper_bound)).collect()
    };
    let [(_, topics), (_, confidence), (_, unknown)] = features(&report);
    assert!(topics.bins.is_sorted_by(|a, b| a.contribution >= b.contribution) && bounds(topics) == [(0.0, 0.0); 3]);
    assert_eq!((bounds(confidence).len(), bounds(confidence)[9]), (10, (0.9, 1.0)));
    assert_eq!(bounds(unknown)[..3], [(0.0, 0.05), (0.05, 0.1), (0.1, 0.15)]);
}

#[tokio::test]
async fn documents_of_one_topic_shift_the_topics_alone() {
    let server = server().await;
    serve(&server, "classifiers/desk", documents(news(600..2400), Some("sport"))).await;
    let report = report(&server, "classifiers/desk").await.unwrap();
    assert_eq!(levels(&report), [Level::Significant, Level::Stable, Level::Stable], "{report:#?}");
    let [(_, topics), ..] = features(&report);
    let sport = topics.bins.iter().find(|bin| bin.topic == "sport").unwrap();
    assert!(sport.expected_share < Some(0.4) && sport.observed_share > Some(0.9), "{topics:#?}");
}

#[tokio::test]
async fn gibberish_shifts_the_unknown_tokens() {
    let server = server().await;
    let gibberish = |i: u64| document("", &format!("qx{i} zv{} word1 wk{} jf{i}", i * 3, i * 7));
    serve(&server, "classifiers/desk", (0..300).map(gibberish).collect()).await;
    let report = report(&server, "classifiers/desk").await.unwrap();
    let [.., (_, unknown)] = features(&report);
    assert_eq!(unknown.level(), Level::Significant, "{unknown:#?}");
    let last = unknown.bins.last().unwrap();
    assert_eq!((last.lower_bound, last.upper_bound, last.observed_share), (0.5, 1.0, Some(1.0)));
    assert!(samples(&server).await[&psi("desk", "unknown_tokens")] > 0.25);
}

/// Documents count for the version that answered, whatever it was asked for as, and those without a token not at all.
#[tokio::test]
async fn few_documents_have_shares_but_no_index() {
    let server = server().await;
    server.train(train_request("desk", news(600..700))).await;
    let served = |numbers| documents(news(numbers), None);
    let empty = report(&server, "classifiers/desk").await.unwrap();
    assert_eq!((&empty.model_version, empty.document_count), (&model_of("2"), 0));
    assert!(features(&empty).iter().all(|(_, drift)| drift.bins.iter().all(|bin| bin.observed_share.is_none())));
    serve(&server, "classifiers/desk", served(1000..1005)).await;
    serve(&server, &model_of("2"), served(1000..1003)).await;
    serve(&server, &model_of("1"), served(1000..1001)).await;
    let single = request(served(1003..1004).remove(0));
    let single = pb::ClassifyRequest { model: "classifiers/desk".to_owned(), ..single };
    server.client().await.classify(single).await.unwrap();
    serve(&server, "classifiers/desk", vec![document("", "…"), document("", "")]).await;
    let stable = report(&server, "classifiers/desk").await.unwrap();
    assert_eq!((stable.document_count, levels(&stable)), (9, [Level::TooFewDocuments; 3]));
    for (feature, drift) in features(&stable) {
        assert_eq!((drift.population_stability_index, drift.min_document_count), (None, 200));
        assert!(drift.bins.iter().all(|bin| bin.observed_share.is_some() && bin.contribution.is_some()));
        assert!(samples(&server).await[&psi("desk", feature)].is_nan());
    }
    assert_eq!(report(&server, &model_of("1")).await.unwrap().document_count, 1);
    // In memory only.
    let server = server.restart().await;
    assert_eq!(report(&server, "classifiers/desk").await.unwrap().document_count, 0);
}

#[tokio::test]
async fn too_few_training_documents_have_no_index_either() {
    let server = TestServer::start().await;
    server.train(train_request("desk", news(0..150))).await;
    serve(&server, "classifiers/desk", documents(news(600..900), None)).await;
    let report = report(&server, "classifiers/desk").await.unwrap();
    assert_eq!((report.reference_document_count, report.document_count), (150, 300));
    assert_eq!(levels(&report), [Level::TooFewDocuments; 3]);
}

#[tokio::test]
async fn a_model_from_before_there_were_references_has_none() {
    let server = TestServer::start().await;
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/without_reference.topicd")).unwrap();
    let parts = messages(header("old", &file), &[&file]);
    server.models().await.import_model_version(tokio_stream::iter(parts)).await.unwrap();
    let model = "classifiers/old/versions/1";
    serve(&server, model, documents(examples(60..300), None)).await;
    let report = report(&server, model).await.unwrap();
    assert_eq!((report.document_count, report.reference_document_count), (240, 0));
    assert_eq!(levels(&report), [Level::NoReference; 3]);
    let [(_, topics), ..] = features(&report);
    assert_eq!((topics.population_stability_index, topics.min_document_count), (None, 0));
    assert!(topics.bins.iter().all(|bin| bin.expected_share.is_none() && bin.observed_share == Some(0.5)));
}

#[tokio::test]
async fn the_bundled_model_has_a_reference_and_what_is_not_there_has_no_report() {
    let server = TestServer::start().await;
    let bundled = report(&server, "").await.unwrap();
    assert_eq!(bundled.model_version, "classifiers/default/versions/1");
    assert!(bundled.reference_document_count > 50_000 && levels(&bundled) == [Level::TooFewDocuments; 3]);
    let unknown = report(&server, "classifiers/nobody").await.unwrap_err();
    assert_error(&unknown, Code::NotFound, "UNKNOWN_CLASSIFIER");
    let unknown = report(&server, "classifiers/default/versions/9").await.unwrap_err();
    assert_error(&unknown, Code::NotFound, "UNKNOWN_VERSION");
    let malformed = report(&server, "desk").await.unwrap_err();
    assert_error(&malformed, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violations(&malformed), [("model".to_owned(), "MALFORMED_NAME".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_prints_tables() {
    let server = server().await;
    serve(&server, "classifiers/desk", documents(news(600..2400), Some("war"))).await;
    let address = server.address.to_string();
    let run = async |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_topicd"));
        command.args(["models", "drift", "--server", &address]).args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, printed, said) = run(&["--classifier", "desk"]).await;
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("classifiers/desk/versions/1: ") && lines[0].ends_with(" UTC"), "{printed}");
    assert_eq!(lines[1], "beside 600 training documents, answered by models that never saw them");
    assert!(lines[4].starts_with("topics ") && lines[4].ends_with("significant shift"), "{printed}");
    assert!(lines[6].starts_with("unknown tokens ") && lines[6].ends_with("stable"), "{printed}");
    assert!(printed.contains("\ntopic             training   served     PSI\n"), "{printed}");
    assert!(printed.contains("\n0.9 to 1.0 ") && printed.contains("\nto 30 % "), "{printed}");
    let (_, printed, _) = run(&[]).await;
    assert!(printed.contains("too few documents: 200 are needed, served and in training"), "{printed}");
    let (_, printed, _) = run(&["--classifier", "desk/1", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(json["topics"]["level"], "LEVEL_SIGNIFICANT");
    let (code, _, said) = run(&["--classifier", "nobody"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("classifiers/nobody doesn't exist"), "{said}");
}
