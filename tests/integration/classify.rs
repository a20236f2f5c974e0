//! What `Classify` answers.

use topicd::api::pb::decision::{AbstainReason, Outcome};
use topicd::api::pb::{self, ClassifyOptions, Decision, Explain, Truncation};

use crate::support::{MIB, TestServer, article, document, request, text_of};

async fn answer(server: &TestServer, request: pb::ClassifyRequest) -> pb::ClassifyResponse {
    server.client().await.classify(request).await.unwrap().into_inner()
}

fn abstained(reason: AbstainReason) -> Option<Decision> {
    Some(Decision { outcome: Outcome::Abstained.into(), abstain_reason: reason.into() })
}

#[tokio::test]
async fn an_answer_has_all_topics_by_falling_probability() {
    let server = TestServer::start().await;
    let mut article = article();
    article.document_id = "tass/1".to_owned();
    let n_bytes = (article.title.len() + article.text.len()) as u64;
    let answer = answer(&server, request(article)).await;

    assert_eq!(answer.model_version, "classifiers/default/versions/1");
    assert_eq!(answer.document_id, "tass/1");
    let probabilities: Vec<f64> = answer.topics.iter().map(|score| score.probability).collect();
    assert!(probabilities.len() >= 2 && probabilities.is_sorted_by(|a, b| a >= b), "{probabilities:?}");
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{probabilities:?}");
    assert!(answer.topics.iter().all(|score| !score.topic.is_empty() && score.raw_score.is_finite()));
    assert_eq!(answer.decision, Some(Decision { outcome: Outcome::Assigned.into(), abstain_reason: 0 }));
    let assigned: Vec<bool> = answer.topics.iter().map(|score| score.assigned).collect();
    assert!(assigned[0] && !assigned[1..].contains(&true), "{assigned:?}");
    let stats = answer.document_stats.unwrap();
    assert_eq!((stats.bytes, stats.truncated), (n_bytes, false));
    assert!(stats.tokens >= stats.known_tokens && stats.known_tokens > 0, "{stats:?}");
}

#[tokio::test]
async fn every_name_of_the_model_means_the_one_there_is() {
    let server = TestServer::start().await;
    let expected = answer(&server, request(article())).await;
    for model in ["", "/versions/stable", "/versions/latest", "/versions/1"] {
        let model = format!("classifiers/default{model}");
        assert_eq!(answer(&server, pb::ClassifyRequest { model, ..request(article()) }).await, expected);
    }
}

#[tokio::test]
async fn options_leave_topics_out_but_never_all() {
    let server = TestServer::start().await;
    let with = |options| pb::ClassifyRequest { options: Some(options), ..request(article()) };
    let all = answer(&server, request(article())).await.topics;

    let first = answer(&server, with(ClassifyOptions { top_k: 1, ..Default::default() })).await.topics;
    assert_eq!(first, all[..1]);
    let certain = answer(&server, with(ClassifyOptions { min_probability: 1.0, ..Default::default() })).await.topics;
    assert_eq!(certain, all[..1]);
    let more = answer(&server, with(ClassifyOptions { top_k: u32::MAX, ..Default::default() })).await.topics;
    assert_eq!(more, all);
}

#[tokio::test]
async fn doubt_is_told_with_its_reason() {
    let server = TestServer::start().await;
    let options = Some(ClassifyOptions { abstain_below: Some(1.0), ..Default::default() });
    let unsure = answer(&server, pb::ClassifyRequest { options, ..request(article()) }).await;
    assert_eq!(unsure.decision, abstained(AbstainReason::LowProbability));
    assert!(!unsure.topics.is_empty() && unsure.topics.iter().all(|score| !score.assigned));

    for nothing in ["🎉🎉 👍🏽", " \t\n\u{3000}", "... — !?"] {
        let answer = answer(&server, request(document("", nothing))).await;
        assert_eq!(answer.decision, abstained(AbstainReason::NoTokens), "{nothing:?}");
        assert!(!answer.topics.is_empty() && answer.document_stats.unwrap().tokens == 0);
    }

    let unknown = answer(&server, request(document("qxzvkjw", "wqqzxjv kxqzzvw"))).await;
    assert_eq!(unknown.decision, abstained(AbstainReason::FewKnownTokens));
}

#[tokio::test]
async fn a_document_over_the_limit_is_cut_when_asked_to() {
    let server = TestServer::start().await;
    let options = Some(ClassifyOptions { truncation: Truncation::End.into(), ..Default::default() });
    let long = pb::ClassifyRequest { options, ..request(document("Peace talks", &text_of(5 * MIB))) };
    let cut = answer(&server, long.clone()).await;
    let stats = cut.document_stats.unwrap();
    assert_eq!((stats.bytes, stats.truncated), (MIB as u64, true));

    // The same document as one that was sent that long.
    let fitting = pb::ClassifyRequest { document: Some(document("Peace talks", &text_of(MIB - 11))), ..long };
    let fitting = answer(&server, fitting).await;
    assert_eq!(fitting.topics, cut.topics);
    assert!(!fitting.document_stats.unwrap().truncated);
}

#[tokio::test]
async fn strange_documents_are_answered() {
    let server = TestServer::start().await;
    for (title, text) in [
        ("", "a".repeat(1_000_000)),
        ("", "é".repeat(MIB / 2)),
        ("", text_of(MIB)),
        ("only a title about peace talks", String::new()),
        ("\0", "\u{202e}\u{feff}peace\u{0301}".to_owned()),
    ] {
        let answer = answer(&server, request(document(title, &text))).await;
        assert!(answer.topics.iter().all(|score| (0.0..=1.0).contains(&score.probability)), "{title:?}");
    }
}

#[tokio::test]
async fn a_topic_is_explained_by_spans_of_what_was_sent() {
    let server = TestServer::start().await;
    let sent = document("Envoys SIGN ceasefire", "The peace talks — in Geneva — ended. Peace talks!");
    let options =
        ClassifyOptions { explain: Explain::ReturnedTopics.into(), top_k: 2, max_terms: 1000, ..Default::default() };
    let answer = answer(&server, pb::ClassifyRequest { options: Some(options), ..request(sent.clone()) }).await;
    assert_eq!(answer.explanations.len(), 2);
    for (explanation, score) in answer.explanations.iter().zip(&answer.topics) {
        assert_eq!((&explanation.topic, explanation.remainder, explanation.other_term_count), (&score.topic, 0.0, 0));
        let sum = explanation.bias + explanation.terms.iter().map(|term| term.contribution).sum::<f64>();
        assert!((sum - score.raw_score).abs() < 1e-5, "{explanation:?}");
    }
    let term = answer.explanations[0].terms.iter().find(|term| term.term == "peace talks").unwrap();
    let shown: Vec<&str> = term.spans.iter().map(|span| &sent.text[span.start as usize..span.end as usize]).collect();
    assert_eq!((shown, term.occurrence_count), (vec!["peace talks", "Peace talks"], 2));
    let term = answer.explanations[0].terms.iter().find(|term| term.term == "sign").unwrap();
    let span = &term.spans[0];
    assert_eq!(span.field(), pb::span::Field::Title);
    assert_eq!(&sent.title[span.start as usize..span.end as usize], "SIGN");
}
