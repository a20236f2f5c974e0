//! `topicd train --server`: a training job on a server, watched to its end.

use std::error::Error;
use std::io::{self, Write};

use tonic::Status;

use super::promotion_args::PromotionArgs;
use super::remote::{CredentialArgs, Remote};
use super::train::{StageBar, TrainingArgs};
use super::{CommandResult, evaluation_table, remote, say};
use crate::api::pb::classifier_service_client::ClassifierServiceClient;
use crate::api::pb::evaluation::Source;
use crate::api::pb::model_service_client::ModelServiceClient;
use crate::api::pb::promotion_policy::Mode;
use crate::api::pb::training_job::{Stage, State};
use crate::api::{json, pb};
use crate::dataset::LabelKind;
use crate::evaluation::{Evaluation, EvaluationSource, TopicEvaluation};
use crate::names::ClassifierName;

/// Trains on the stored documents of a classifier's revision; `None`: of the newest.
pub(super) fn run(
    (server, credentials): (&str, &CredentialArgs),
    classifier: &ClassifierName,
    revision: Option<u32>,
    training: &TrainingArgs,
    promotion: &PromotionArgs,
    as_json: bool,
) -> CommandResult {
    remote::runtime()?.block_on(async {
        let channel = credentials.connect(server).await?;
        let request = pb::TrainRequest {
            classifier: classifier.to_string(),
            dataset_revision: revision.unwrap_or(0),
            config: Some(training.to_message()),
            promotion_policy: promotion.to_message(),
            ..Default::default()
        };
        let begun = ClassifierServiceClient::new(channel.clone()).train(request).await.map_err(refusal)?;
        let job = begun.into_inner().training_job.unwrap_or_default();
        let mut models = ModelServiceClient::new(channel).max_decoding_message_size(remote::MAX_ANSWER_BYTES);
        let job = watch(&mut models, job).await?;
        report(&mut models, &job, as_json).await
    })
}

/// Shows how a job goes on, until it has ended.
async fn watch(
    models: &mut ModelServiceClient<Remote>,
    mut job: pb::TrainingJob,
) -> Result<pb::TrainingJob, Box<dyn Error>> {
    let bar = StageBar::new();
    let request = pb::WatchTrainingJobRequest { training_job: job.name.clone() };
    let mut updates = models.watch_training_job(request).await.map_err(refusal)?.into_inner();
    while let Some(update) = updates
        .message()
        .await
        .map_err(|status| format!("{}; {} may go on: ask GetTrainingJob", remote::refusal(&status), job.name))?
    {
        job = update.training_job.unwrap_or(job);
        bar.show(job.fraction, stage_name(job.stage()));
    }
    bar.finish();
    Ok(job)
}

/// Prints what came out; a job that made no version is a failure.
async fn report(models: &mut ModelServiceClient<Remote>, job: &pb::TrainingJob, as_json: bool) -> CommandResult {
    if as_json {
        writeln!(io::stdout().lock(), "{}", json::to_json(job)?)?;
    }
    let failure = job.failure.clone().unwrap_or_default();
    match job.state() {
        State::Succeeded if as_json => return Ok(()),
        State::Succeeded => {}
        State::Cancelled => return Err(format!("{} was cancelled", job.name).into()),
        State::Failed => return Err(format!("{} failed: {}", job.name, failure.message).into()),
        State::Running | State::Unspecified => return Err(format!("{} hasn't ended", job.name).into()),
    }
    let request = pb::GetModelVersionRequest { model_version: job.model_version.clone() };
    let version = models.get_model_version(request).await.map_err(refusal)?.into_inner();
    let version = version.model_version.unwrap_or_default();
    let out = &mut io::stdout().lock();
    let evaluation = evaluation(job.evaluation.clone().unwrap_or_default());
    writeln!(out, "{}\n", evaluation_table::heading(evaluation.source))?;
    let label_kind = if version.multi_label { LabelKind::MultiLabel } else { LabelKind::SingleLabel };
    evaluation_table::write(out, &evaluation, label_kind)?;
    writeln!(out)?;
    for check in &job.checks {
        writeln!(out, "{}  {}: {}", if check.passed { "passed" } else { "FAILED" }, check.name, check.description)?;
    }
    let seconds = job.training_duration.and_then(|duration| std::time::Duration::try_from(duration).ok());
    let seconds = seconds.unwrap_or_default().as_secs_f64();
    let (n_terms, megabytes) = (version.term_count, version.artifact_bytes as f64 / 1e6);
    writeln!(
        out,
        "\nTrained in {seconds:.1} s with C = {}: {n_terms} terms, {megabytes:.1} MB.\n{} {}.",
        version.c,
        version.name,
        outcome(job)
    )?;
    if !job.checks.iter().all(|check| check.passed) {
        say(format_args!("topicd: {} didn't pass all checks", version.name));
    }
    Ok(())
}

/// What became of the version.
fn outcome(job: &pb::TrainingJob) -> &'static str {
    let mode = job.promotion_policy.as_ref().map_or(Mode::Automatic, pb::PromotionPolicy::mode);
    match (job.promoted, mode) {
        (true, _) => "answers now",
        (false, Mode::Never) => "is stored; PromoteModelVersion makes it answer",
        (false, _) => "is the candidate; PromoteModelVersion makes it answer",
    }
}

/// An evaluation, as far as tables show it.
pub(super) fn evaluation(message: pb::Evaluation) -> Evaluation {
    let source = match message.source() {
        // A server of the time before there were sources.
        Source::Unspecified | Source::OutOfFold => EvaluationSource::OutOfFold,
        Source::HeldOut => EvaluationSource::HeldOut,
    };
    let topics = message.topics.into_iter().map(|topic| TopicEvaluation {
        topic: topic.topic,
        precision: topic.precision,
        recall: topic.recall,
        f1: topic.f1,
        n_documents: topic.document_count as usize,
        n_assigned: topic.assigned_count as usize,
        threshold: topic.threshold,
    });
    Evaluation {
        source,
        n_documents: message.document_count as usize,
        accuracy: message.accuracy,
        micro_f1: message.micro_f1,
        macro_f1: message.macro_f1,
        log_loss: message.log_loss,
        expected_calibration_error: message.expected_calibration_error,
        topics: topics.collect(),
        confusion_matrix: Vec::new(),
        reliability: Vec::new(),
        coverage: Vec::new(),
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Unspecified => "",
        Stage::Waiting => "waiting for another training",
        Stage::Reading => "reading documents",
        Stage::CountingTerms => "counting terms",
        Stage::CrossValidation => "cross-validation",
        Stage::Calibration => "calibration",
        Stage::FinalFit => "final fit",
        Stage::Publishing => "comparing and storing",
    }
}

fn refusal(status: Status) -> Box<dyn Error> {
    remote::refusal(&status).into()
}
