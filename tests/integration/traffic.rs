//! What is learned from documents that are served: those to label, unknown words, and what a candidate would have said.

use tonic::Code;
use topicd::api::pb;
use topicd::api::pb::promotion_policy::Mode;

use crate::support::{
    TestServer, assert_error, batch, document, eventually, examples, labeled, model_of, request, stream_request,
    train_request, violations,
};

const DESK: &str = "classifiers/desk";

async fn update(server: &TestServer, settings: pb::ClassifierSettings) {
    let request = pb::UpdateClassifierSettingsRequest {
        classifier: DESK.to_owned(),
        settings: Some(settings),
        ..Default::default()
    };
    server.models().await.update_classifier_settings(request).await.unwrap();
}

fn review(max_documents: u32) -> pb::ClassifierSettings {
    pb::ClassifierSettings { review: Some(pb::ReviewSettings { max_documents }), ..Default::default() }
}

fn shadow(share: f64) -> pb::ClassifierSettings {
    pb::ClassifierSettings { shadow: Some(pb::ShadowSettings { share }), ..Default::default() }
}

/// A classifier of war and sport that keeps up to `max_documents` to be labelled.
async fn server_with_queue(max_documents: u32) -> TestServer {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    update(&server, review(max_documents)).await;
    server
}

async fn classify(server: &TestServer, document: pb::Document) -> pb::ClassifyResponse {
    let request = pb::ClassifyRequest { model: DESK.to_owned(), ..request(document) };
    server.client().await.classify(request).await.unwrap().into_inner()
}

async fn list(server: &TestServer, page_size: u32, page_token: &str) -> pb::ListReviewCandidatesResponse {
    let (classifier, page_token) = (DESK.to_owned(), page_token.to_owned());
    let request = pb::ListReviewCandidatesRequest { classifier, page_size, page_token };
    server.traffic().await.list_review_candidates(request).await.unwrap().into_inner()
}

/// The review queue, once it has so many documents.
async fn queue(server: &TestServer, n: usize) -> Vec<pb::ReviewCandidate> {
    eventually("the queue doesn't have as many documents", || async {
        let candidates = list(server, 100, "").await.candidates;
        (candidates.len() == n).then_some(candidates)
    })
    .await
}

fn titles(candidates: &[pb::ReviewCandidate]) -> Vec<&str> {
    candidates.iter().map(|candidate| candidate.document.as_ref().unwrap().title.as_str()).collect()
}

fn sure(title: &str) -> pb::Document {
    document(title, "tanks shelled tanks shelled")
}

fn unsure(title: &str) -> pb::Document {
    pb::Document { document_id: format!("id of {title}"), ..document(title, "tanks shelled striker scored") }
}

#[tokio::test]
async fn what_was_least_sure_is_listed_until_it_has_a_label() {
    let server = server_with_queue(2).await;
    let answer = classify(&server, unsure("doubt")).await;
    classify(&server, sure("clear")).await;
    classify(&server, document("", "...")).await;
    let found = queue(&server, 2).await;
    assert_eq!(titles(&found), ["doubt", "clear"]);
    let doubt = &found[0];
    assert_eq!(doubt.document, Some(unsure("doubt")));
    assert_eq!(doubt.model_version, answer.model_version);
    let told: Vec<_> = answer.topics.iter().map(|topic| (topic.topic.as_str(), topic.probability)).collect();
    let listed: Vec<_> = doubt.topics.iter().map(|topic| (topic.topic.as_str(), topic.probability)).collect();
    assert_eq!(listed, told);
    assert!((doubt.margin - (told[0].1 - told[1].1)).abs() < 1e-12, "{doubt:?}");

    // There is room for two; what is told of the answer doesn't matter.
    let options = Some(pb::ClassifyOptions { top_k: 1, ..Default::default() });
    let batch = pb::BatchClassifyRequest { model: DESK.to_owned(), options, ..batch(vec![unsure("from a batch")]) };
    server.client().await.batch_classify(batch).await.unwrap();
    let both = eventually("the surer one stays", || async {
        let candidates = list(&server, 100, "").await.candidates;
        (!titles(&candidates).contains(&"clear")).then_some(candidates)
    })
    .await;
    assert_eq!(both.len(), 2);

    let first = list(&server, 1, "").await;
    let second = list(&server, 1, &first.next_page_token).await;
    assert_eq!(
        (&first.candidates[0], &second.candidates[0], second.next_page_token.as_str()),
        (&both[0], &both[1], "")
    );

    let feedback =
        pb::SubmitFeedbackRequest { classifier: DESK.to_owned(), examples: vec![labeled(unsure("doubt"), &["war"])] };
    server.datasets().await.submit_feedback(feedback).await.unwrap();
    assert_eq!(titles(&list(&server, 100, "").await.candidates), ["from a batch"]);

    let message = pb::StreamClassifyRequest { model: DESK.to_owned(), ..stream_request(unsure("from a stream")) };
    let mut answers = server.client().await.stream_classify(tokio_stream::iter([message])).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
    queue(&server, 2).await;
    // Nothing is written anywhere.
    let server = server.restart().await;
    assert!(list(&server, 100, "").await.candidates.is_empty());
    classify(&server, unsure("after a restart")).await;
    queue(&server, 1).await;
}

#[tokio::test]
async fn nothing_is_kept_unless_it_is_asked_for_and_all_of_it_can_be_erased() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    classify(&server, unsure("before")).await;
    update(&server, review(100)).await;
    // Who asks a version by its number has his reasons.
    let pinned = pb::ClassifyRequest { model: model_of("1"), ..request(unsure("pinned")) };
    server.client().await.classify(pinned).await.unwrap();
    for title in ["a", "b", "c"] {
        classify(&server, unsure(title)).await;
    }
    let found = queue(&server, 3).await;
    let mut found_titles = titles(&found);
    found_titles.sort_unstable();
    assert_eq!(found_titles, ["a", "b", "c"]);

    let mut traffic = server.traffic().await;
    let mut delete = async |content_hashes: Vec<String>, all| {
        let request = pb::DeleteReviewCandidatesRequest { classifier: DESK.to_owned(), content_hashes, all };
        traffic.delete_review_candidates(request).await.map(|response| response.into_inner().deleted_count)
    };
    let hash = found[0].content_hash.clone();
    assert_eq!(delete(vec![hash.clone(), "0".repeat(64)], false).await.unwrap(), 1);
    assert_eq!(delete(vec![hash.clone()], false).await.unwrap(), 0);
    for (hashes, all, reason) in [
        (vec![], false, "REQUIRED"),
        (vec![hash], true, "CONTRADICTION"),
        (vec!["x".to_owned()], false, "MALFORMED_HASH"),
    ] {
        let refusal = delete(hashes, all).await.unwrap_err();
        assert_eq!(violations(&refusal)[0].1, reason);
    }
    assert_eq!(list(&server, 100, "").await.candidates, found[1..]);
    // What is erased from the dataset is erased here.
    let request = pb::DeleteExamplesRequest {
        classifier: DESK.to_owned(),
        content_hashes: vec![found[1].content_hash.clone()],
        ..Default::default()
    };
    server.datasets().await.delete_examples(request).await.unwrap();
    assert_eq!(list(&server, 100, "").await.candidates, found[2..]);
    assert_eq!(delete(vec![], true).await.unwrap(), 1);
    assert!(list(&server, 100, "").await.candidates.is_empty());

    classify(&server, unsure("d")).await;
    queue(&server, 1).await;
    update(&server, pb::ClassifierSettings::default()).await;
    assert!(list(&server, 100, "").await.candidates.is_empty());
    update(&server, review(1)).await;
    assert!(list(&server, 100, "").await.candidates.is_empty());

    let nobody = pb::ListReviewCandidatesRequest { classifier: "classifiers/nobody".to_owned(), ..Default::default() };
    let refusal = server.traffic().await.list_review_candidates(nobody).await.unwrap_err();
    assert_error(&refusal, Code::NotFound, "UNKNOWN_CLASSIFIER");
    let wrong =
        pb::ListReviewCandidatesRequest { classifier: DESK.to_owned(), page_size: 101, page_token: "x".to_owned() };
    let refusal = server.traffic().await.list_review_candidates(wrong).await.unwrap_err();
    let fields: Vec<String> = violations(&refusal).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["page_size", "page_token"]);
}

#[tokio::test]
async fn words_that_the_vocabulary_lacks_are_counted() {
    let server = server_with_queue(10).await;
    let documents = (0..80).map(|n| document("", &format!("tanks of the Lockdown unique{n}"))).collect();
    let request = pb::BatchClassifyRequest { model: DESK.to_owned(), ..batch(documents) };
    server.client().await.batch_classify(request).await.unwrap();
    let ask = async |max_terms| {
        let request = pb::ListUnknownTermsRequest { classifier: DESK.to_owned(), max_terms };
        server.traffic().await.list_unknown_terms(request).await
    };
    let found = eventually("too few documents were looked at", || async {
        let found = ask(0).await.unwrap().into_inner();
        (found.document_count == 20).then_some(found)
    })
    .await;
    let terms: Vec<_> = found.terms.iter().map(|term| (term.term.as_str(), term.document_count)).collect();
    assert_eq!((found.model_version, terms), (model_of("1"), vec![("lockdown", 20), ("the", 20)]));
    assert_eq!(ask(1).await.unwrap().into_inner().terms.len(), 1);
    assert_eq!(violations(&ask(1001).await.unwrap_err())[0].0, "max_terms");
    update(&server, pb::ClassifierSettings::default()).await;
    assert_eq!(ask(0).await.unwrap().into_inner(), pb::ListUnknownTermsResponse::default());
}

/// Trains a version of other topics' documents, which is held back at least for what it must show on served documents.
async fn train_candidate(server: &TestServer, examples: Vec<pb::LabeledDocument>, policy: pb::PromotionPolicy) {
    let request = pb::TrainRequest {
        promotion_policy: Some(policy),
        scope: pb::Scope::SourceOnly.into(),
        ..train_request("desk", examples)
    };
    let job = server.train(request).await;
    assert!(!job.promoted && job.model_version == model_of("2"), "{job:?}");
}

async fn report(server: &TestServer) -> Option<pb::ShadowReport> {
    let request = pb::GetShadowReportRequest { classifier: DESK.to_owned() };
    server.traffic().await.get_shadow_report(request).await.unwrap().into_inner().report
}

/// The report, once so many documents were compared.
async fn report_of(server: &TestServer, n_documents: u64) -> pb::ShadowReport {
    eventually("too few documents were compared", || async {
        report(server).await.filter(|report| report.document_count == n_documents)
    })
    .await
}

async fn classify_batch(server: &TestServer, documents: Vec<pb::Document>) {
    let request = pb::BatchClassifyRequest { model: DESK.to_owned(), ..batch(documents) };
    server.client().await.batch_classify(request).await.unwrap();
}

fn war_and_sport(n_each: usize) -> Vec<pb::Document> {
    let of = |words: &'static str| (0..n_each).map(move |n| document(&format!("report {n}"), words));
    of("tanks shelled").chain(of("striker scored")).collect()
}

/// Documents with their topics swapped.
fn swapped(mut examples: Vec<pb::LabeledDocument>) -> Vec<pb::LabeledDocument> {
    for example in &mut examples {
        let topic = if example.topics[0] == "war" { "sport" } else { "war" };
        example.topics = vec![topic.to_owned()];
    }
    examples
}

#[tokio::test]
async fn a_candidate_is_compared_beside_the_stable_version() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    let manual = pb::PromotionPolicy { mode: Mode::Manual.into(), ..Default::default() };
    train_candidate(&server, swapped(examples(0..40)), manual).await;
    classify_batch(&server, war_and_sport(1)).await;
    update(&server, shadow(1.0)).await;
    assert_eq!(report(&server).await, None);
    classify_batch(&server, war_and_sport(10)).await;
    let found = report_of(&server, 20).await;
    assert_eq!((found.stable_version, found.candidate_version), (model_of("1"), model_of("2")));
    assert_eq!((found.agreed_count, found.agreement), (0, 0.0));
    let flips: Vec<_> = found.flips.iter().map(|flip| (&*flip.stable_topic, &*flip.candidate_topic)).collect();
    assert!(flips.contains(&("war", "sport")) && flips.contains(&("sport", "war")) && flips.len() == 2, "{flips:?}");
    assert_eq!(found.flips.iter().map(|flip| flip.document_count).sum::<u64>(), 20);
    for latency in [found.stable_latency.unwrap(), found.candidate_latency.unwrap()] {
        let nanos = |duration: Option<prost_types::Duration>| duration.unwrap().nanos;
        assert!(0 < nanos(latency.p50) && nanos(latency.p50) <= nanos(latency.p99), "{latency:?}");
    }
    // Callers see nothing of it.
    assert_eq!(classify(&server, sure("report")).await.model_version, model_of("1"));
    update(&server, pb::ClassifierSettings::default()).await;
    assert_eq!(report(&server).await, None);
}

fn shadow_rule(mode: Mode, min_shadow_documents: u32) -> pb::PromotionPolicy {
    pb::PromotionPolicy {
        mode: mode.into(),
        min_shadow_agreement: Some(0.9),
        min_shadow_documents,
        max_macro_f1_drop: Some(1.0),
        ..Default::default()
    }
}

async fn stable_version(server: &TestServer) -> String {
    let request = pb::GetClassifierRequest { classifier: DESK.to_owned() };
    server.models().await.get_classifier(request).await.unwrap().into_inner().classifier.unwrap().stable_version
}

#[tokio::test]
async fn a_candidate_that_agrees_enough_takes_over_by_itself() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    update(&server, shadow(1.0)).await;
    train_candidate(&server, examples(0..60), shadow_rule(Mode::Automatic, 40)).await;
    classify_batch(&server, war_and_sport(19)).await;
    report_of(&server, 38).await;
    assert_eq!(stable_version(&server).await, model_of("1"));
    classify_batch(&server, war_and_sport(1)).await;
    eventually("the candidate isn't promoted", || async {
        (stable_version(&server).await == model_of("2")).then_some(())
    })
    .await;
    let request = pb::GetModelVersionRequest { model_version: model_of("2") };
    let version = server.models().await.get_model_version(request).await.unwrap().into_inner().model_version.unwrap();
    let of_shadow: Vec<_> = version.checks.iter().filter(|check| check.name.starts_with("shadow_")).collect();
    let seen: Vec<_> = of_shadow.iter().map(|check| (check.passed, check.observed, check.required)).collect();
    assert_eq!(seen, [(true, 40.0, 40.0), (true, 1.0, 0.9)], "{of_shadow:?}");
}

#[tokio::test]
async fn a_candidate_that_disagrees_or_was_not_seen_enough_needs_force() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    update(&server, shadow(1.0)).await;
    train_candidate(&server, swapped(examples(0..40)), shadow_rule(Mode::Automatic, 10)).await;
    let promote = async |force| {
        let request = pb::PromoteModelVersionRequest { model_version: model_of("2"), force, ..Default::default() };
        server.models().await.promote_model_version(request).await
    };
    let refusal = promote(false).await.unwrap_err();
    assert_error(&refusal, Code::FailedPrecondition, "HELD_BACK");
    assert!(refusal.message().contains("0 served documents; 10 are required"), "{refusal:?}");
    classify_batch(&server, war_and_sport(5)).await;
    report_of(&server, 10).await;
    let refusal = promote(false).await.unwrap_err();
    assert!(refusal.message().contains("0.0000; at least 0.9000 is required"), "{refusal:?}");
    assert_eq!(stable_version(&server).await, model_of("1"));
    promote(true).await.unwrap();
    assert_eq!(stable_version(&server).await, model_of("2"));
}

#[tokio::test]
async fn what_a_version_has_shown_holds_when_it_is_no_candidate() {
    let server = TestServer::start().await;
    // The first version of a classifier has nothing to be compared with.
    let request = pb::TrainRequest {
        promotion_policy: Some(shadow_rule(Mode::Manual, 10)),
        ..train_request("desk", examples(0..40))
    };
    assert!(!server.train(request).await.promoted);
    let promote = async |version: &str| {
        let request = pb::PromoteModelVersionRequest { model_version: model_of(version), ..Default::default() };
        server.models().await.promote_model_version(request).await
    };
    promote("1").await.unwrap();
    update(&server, shadow(1.0)).await;
    train_candidate(&server, examples(0..60), shadow_rule(Mode::Manual, 10)).await;
    classify_batch(&server, war_and_sport(5)).await;
    report_of(&server, 10).await;
    promote("2").await.unwrap();
    promote("1").await.unwrap();
    promote("2").await.unwrap();
}

#[tokio::test]
async fn a_candidate_is_left_to_people_when_they_want_to_decide() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    update(&server, shadow(1.0)).await;
    train_candidate(&server, examples(0..60), shadow_rule(Mode::Automatic, 10)).await;
    let manual = pb::PromotionPolicy { mode: Mode::Manual.into(), ..Default::default() };
    update(&server, pb::ClassifierSettings { promotion_policy: Some(manual), ..shadow(1.0) }).await;
    classify_batch(&server, war_and_sport(5)).await;
    assert_eq!(report_of(&server, 10).await.agreement, 1.0);
    classify_batch(&server, war_and_sport(5)).await;
    report_of(&server, 20).await;
    assert_eq!(stable_version(&server).await, model_of("1"));
    // What it had to show, it has shown.
    let request = pb::PromoteModelVersionRequest { model_version: model_of("2"), ..Default::default() };
    server.models().await.promote_model_version(request).await.unwrap();
}

#[tokio::test]
async fn settings_of_traffic_are_kept_and_checked() {
    let server = TestServer::start().await;
    let settings = pb::ClassifierSettings { shadow: shadow(0.25).shadow, ..review(500) };
    update(&server, settings.clone()).await;
    let server = server.restart().await;
    let request = pb::GetClassifierRequest { classifier: DESK.to_owned() };
    let classifier = server.models().await.get_classifier(request).await.unwrap().into_inner().classifier.unwrap();
    let kept = classifier.settings.unwrap();
    assert_eq!((kept.review, kept.shadow), (settings.review, settings.shadow));
    let wrong = pb::ClassifierSettings { shadow: shadow(1.5).shadow, ..review(10_001) };
    let request = pb::UpdateClassifierSettingsRequest {
        classifier: DESK.to_owned(),
        settings: Some(wrong),
        ..Default::default()
    };
    let refusal = server.models().await.update_classifier_settings(request).await.unwrap_err();
    let fields: Vec<String> = violations(&refusal).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["settings.review.max_documents", "settings.shadow.share"]);
}
