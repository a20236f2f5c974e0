//! Measuring a version for callers, on documents that it wasn't trained on.

use super::compare::{CompareService, Judged, last_of_each, no_labels, unusable_examples};
use super::error::Error;
use super::live::LiveVersion;
use super::model_name::{ModelName, VersionName};
use super::version_details::MAX_CONFUSED_TOPICS;
use super::workers::{IsAwaited, run_on};
use crate::dataset::held_out;
use crate::document::{LabeledDocument, Split};
use crate::evaluation::Evaluation;
use crate::targets::all_topics;

/// A checked wish to evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluateCall {
    /// The version.
    pub version: ModelName,
    /// Documents that come with the call; `None`: the stored ones of the classifier that are held out, in their newest
    /// revision.
    pub examples: Option<Vec<LabeledDocument>>,
}

/// A version, evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluatedVersion {
    /// The version.
    pub version: VersionName,
    /// The revision of the stored documents; `None`: they came with the call.
    pub dataset_revision: Option<u32>,
    /// How good its answers are.
    pub evaluation: Evaluation,
    /// Documents that were left out because it was trained on them.
    pub n_trained_on: usize,
    /// Other documents that were left out because they have no topic.
    pub n_unlabelled: usize,
    /// Whether it is known which documents it was trained on.
    pub knows_training_documents: bool,
}

/// The documents of a call, and where they are from.
struct TestDocuments {
    examples: Vec<LabeledDocument>,
    dataset_revision: Option<u32>,
}

impl CompareService {
    /// Evaluates a version. A caller who doesn't wait any more ends it.
    ///
    /// # Errors
    /// The version is unknown, there is no labelled document that it wasn't trained on, there are too many topics, too many
    /// comparisons and evaluations wait, or the store fails.
    pub async fn evaluate(&self, call: EvaluateCall) -> Result<EvaluatedVersion, Error> {
        let EvaluateCall { version: model, examples } = call;
        let place = self.place()?;
        let version = self.models.resolve(&model).await?;
        let turn = self.turn().await?;
        let judged = self.judged(version).await?;
        let documents = match examples {
            Some(examples) => TestDocuments { examples: last_of_each(examples), dataset_revision: None },
            None => self.held_out(&judged.version).await?,
        };
        let max_topics = self.max_topics.get() as usize;
        let work = move |is_awaited: IsAwaited<'_>| {
            let evaluated = evaluate(&judged, documents, max_topics, is_awaited);
            // Others may begin when these documents aren't needed any more, also if nobody waited for the answer.
            drop((turn, place));
            evaluated
        };
        run_on(&self.pool, work).await?
    }

    /// The stored documents of the newest revision that training the version again would hold out.
    async fn held_out(&self, version: &LiveVersion) -> Result<TestDocuments, Error> {
        let share = version.classifier.provenance().config.held_out_share;
        let is_held_out = |example: &LabeledDocument| {
            held_out::side(example.document.content_hash(), example, share) == Split::HeldOut
        };
        let stored = self.stored(&version.name.classifier, is_held_out).await?;
        let (examples, revision) = stored.ok_or_else(|| nothing_held_out(&version.name))?;
        Ok(TestDocuments { examples, dataset_revision: Some(revision) })
    }
}

/// `None` when nobody waits any more.
fn evaluate(
    judged: &Judged,
    documents: TestDocuments,
    max_topics: usize,
    is_awaited: IsAwaited<'_>,
) -> Option<Result<EvaluatedVersion, Error>> {
    let Judged { version, out_of_fold } = judged;
    let TestDocuments { mut examples, dataset_revision } = documents;
    let n_given = examples.len();
    // Training has kept what was assigned to these by models that never saw them, but not how probable it was.
    examples.retain(|example| out_of_fold.of(example.document.content_hash()).is_none());
    let n_trained_on = n_given - examples.len();
    if let Err(error) = check_usable(version, &examples, n_trained_on, dataset_revision, max_topics) {
        return Some(Err(error));
    }
    let mut evaluation = version.classifier.evaluate_unless(&examples, &|| !is_awaited());
    if !is_awaited() {
        return None;
    }
    if evaluation.topics.len() > MAX_CONFUSED_TOPICS {
        evaluation.confusion_matrix.clear();
    }
    Some(Ok(EvaluatedVersion {
        version: version.name.clone(),
        dataset_revision,
        n_trained_on,
        n_unlabelled: examples.len() - evaluation.n_documents,
        knows_training_documents: !out_of_fold.is_empty(),
        evaluation,
    }))
}

/// Whether documents that a version wasn't trained on can tell how good it is.
fn check_usable(
    version: &LiveVersion,
    examples: &[LabeledDocument],
    n_trained_on: usize,
    dataset_revision: Option<u32>,
    max_topics: usize,
) -> Result<(), Error> {
    let classifier = &version.name.classifier;
    let unusable = |reason, problem: String| match dataset_revision {
        Some(_) => Error::UnusableHeldOut { classifier: classifier.clone(), problem },
        None => unusable_examples(reason, format!("can't be evaluated on: {problem}")),
    };
    if examples.iter().all(|example| example.topics().is_empty()) {
        if n_trained_on > 0 {
            let problem = format!(
                "{} was trained on {n_trained_on} of them, which would flatter it, and no other one has a topic; add others",
                version.name
            );
            return Err(unusable("TRAINED_ON", problem));
        }
        return Err(if dataset_revision.is_some() { nothing_held_out(&version.name) } else { no_labels() });
    }
    let known = version.classifier.topics();
    let n_topics = all_topics(known.iter().chain(examples.iter().flat_map(LabeledDocument::topics))).len();
    // Probabilities take documents × topics of memory.
    if n_topics > max_topics.max(known.len()) {
        let problem = format!("they and the version have {n_topics} topics; the limit max_topics is {max_topics}");
        return Err(unusable("TOO_MANY_TOPICS", problem));
    }
    Ok(())
}

fn nothing_held_out(version: &VersionName) -> Error {
    let problem =
        "none of them is held out and has a topic; import some with SPLIT_HELD_OUT, or give inline_examples".to_owned();
    Error::UnusableHeldOut { classifier: version.classifier.clone(), problem }
}
