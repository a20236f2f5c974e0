//! What a version has to meet before it answers: each rule of a policy, its modes, and the documents that two versions are
//! compared on.

use std::ops::Range;

use tonic::Code;
use topicd::api::pb;
use topicd::api::pb::promotion_policy::Mode;

use crate::support::{
    TestServer, assert_error, document, examples, labeled, model_of, request, train_request, violations,
};

fn held_out(mut examples: Vec<pb::LabeledDocument>) -> Vec<pb::LabeledDocument> {
    examples.iter_mut().for_each(|example| example.split = pb::Split::HeldOut.into());
    examples
}

/// Documents of which every `nth` has the wrong topic.
fn mislabelled(numbers: Range<usize>, nth: usize) -> Vec<pb::LabeledDocument> {
    let mut examples = examples(numbers);
    for example in examples.iter_mut().step_by(nth) {
        let wrong = if example.topics[0] == "war" { "sport" } else { "war" };
        example.topics = vec![wrong.to_owned()];
    }
    examples
}

fn with_policy(classifier: &str, examples: Vec<pb::LabeledDocument>, policy: pb::PromotionPolicy) -> pb::TrainRequest {
    pb::TrainRequest { promotion_policy: Some(policy), ..train_request(classifier, examples) }
}

/// Trained on these documents, and on nothing else.
fn on_these(examples: Vec<pb::LabeledDocument>, policy: pb::PromotionPolicy) -> pb::TrainRequest {
    pb::TrainRequest { scope: pb::Scope::SourceOnly.into(), ..with_policy("desk", examples, policy) }
}

fn policy() -> pb::PromotionPolicy {
    pb::PromotionPolicy::default()
}

#[track_caller]
fn find<'a>(job: &'a pb::TrainingJob, name: &str) -> &'a pb::PromotionCheck {
    let found = job.checks.iter().find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("no check {name} in {:?}", job.checks))
}

fn names(job: &pb::TrainingJob) -> Vec<&str> {
    job.checks.iter().map(|check| check.name.as_str()).collect()
}

fn failed(job: &pb::TrainingJob) -> Vec<&str> {
    job.checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect()
}

async fn get(server: &TestServer) -> pb::Classifier {
    let get = pb::GetClassifierRequest { classifier: "classifiers/desk".to_owned() };
    server.models().await.get_classifier(get).await.unwrap().into_inner().classifier.unwrap()
}

async fn promote(server: &TestServer, version: &str, force: bool) -> Result<pb::Classifier, tonic::Status> {
    let request = pb::PromoteModelVersionRequest { model_version: model_of(version), force, ..Default::default() };
    Ok(server.models().await.promote_model_version(request).await?.into_inner().classifier.unwrap())
}

/// A first version has nothing to be compared with, but what it must be by itself it must be.
#[tokio::test]
async fn each_rule_about_a_version_by_itself_holds_it_back_when_violated() {
    let server = TestServer::start().await;
    for (name, violating, met) in [
        (
            "min_accuracy",
            pb::PromotionPolicy { min_accuracy: Some(0.99), ..policy() },
            pb::PromotionPolicy { min_accuracy: Some(0.5), ..policy() },
        ),
        (
            "min_micro_f1",
            pb::PromotionPolicy { min_micro_f1: Some(0.99), ..policy() },
            pb::PromotionPolicy { min_micro_f1: Some(0.5), ..policy() },
        ),
        (
            "min_macro_f1",
            pb::PromotionPolicy { min_macro_f1: Some(0.99), ..policy() },
            pb::PromotionPolicy { min_macro_f1: Some(0.5), ..policy() },
        ),
        (
            "max_log_loss",
            pb::PromotionPolicy { max_log_loss: Some(0.001), ..policy() },
            pb::PromotionPolicy { max_log_loss: Some(5.0), ..policy() },
        ),
        (
            "max_expected_calibration_error",
            pb::PromotionPolicy { max_expected_calibration_error: Some(0.0), ..policy() },
            pb::PromotionPolicy { max_expected_calibration_error: Some(0.9), ..policy() },
        ),
        (
            "min_documents_per_topic",
            pb::PromotionPolicy { min_documents_per_topic: 31, ..policy() },
            pb::PromotionPolicy { min_documents_per_topic: 30, ..policy() },
        ),
    ] {
        let classifier = name.replace('_', "-");
        let model = format!("classifiers/{classifier}");
        let ask = pb::ClassifyRequest { model: model.clone(), ..request(document("", "the striker scored")) };
        let job = server.train(with_policy(&classifier, mislabelled(0..80, 8), violating.clone())).await;
        assert_eq!((failed(&job), job.promoted), (vec![name], false), "{job:?}");
        assert_eq!((names(&job), job.model_version.clone()), (vec!["self_test", name], format!("{model}/versions/1")));
        let told = pb::PromotionPolicy { mode: Mode::Automatic.into(), ..violating };
        assert_eq!(job.promotion_policy, Some(told));
        // Nothing answers yet, and callers are told why.
        let refusal = server.client().await.classify(ask.clone()).await.unwrap_err();
        assert_error(&refusal, Code::FailedPrecondition, "NOTHING_PROMOTED");

        let job = server.train(with_policy(&classifier, Vec::new(), met)).await;
        assert!(job.promoted && names(&job) == ["self_test", name] && failed(&job).is_empty(), "{job:?}");
        let answer = server.client().await.classify(ask).await.unwrap().into_inner();
        assert_eq!(answer.model_version, format!("{model}/versions/2"));
    }
}

/// Both versions are asked about the held-out documents, which neither has learned; the training documents' labels are so
/// wrong that a version that learned them would be judged good on them.
#[tokio::test]
async fn a_version_that_is_worse_on_the_held_out_documents_is_held_back() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..80))).await;
    let mut worse = mislabelled(100..180, 1);
    worse.extend(held_out(examples(200..240)));
    let job = server.train(on_these(worse.clone(), policy())).await;
    assert_eq!((names(&job), failed(&job)), (vec!["self_test", "topics_lost", "macro_f1"], vec!["macro_f1"]));
    let check = find(&job, "macro_f1");
    assert_eq!((check.observed, check.required), (0.0, 0.9), "{check:?}");
    for said in
        ["on 40 held-out documents", "(40 of the documents are new to it)", "stable version alone 40", "p = 1.8e-12"]
    {
        assert!(check.description.contains(said), "{check:?}");
    }

    // As much worse as is allowed, it is promoted; if it isn't chance, there is a rule for that.
    let any = pb::PromotionPolicy { max_accuracy_drop: Some(1.0), max_macro_f1_drop: Some(1.0), ..policy() };
    for (rule, drop) in [
        ("accuracy", pb::PromotionPolicy { max_accuracy_drop: Some(0.99), ..any.clone() }),
        ("macro_f1", pb::PromotionPolicy { max_macro_f1_drop: Some(0.99), ..any.clone() }),
        ("significance", pb::PromotionPolicy { significance: Some(0.05), ..any.clone() }),
    ] {
        let job = server.train(on_these(worse.clone(), drop)).await;
        assert_eq!((failed(&job), job.promoted), (vec![rule], false), "{job:?}");
        assert!(find(&job, rule).description.contains("p = 1.8e-12"), "{job:?}");
    }
    let lenient = pb::PromotionPolicy { significance: Some(1e-12), ..any };
    let job = server.train(on_these(worse, lenient)).await;
    assert!(job.promoted, "{job:?}");
    assert_eq!(names(&job), ["self_test", "topics_lost", "accuracy", "macro_f1", "significance"]);
    let check = find(&job, "significance");
    assert_eq!((check.observed, check.required), (2.0 * 0.5_f64.powi(40), 1e-12), "{check:?}");
    // What was checked is kept with the version too.
    let get = pb::GetModelVersionRequest { model_version: job.model_version.clone() };
    let version = server.models().await.get_model_version(get).await.unwrap().into_inner().model_version.unwrap();
    assert_eq!(version.checks, job.checks);
}

/// The stable version was trained before anybody held documents out: of those that it learned then, what counts is what
/// models that never saw them said.
#[tokio::test]
async fn a_stable_version_that_learned_held_out_documents_is_not_judged_by_what_it_learned() {
    let server = TestServer::start().await;
    // One document in five is labelled wrongly: a version that learned it by heart would be right about it.
    let first = server.train(train_request("desk", mislabelled(0..100, 5))).await;
    let config = Some(pb::TrainingConfig { held_out_share: 0.3, ..Default::default() });
    let strict = pb::PromotionPolicy { max_accuracy_drop: Some(0.1), ..policy() };
    let request = with_policy("desk", mislabelled(100..120, 5), strict);
    let job = server.train(pb::TrainRequest { config, ..request }).await;
    let (check, evaluation) = (find(&job, "accuracy"), job.evaluation.as_ref().unwrap());
    let n_held_out = evaluation.document_count;
    assert!((20..60).contains(&n_held_out), "{n_held_out}");
    assert!(check.description.contains(&format!("{n_held_out} held-out documents")), "{check:?}");
    assert_eq!(check.observed, evaluation.accuracy, "the version is asked itself");
    // Some of the held-out documents came after the stable version's training.
    let n_new =
        check.description.split(" of the documents are new").next().and_then(|before| before.rsplit('(').next());
    let n_new: u64 = n_new.unwrap().parse().unwrap();
    assert!((1..20).contains(&n_new) && n_new < n_held_out, "{check:?}");
    let of_stable = check.required + 0.1;
    let out_of_fold = first.evaluation.unwrap().accuracy;
    assert!(of_stable < 0.95 && (of_stable - out_of_fold).abs() < 0.15, "{of_stable} {out_of_fold}: {check:?}");
    assert!(job.promoted, "{:?}", job.checks);
}

#[tokio::test]
async fn topics_are_lost_only_if_they_may_be() {
    let server = TestServer::start().await;
    let cup = |i: usize| labeled(document(&format!("draw {i}"), "the cup draw and its fixtures"), &["cup"]);
    let chess = |i: usize| labeled(document(&format!("gambit {i}"), "a queen and two rooks"), &["chess"]);
    let mut all = examples(0..60);
    all.extend((0..20).map(cup));
    all.extend((0..20).map(chess));
    server.train(train_request("desk", all)).await;

    let allowing = |topics: &[&str]| {
        let lost_topics_allowed = topics.iter().map(ToString::to_string).collect();
        pb::PromotionPolicy { lost_topics_allowed, ..policy() }
    };
    for (allowed, n_missing) in [(&[][..], 2.0), (&["cup"], 1.0), (&["curling", "chess"], 1.0)] {
        let job = server.train(on_these(examples(0..60), allowing(allowed))).await;
        let check = find(&job, "topics_lost");
        assert_eq!((failed(&job), check.observed), (vec!["topics_lost"], n_missing), "{job:?}");
    }
    // A held-out document of a topic that goes isn't held against the version: it can't be right about it.
    let mut held_out_cup = held_out((20..60).map(cup).collect());
    held_out_cup.extend(held_out(examples(60..80)));
    held_out_cup.extend(examples(0..60));
    let strict = pb::PromotionPolicy { max_accuracy_drop: Some(0.0), ..allowing(&["chess", " cup "]) };
    let job = server.train(on_these(held_out_cup, strict)).await;
    assert!(job.promoted, "{:?}", job.checks);
    assert!(find(&job, "topics_lost").description.ends_with("as is allowed: chess, cup"), "{job:?}");
    assert!(find(&job, "accuracy").description.contains("on 20 held-out documents"), "{job:?}");
    assert_eq!(job.promotion_policy.unwrap().lost_topics_allowed, ["chess", "cup"]);
}

#[tokio::test]
async fn a_person_promotes_where_the_policy_says_so() {
    let server = TestServer::start().await;
    let in_mode = |mode: Mode| pb::PromotionPolicy { mode: mode.into(), ..policy() };
    let job = server.train(with_policy("desk", examples(0..40), in_mode(Mode::Manual))).await;
    assert!(!job.promoted && failed(&job).is_empty(), "{job:?}");
    let classifier = get(&server).await;
    assert_eq!((classifier.stable_version.as_str(), classifier.candidate_version), ("", model_of("1")));
    let classifier = promote(&server, "candidate", false).await.unwrap();
    assert_eq!((classifier.stable_version, classifier.candidate_version.as_str()), (model_of("1"), ""));

    let job = server.train(with_policy("desk", examples(40..60), in_mode(Mode::Never))).await;
    assert!(!job.promoted && job.model_version == model_of("2") && failed(&job).is_empty(), "{job:?}");
    let classifier = get(&server).await;
    assert_eq!((classifier.candidate_version.as_str(), classifier.latest_version), ("", model_of("2")));
    assert_eq!(promote(&server, "2", false).await.unwrap().stable_version, model_of("2"));

    // A version that failed needs force, whatever the mode.
    let hopeless = pb::PromotionPolicy { min_documents_per_topic: 1000, ..in_mode(Mode::Never) };
    let job = server.train(with_policy("desk", examples(60..80), hopeless)).await;
    assert_eq!(failed(&job), ["min_documents_per_topic"]);
    let refusal = promote(&server, "3", false).await.unwrap_err();
    assert_error(&refusal, Code::FailedPrecondition, "HELD_BACK");
    assert!(refusal.message().contains("fewer than 1000 training documents: sport (40), war (40)"), "{refusal:?}");
    assert_eq!(promote(&server, "3", true).await.unwrap().stable_version, model_of("3"));

    let server = server.restart().await;
    assert_eq!(get(&server).await.stable_version, model_of("3"));
    let job = server.train(train_request("desk", Vec::new())).await;
    assert!(job.promoted && job.promotion_policy.as_ref().unwrap().mode() == Mode::Automatic, "{job:?}");
}

#[tokio::test]
async fn rules_that_make_no_sense_are_told_one_by_one() {
    let server = TestServer::start().await;
    let wrong = pb::PromotionPolicy {
        mode: 7,
        min_accuracy: Some(1.1),
        min_micro_f1: Some(-0.1),
        min_macro_f1: Some(f64::NAN),
        max_log_loss: Some(-1.0),
        max_expected_calibration_error: Some(2.0),
        min_documents_per_topic: 0,
        lost_topics_allowed: vec!["fine".to_owned(), " ".to_owned()],
        max_accuracy_drop: Some(1.5),
        max_macro_f1_drop: Some(f64::INFINITY),
        significance: Some(0.0),
        min_shadow_agreement: Some(1.5),
        min_shadow_documents: 0,
    };
    let expected = [
        ("min_accuracy", "OUT_OF_RANGE"),
        ("min_micro_f1", "OUT_OF_RANGE"),
        ("min_macro_f1", "OUT_OF_RANGE"),
        ("max_expected_calibration_error", "OUT_OF_RANGE"),
        ("max_accuracy_drop", "OUT_OF_RANGE"),
        ("max_macro_f1_drop", "OUT_OF_RANGE"),
        ("min_shadow_agreement", "OUT_OF_RANGE"),
        ("mode", "UNKNOWN_VALUE"),
        ("max_log_loss", "OUT_OF_RANGE"),
        ("lost_topics_allowed[1]", "BAD_TOPIC"),
        ("significance", "OUT_OF_RANGE"),
    ];
    let expected = |path: &str| expected.map(|(field, reason)| (format!("{path}.{field}"), reason.to_owned()));
    for validate_only in [false, true] {
        let request = pb::TrainRequest { validate_only, ..with_policy("desk", examples(0..40), wrong.clone()) };
        let refusal = server.client().await.train(request).await.unwrap_err();
        assert_error(&refusal, Code::InvalidArgument, "INVALID_REQUEST");
        assert_eq!(violations(&refusal), expected("promotion_policy"));
    }
    for wrong in [
        pb::PromotionPolicy { significance: Some(1.0), ..policy() },
        pb::PromotionPolicy { max_log_loss: Some(f64::INFINITY), ..policy() },
        pb::PromotionPolicy { min_shadow_documents: 10, ..policy() },
        pb::PromotionPolicy { lost_topics_allowed: vec!["x".to_owned(); 1001], ..policy() },
    ] {
        let refusal = server.client().await.train(with_policy("desk", examples(0..40), wrong)).await.unwrap_err();
        assert_eq!(violations(&refusal).len(), 1, "{refusal:?}");
    }
}

/// The documents of one topic, by other words than those of [`examples`].
fn duels(numbers: Range<usize>) -> Vec<pb::LabeledDocument> {
    numbers.map(|i| labeled(document(&format!("duel {i}"), "pistols at dawn"), &["duel"])).collect()
}

async fn rename(server: &TestServer, topic: &str, new_topic: &str) {
    let request = pb::RenameTopicRequest {
        classifier: "classifiers/desk".to_owned(),
        topic: topic.to_owned(),
        new_topic: new_topic.to_owned(),
        merge: true,
    };
    server.datasets().await.rename_topic(request).await.unwrap();
}

/// After a topic was renamed, each training had to be told that its old name may be lost, and its documents weren't compared.
#[tokio::test]
async fn topics_that_were_renamed_or_merged_are_not_lost() {
    let server = TestServer::start().await;
    server.train(train_request("desk", [examples(0..40), duels(0..20)].concat())).await;
    for (topic, new_topic) in [("war", "conflict"), ("conflict", "fight"), ("duel", "fight")] {
        rename(&server, topic, new_topic).await;
    }
    let strict = pb::PromotionPolicy { max_accuracy_drop: Some(0.0), max_macro_f1_drop: Some(0.0), ..policy() };
    let job = server.train(with_policy("desk", Vec::new(), strict.clone())).await;
    assert!(job.promoted, "{job:?}");
    let said = &find(&job, "topics_lost").description;
    assert!(said.ends_with("renamed since that was trained: duel (now fight), war (now fight)"), "{said}");
    for name in ["accuracy", "macro_f1"] {
        let check = find(&job, name);
        assert!(check.observed == 1.0 && check.required == 1.0, "{check:?}");
    }

    // On documents that are held out, too.
    rename(&server, "fight", "strife").await;
    let mut new = examples(40..60);
    new.iter_mut().filter(|example| example.topics[0] == "war").for_each(|war| war.topics = vec!["strife".to_owned()]);
    let job = server.train(with_policy("desk", held_out(new), strict)).await;
    assert!(job.promoted, "{job:?}");
    let check = find(&job, "accuracy");
    assert!(check.required == 1.0 && check.description.contains("on 20 held-out documents"), "{check:?}");

    // What has no documents by its new name is lost, unless it may be, by either name.
    rename(&server, "strife", "melee").await;
    let others = [held_out(examples(60..70)), duels(20..40)].concat();
    let others: Vec<pb::LabeledDocument> = others.into_iter().filter(|example| example.topics[0] != "war").collect();
    let others = [others, examples(1..40).into_iter().step_by(2).collect()].concat();
    let lost =
        server.train(on_these(others.clone(), pb::PromotionPolicy { mode: Mode::Never.into(), ..policy() })).await;
    assert_eq!(failed(&lost), ["topics_lost"], "{lost:?}");
    assert!(find(&lost, "topics_lost").description.ends_with(": strife (now melee)"), "{lost:?}");
    for name in ["strife", "melee"] {
        let lost_topics_allowed = vec![name.to_owned()];
        let may_go = pb::PromotionPolicy { mode: Mode::Never.into(), lost_topics_allowed, ..policy() };
        assert_eq!(failed(&server.train(on_these(others.clone(), may_go)).await), [""; 0]);
    }

    // Documents that come with the old name again mean something of that name.
    let again: Vec<pb::LabeledDocument> =
        (0..10).map(|i| labeled(document(&format!("{i}"), "they quarrel at breakfast"), &["strife"])).collect();
    let job =
        server.train(with_policy("desk", again, pb::PromotionPolicy { mode: Mode::Never.into(), ..policy() })).await;
    let check = find(&job, "topics_lost");
    assert!(check.passed && check.description == "it has every topic of the stable version", "{check:?}");
}
