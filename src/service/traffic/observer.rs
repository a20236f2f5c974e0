//! Looks at copies of served documents, on training's threads, which give way to answering.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::review_queue::{MAX_TOPICS, ReviewCandidate, margin};
use super::watch::{Observation, PairedAnswers, Seen, Watch};
use crate::classifier::{Classification, Classifier, ClassifyOptions, ClassifyScratch};
use crate::document::Document;
use crate::names::ClassifierName;
use crate::service::error::Error;
use crate::service::gate;
use crate::service::live::LiveVersion;
use crate::service::model_name::{ModelName, VersionName, VersionSelector};
use crate::service::models::Models;
use crate::service::workers::run_on;
use crate::text::{self, Scratch};

/// Documents that are looked at in one go.
const BATCH: usize = 64;
/// How often it is looked for documents that were kept for too long.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Looks at what the calls leave.
#[derive(Debug)]
pub struct Observer {
    models: Arc<Models>,
    pool: Arc<rayon::ThreadPool>,
    candidates: HashMap<ClassifierName, Candidate>,
}

/// The version that a classifier's stable one is compared with. It isn't held on to, so that it can be let go of like others.
#[derive(Debug)]
struct Candidate {
    number: NonZeroU32,
    is_usable: bool,
    /// Becomes the stable version if it agrees with that on so many documents; `None` when that isn't to be found out.
    awaited_documents: Option<u64>,
}

impl Observer {
    /// Looks at what is left with these models, on these threads.
    pub(in crate::service) fn new(models: Arc<Models>, pool: Arc<rayon::ThreadPool>) -> Self {
        Self { models, pool, candidates: HashMap::new() }
    }

    /// Looks at one document after the other; never ends.
    pub async fn run(mut self) {
        let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
        loop {
            tokio::select! {
                seen = self.models.traffic.inbox().next(BATCH) => self.look_at(seen).await,
                _ = expiry.tick() => self.models.traffic.expire(),
            }
        }
    }

    async fn look_at(&mut self, batch: Vec<Seen>) {
        let mut watches: HashMap<ClassifierName, Arc<Watch>> = HashMap::new();
        let mut candidates: HashMap<ClassifierName, Option<Arc<LiveVersion>>> = HashMap::new();
        let mut work = Vec::with_capacity(batch.len());
        for seen in batch {
            let classifier = &seen.version.name.classifier;
            watches.entry(classifier.clone()).or_insert_with(|| Arc::clone(&seen.watch));
            if seen.for_shadow && !candidates.contains_key(classifier) {
                candidates.insert(classifier.clone(), self.candidate(classifier).await);
            }
            let candidate = candidates.get(classifier).cloned().flatten().filter(|_| seen.for_shadow);
            work.push((seen, candidate));
        }
        let look = move |_: &(dyn Fn() -> bool + Sync)| {
            let mut scratch = ClassifyScratch::default();
            for (seen, candidate) in work {
                let observation = observe(&seen, candidate.as_deref(), &mut scratch);
                seen.watch.keep(&seen, observation);
            }
            Some(())
        };
        if let Err(error) = run_on(&self.pool, look).await {
            tracing::error!(%error, "some served documents couldn't be looked at");
        }
        for (classifier, watch) in watches {
            self.judge(&classifier, &watch).await;
        }
    }

    /// The classifier's candidate, if it has one that can be loaded.
    async fn candidate(&mut self, classifier: &ClassifierName) -> Option<Arc<LiveVersion>> {
        let number = self.models.live.classifier(classifier)?.serving().number(VersionSelector::Candidate)?;
        let is_new = self.candidates.get(classifier).is_none_or(|candidate| candidate.number != number);
        if !is_new && !self.candidates.get(classifier)?.is_usable {
            return None;
        }
        let (version, candidate) = match self.load(classifier, number, is_new).await {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!(%error, %classifier, %number, "the candidate can't be compared with the stable version");
                let is_gone = matches!(error, Error::DamagedVersion { .. } | Error::UnknownVersion(_));
                (None, is_gone.then_some(Candidate { number, is_usable: false, awaited_documents: None }))
            }
        };
        if let Some(candidate) = candidate {
            self.candidates.insert(classifier.clone(), candidate);
        }
        version
    }

    /// A version, and, if it is new here, what it waits for. One that was let go of since isn't loaded again: what answers would
    /// have to make room for what doesn't.
    async fn load(
        &self,
        classifier: &ClassifierName,
        number: NonZeroU32,
        is_new: bool,
    ) -> Result<(Option<Arc<LiveVersion>>, Option<Candidate>), Error> {
        let model = ModelName { classifier: classifier.clone(), version: VersionSelector::Number(number) };
        if !is_new {
            return Ok((self.models.live.find(&model), None));
        }
        let version = self.models.resolve(&model).await?;
        let details = self.models.version_info(classifier, number).await?.details;
        let awaited_documents = details.awaits_shadow.then(|| gate::shadow_documents(&details.checks)).flatten();
        Ok((Some(version), Some(Candidate { number, is_usable: true, awaited_documents })))
    }

    /// Has a candidate that waits for it judged, when it has been compared enough.
    async fn judge(&mut self, classifier: &ClassifierName, watch: &Watch) {
        let Some(candidate) = self.candidates.get_mut(classifier) else { return };
        let n_documents = match &watch.contents().shadow {
            Some(report) if report.candidate == candidate.number => report.n_documents,
            _ => return,
        };
        if candidate.awaited_documents.is_none_or(|awaited| n_documents < awaited) {
            return;
        }
        let name = VersionName { classifier: classifier.clone(), number: candidate.number };
        match self.models.judge_candidate(name.clone()).await {
            Ok(true) => candidate.awaited_documents = None,
            Ok(false) => {}
            Err(error) => tracing::error!(%error, version = %name, "a candidate can't be judged now"),
        }
    }
}

fn observe(seen: &Seen, candidate: Option<&LiveVersion>, scratch: &mut ClassifyScratch) -> Observation {
    // One that was promoted meanwhile isn't compared with itself.
    let candidate = candidate.filter(|candidate| candidate.name != seen.version.name);
    if candidate.is_none() && !seen.for_review && !seen.for_terms {
        return Observation::default();
    }
    let stable = &seen.version.classifier;
    let started = Instant::now();
    let answer = stable.classify(&seen.document, &ClassifyOptions::default(), scratch);
    let stable_time = started.elapsed();
    let shadow = candidate.map(|candidate| {
        let started = Instant::now();
        let by_candidate = candidate.classifier.classify(&seen.document, &ClassifyOptions::default(), scratch);
        let times = [stable_time, started.elapsed()];
        let topics = [assigned(stable, &answer), assigned(&candidate.classifier, &by_candidate)];
        PairedAnswers { candidate: candidate.name.number, topics, times }
    });
    let unknown_words = seen.for_terms.then(|| unknown_words(stable, &seen.document));
    let review = seen.for_review.then(|| review_candidate(seen, &answer));
    Observation { review, unknown_words, shadow }
}

/// The topics that an answer assigns, sorted.
fn assigned(classifier: &Classifier, answer: &Classification) -> Vec<String> {
    let assigned = answer.topics.iter().filter(|score| score.assigned);
    let mut names: Vec<String> = assigned.map(|score| classifier.topics()[score.topic].to_string()).collect();
    names.sort_unstable();
    names
}

fn review_candidate(seen: &Seen, answer: &Classification) -> ReviewCandidate {
    let classifier = &seen.version.classifier;
    let topics = answer.topics.iter().take(MAX_TOPICS);
    let topics = topics.map(|score| (classifier.topics()[score.topic].to_string(), score.probability));
    ReviewCandidate {
        document: seen.document.clone(),
        hash: seen.document.content_hash(),
        version: seen.version.name.clone(),
        topics: topics.collect(),
        margin: margin(answer, classifier.label_kind(), classifier.topics().len()),
        seen_ms: seen.seen_ms,
    }
}

/// A document's words that a classifier has no weights for.
fn unknown_words(classifier: &Classifier, document: &Document) -> Vec<String> {
    let mut words = Vec::new();
    text::for_each_document_token(document, &mut Scratch::default(), |token| {
        if !token.is_too_long() && !classifier.knows_word(token.normalized) {
            words.extend(std::str::from_utf8(token.normalized).map(str::to_owned));
        }
    });
    words
}
